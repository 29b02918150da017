"""Numbers that hold until the next: how far two of them are apart. Pure."""

import math
from bisect import bisect_right
from collections.abc import Sequence

Course = Sequence[tuple[float, int]]
"""(seconds into the trace, domains) at each change; the first is at 0."""


def within(course: Course, length_seconds: float) -> Course:
    """What held from 0 to the end."""
    before = [count for moment, count in course if moment <= 0]
    first = [(0.0, before[-1])] if before else []
    return [*first, *((moment, count) for moment, count in course if 0 < moment < length_seconds)]


def mean(course: Course, length_seconds: float) -> float:
    """Over time."""
    return sum(_value(course, at) * seconds for at, seconds in _spans([course], length_seconds)) / (
        length_seconds
    )


def rmse(one: Course, other: Course, length_seconds: float) -> float:
    """The root of the mean, over time, of the squared difference."""
    total = sum(
        (_value(one, at) - _value(other, at)) ** 2 * seconds
        for at, seconds in _spans([one, other], length_seconds)
    )
    return math.sqrt(total / length_seconds)


def _spans(courses: Sequence[Course], length_seconds: float) -> list[tuple[float, float]]:
    """(begin, seconds) of each stretch in which none of them changes."""
    changes = sorted({0.0, *(moment for course in courses for moment, _ in course)})
    ends = [*changes[1:], length_seconds]
    return [(begin, end - begin) for begin, end in zip(changes, ends, strict=True)]


def _value(course: Course, moment: float) -> int:
    return course[max(0, bisect_right(course, (moment, math.inf)) - 1)][1]
