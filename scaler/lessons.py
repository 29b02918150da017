"""What boots and wakes have taught: the part of the scaler's memory that survives a restart. Pure.

Everything else can be seen anew. That an image did not boot, or that starts wait for a back-off,
cannot: without this a scaler that is killed would begin the next boot of a broken image at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scaler.breaker import Breaker
from scaler.decision import State
from scaler.rollout import Trials
from scaler.tracking import Track

FORM = 1


@dataclass(frozen=True, slots=True)
class Failures:
    """Of one domain."""

    count: int = 0
    """Boots and wakes that failed since the last good one."""
    is_counted: bool = False
    """The boot or wake that it is in now is one of them: it is not to be counted again."""


@dataclass(frozen=True, slots=True)
class Lessons:
    """Moments are on the clock of `now`."""

    breaker: Breaker = field(default_factory=Breaker)
    wakes: Breaker = field(default_factory=Breaker)
    trials: Trials = field(default_factory=Trials)
    domains: Mapping[str, Failures] = field(default_factory=dict)


def learned(state: State) -> Lessons:
    """The lessons of a life so far."""
    # Domains that were not seen yet, because libvirt has not answered, keep what was known.
    tracks = {**state.remembered, **state.tracks} if state.remembered else state.tracks
    return Lessons(
        state.breaker,
        state.wakes,
        state.trials,
        {
            name: Failures(track.failures, track.is_failure_counted)
            for name, track in tracks.items()
            if track.failures or track.is_failure_counted
        },
    )


def begin(lessons: Lessons) -> State:
    """The state of a new life."""
    return State(
        breaker=lessons.breaker,
        wakes=lessons.wakes,
        trials=lessons.trials,
        remembered={
            name: Track(failures=one.count, is_failure_counted=one.is_counted)
            for name, one in lessons.domains.items()
        },
    )


def to_record(lessons: Lessons, offset: float) -> dict[str, Any]:
    """As plain data; `offset` added to a wall time gives a time on the clock of `now`."""
    return {
        "form": FORM,
        "breaker": _breaker(lessons.breaker, offset),
        "wakes": _breaker(lessons.wakes, offset),
        "images": {
            "failures": dict(sorted(lessons.trials.failures.items())),
            "good": sorted(lessons.trials.good),
        },
        "domains": {
            name: [one.count, one.is_counted] for name, one in sorted(lessons.domains.items())
        },
    }


def from_record(
    record: Mapping[str, Any], offset: float, now: float, max_backoff_seconds: float
) -> Lessons:
    """The inverse of `to_record`, perhaps after the wall clock was set.

    A pause never lasts longer than the longest back-off, and nothing was raised in the future.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it is no such record.

    """
    if record["form"] != FORM:
        raise ValueError(f"form {record['form']} is unknown")

    def breaker(found: Mapping[str, Any]) -> Breaker:
        until, raised = found["open_until"], found["raised_at"]
        return Breaker(
            int(found["failures"]),
            None if until is None else min(float(until) + offset, now + max_backoff_seconds),
            int(found["raises"]),
            None if raised is None else min(float(raised) + offset, now),
        )

    images = record["images"]
    return Lessons(
        breaker(record["breaker"]),
        breaker(record["wakes"]),
        Trials(
            {str(image): int(count) for image, count in images["failures"].items()},
            frozenset(map(str, images["good"])),
        ),
        {
            str(name): Failures(int(count), bool(is_counted))
            for name, (count, is_counted) in record["domains"].items()
        },
    )


def _breaker(breaker: Breaker, offset: float) -> dict[str, Any]:
    until, raised = breaker.open_until, breaker.raised_at
    return {
        "failures": breaker.failures,
        "open_until": None if until is None else round(until - offset, 3),
        "raises": breaker.raises,
        "raised_at": None if raised is None else round(raised - offset, 3),
    }
