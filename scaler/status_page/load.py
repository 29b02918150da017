"""What the page shows besides the scaler's own state: the queue, and CPU over time. Pure.

Everything may be unknown, and what is unknown is None: never 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

HISTORY_SECONDS = 600
STEP_SECONDS = 15
POINTS = HISTORY_SECONDS // STEP_SECONDS + 1

Points = Sequence[float | None]
"""One value each `STEP_SECONDS`, oldest first; None: not known."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """The dispatcher's counts of jobs."""

    ready: int
    leased: int
    done: int
    failed: int
    oldest_seconds: float | None
    """Age of the oldest job that waits; None: none does."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What Prometheus says of now."""

    cpu: Mapping[str, float] = field(default_factory=dict)
    """CPU utilisation by domain, 0 to 1."""
    wait_p95_seconds: float | None = None
    """95 % of the jobs that were first leased in the last 5 minutes had waited less; NaN: there
    were none; None: not known."""
    results_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class History:
    """What Prometheus says of the last `HISTORY_SECONDS`."""

    cpu: Mapping[str, Points] = field(default_factory=dict)
    pool_cpu: Points = ()
    waiting: Points = ()


@dataclass(frozen=True, slots=True)
class Load:
    """The newest answers, and why there are none."""

    backlog: Backlog | None = None
    figures: Figures | None = None
    history: History | None = None
    dispatcher_fault: str = "not asked yet"
    prometheus_fault: str = "not asked yet"


class LoadError(Exception):
    """There is no answer. The text is for a person."""


class LoadSource(Protocol):
    """Whom the page asks. Every call ends within its deadline and raises `LoadError`."""

    def figures(self) -> Figures:
        """Those of now."""
        ...

    def history(self, now: float) -> History:
        """The last `HISTORY_SECONDS` up to `now`, a Unix time."""
        ...


def grid(now: float) -> tuple[int, int]:
    """First and last moment of a history: on whole steps, so that points stay where they are."""
    end = int(now) // STEP_SECONDS * STEP_SECONDS
    return end - HISTORY_SECONDS, end


def points(samples: Mapping[int, float], start: int) -> Points:
    """The samples (Unix time to value) on the grid that begins at `start`."""
    return tuple(samples.get(start + number * STEP_SECONDS) for number in range(POINTS))
