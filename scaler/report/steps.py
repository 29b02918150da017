"""Numbers that hold until they change, and stretches of time in which they are not known. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

Value = float | None
"""None: not known."""


@dataclass(frozen=True, slots=True)
class Steps:
    """A value that holds from each moment to the next one; None before the first. Unix times."""

    changes: tuple[tuple[float, Value], ...]

    @classmethod
    def of(cls, changes: Iterable[tuple[float, Value]]) -> "Steps":
        """In the order of their times; what does not change is left out."""
        kept: list[tuple[float, Value]] = []
        for moment, value in changes:
            if kept and kept[-1][0] == moment:
                kept.pop()
            if not kept or kept[-1][1] != value:
                kept.append((moment, value))
        return cls(tuple(kept))

    def at(self, moment: float) -> Value:
        """What held then."""
        place = bisect_right(self.changes, moment, key=_moment) - 1
        return None if place < 0 else self.changes[place][1]

    def spans(self, since: float, until: float) -> Iterator[tuple[float, float, Value]]:
        """(begin, end, value) of each stretch between the two; together they are all of it."""
        for (begin, end), (value,) in together([self], since, until):
            yield begin, end, value

    def known_spans(self, since: float, until: float) -> Iterator[tuple[float, float, float]]:
        """Those of which the value is known."""
        for begin, end, value in self.spans(since, until):
            if value is not None:
                yield begin, end, value

    def integral(self, since: float, until: float) -> float:
        """Value times seconds, of the time in which it is known."""
        spans = self.known_spans(since, until)
        return sum(value * (end - begin) for begin, end, value in spans)

    def known_seconds(self, since: float, until: float) -> float:
        """How long the value is known."""
        return sum(end - begin for begin, end, _ in self.known_spans(since, until))

    def extremes(self, since: float, until: float) -> tuple[float, float] | None:
        """The smallest and the largest known value."""
        found = [value for _, _, value in self.known_spans(since, until)]
        return (min(found), max(found)) if found else None


def together(
    courses: Sequence[Steps], since: float, until: float
) -> Iterator[tuple[tuple[float, float], tuple[Value, ...]]]:
    """((begin, end), values): each stretch in which none of them changes, oldest first."""
    moments = {moment for one in courses for moment, _ in one.changes if since < moment < until}
    for begin, end in pairwise([since, *sorted(moments), until]):
        if begin < end:
            yield (begin, end), tuple(one.at(begin) for one in courses)


def filled(first: Steps, second: Steps) -> Steps:
    """The first, and where it is not known the second."""
    moments = sorted({moment for one in (first, second) for moment, _ in one.changes})

    def value(moment: float) -> Value:
        known = first.at(moment)
        return second.at(moment) if known is None else known

    return Steps.of((moment, value(moment)) for moment in moments)


def unknown_spans(steps: Steps, since: float, until: float) -> list[tuple[float, float]]:
    """Stretches of which the value is not known."""
    return [(begin, end) for begin, end, value in steps.spans(since, until) if value is None]


def _moment(change: tuple[float, Value]) -> float:
    return change[0]
