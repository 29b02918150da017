"""What Prometheus is asked for a report, and what it answered. Pure but for the source."""

import math
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

from scaler.report import samples
from scaler.report.samples import Histogram, Points, Series

_MOST_POINTS = 900
"""Of one series: a chart is not much wider."""

JOBS, ACCEPTED, REQUEUED = "jobs", "accepted", "requeued"
WAITS, SERVICE_SUM, SERVICE_COUNT = "waits", "service_sum", "service_count"
CPU, CPU_MEAN, COMPLETED, ALERTS = "cpu", "cpu_mean", "completed", "alerts"
STATES, WANTED = "states", "wanted"
_OPENED = "virtscale_dispatcher_store_opened_timestamp_seconds"
OPENED, FOUND = "opened", "found"
_OF_THE_STORE = (JOBS, ACCEPTED)
"""These go on where the dispatcher before left off; what else it counts begins at 0."""


class SourceAwayError(Exception):
    """It does not answer, so that nothing more need be asked. The text is for a person."""


class SourceRefusesError(Exception):
    """It refuses a question. The text is for a person."""


class RangeSource(Protocol):
    """Knows series of the past."""

    def ranges(
        self, expression: str, since: float, until: float, step_seconds: int
    ) -> list[Series]:
        """A point each `step_seconds` where there is one.

        Raises:
            SourceAwayError: there is no answer.
            SourceRefusesError: the answer is no.

        """
        ...


@dataclass(slots=True)
class Measured:
    """What came of it. A name that is missing was not answered."""

    step_seconds: int
    since: float
    """What was asked for begins here."""
    series: dict[str, list[Series]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def points(self, name: str) -> tuple[tuple[float, float], ...]:
        """Of the one series of this name; empty when there is none."""
        found = self.series.get(name) or []
        return found[0].points if found else ()

    def by(self, name: str, label: str) -> dict[str, tuple[tuple[float, float], ...]]:
        """Points by the values of a label, in their order."""
        found = self.series.get(name) or []
        return {
            one.labels.get(label, ""): one.points
            for one in sorted(found, key=lambda one: one.labels.get(label, ""))
        }

    def counted(self, name: str) -> Points:
        """Points of a counter of the dispatcher, before them where its count began.

        That is known when the dispatcher opened its store in the time that was asked for.
        """
        return self._from_its_begin(self.points(name), self._base(name))

    def counted_by(self, name: str, label: str) -> dict[str, Points]:
        """The same by the values of a label."""
        return {
            value: self._from_its_begin(points, self._base(name, value))
            for value, points in self.by(name, label).items()
        }

    def increase(self, name: str) -> float | None:
        """By how much a counter of the dispatcher grew; None when that is not known."""
        points = self.counted(name)
        return samples.increase(points, () if name in _OF_THE_STORE else self.anew())

    def waits(self) -> Histogram:
        """How long jobs waited."""
        found = self.series.get(WAITS) or ()
        whole = [Series(one.labels, tuple(self._from_its_begin(one.points, 0.0))) for one in found]
        return Histogram(whole, self.anew())

    def anew(self) -> AbstractSet[float]:
        """Moments at which another dispatcher was scraped, or the same after a restart."""
        opened = self.points(OPENED)
        return frozenset(at for (_, before), (at, value) in pairwise(opened) if value != before)

    def _base(self, name: str, state: str | None = None) -> float | None:
        """Where a counter began; all jobs that the store held have been accepted."""
        if name not in _OF_THE_STORE:
            return 0.0
        found = {one: points[0][1] for one, points in self.by(FOUND, "state").items() if points}
        return found.get(state) if state is not None else sum(found.values()) if found else None

    def _from_its_begin(self, points: Points, base: float | None) -> Points:
        opened = self.points(OPENED)
        if not points or not opened or base is None:
            return points
        begin = opened[0][1]
        return [(begin, base), *points] if self.since <= begin < points[0][0] else points


def step_of(since: float, until: float) -> int:
    """Seconds between the points of a report."""
    return max(1, math.ceil((until - since) / _MOST_POINTS))


def questions(pool: str, step: int, fresh_seconds: int) -> dict[str, str]:
    """An expression by name. A dispatcher serves one pool and does not know its name."""
    of_pool = f'{{pool="{pool}"}}'

    def fresh(name: str) -> str:
        # Else the last value before a silence would be carried on for five minutes.
        return f"({name} and timestamp({name}) >= time() - {fresh_seconds})"

    def mean(name: str) -> str:
        # Every sample counts, also those between two points.
        return fresh(name) if step == 1 else f"avg_over_time({name}[{step}s])"

    cpu = mean(f"pool_domain:libvirt_domain_cpu_utilisation:avg5s{of_pool}")
    cpu_mean = mean(f"pool:libvirt_domain_cpu_utilisation:avg5s{of_pool}")
    firing = fresh('ALERTS{alertstate="firing"}')
    completed = f"max_over_time(virtscale_worker_jobs_completed_total[{step}s])"
    alert_labels = "alertname, severity, pool, domain, instance"
    wanted = fresh(f"virtscale_scaler_desired_domains{of_pool}")
    states = fresh(f"virtscale_scaler_domains{of_pool}")
    dispatcher = "virtscale_dispatcher_"
    return {
        WANTED: f"max({wanted})",
        STATES: f"max by (state) ({states})",
        JOBS: f"sum by (state) ({fresh(f'{dispatcher}jobs')})",
        OPENED: f"max({fresh(_OPENED)})",
        FOUND: f"sum by (state) ({fresh(f'{dispatcher}jobs_found')})",
        ACCEPTED: f"sum({fresh(f'{dispatcher}jobs_accepted_total')})",
        REQUEUED: f"sum by (reason) ({fresh(f'{dispatcher}requeued_total')})",
        WAITS: f"sum by (le) ({fresh(f'{dispatcher}job_wait_seconds_bucket')})",
        SERVICE_SUM: f"sum({fresh(f'{dispatcher}job_service_seconds_sum')})",
        SERVICE_COUNT: f"sum({fresh(f'{dispatcher}job_service_seconds_count')})",
        CPU: f"max by (domain) ({cpu})",
        CPU_MEAN: f"max({cpu_mean})",
        COMPLETED: f"max by (worker) ({completed})",
        ALERTS: f"max by ({alert_labels}) ({firing})",
    }


def openings(source: RangeSource, since: float, until: float) -> list[float]:
    """When the dispatchers that were scraped in a time had opened their stores, in order."""
    try:
        found = source.ranges(_OPENED, since, until, step_of(since, until))
    except (SourceAwayError, SourceRefusesError):
        # The other questions meet the same, and what they meet is told.
        return []
    return sorted({value for series in found for _, value in series.points})


def ask(
    source: RangeSource, pool: str, since: float, until: float, *, fresh_seconds: int
) -> Measured:
    """Asks everything. What is refused is a fault, and the rest is asked all the same.

    The sample behind a point is no older than `fresh_seconds`.
    """
    step = step_of(since, until)
    found = Measured(step, since)
    for name, expression in questions(pool, step, fresh_seconds).items():
        try:
            found.series[name] = source.ranges(expression, since, until, step)
        except SourceAwayError as error:
            found.faults.append(str(error))
            break
        except SourceRefusesError as error:
            found.faults.append(str(error))
    return found
