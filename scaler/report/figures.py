"""The figures of a run, from what was recorded and what was measured. Pure.

Demand, supply and what is said of both are those of the simulator's scorecard; here the rate of
arrivals and the length of jobs are measured instead of given.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scaler.report import asking, samples
from scaler.report.asking import Measured
from scaler.report.lives import Act, Life, power_ons
from scaler.report.past import Past
from scaler.report.steps import Steps, filled, together
from scaler.simulator.scorecard import Provision, quantile
from scaler.simulator.workload import domains_for

SERVING, BOOTING, LEAVING = "serving", "booting", "leaving"
STANDBY, TROUBLED = "standby", "in trouble"
OFF = "off"
GROUPS: Mapping[str, str] = {
    "ready": SERVING,
    **dict.fromkeys(("starting", "booting", "waking", "preparing"), BOOTING),
    **dict.fromkeys(("cordoned", "draining", "shutting_down", "suspending", "saving"), LEAVING),
    "standby_paused": STANDBY,
    **dict.fromkeys(("silent", "paused", "failed"), TROUBLED),
    **dict.fromkeys(("off", "standby_saved"), OFF),
}
"""What a state is to a reader. Domains of another scaler are in none; a state that is not here,
of another version, counts as in trouble."""
ON = (SERVING, LEAVING, BOOTING, STANDBY, TROUBLED)
"""In the order in which they are stacked."""
_NOT_OURS = ("quarantined", "quarantined_off")
_RATE_SECONDS = 30.0
_RATE_POINTS = 4
FINAL = ("done", "failed", "cancelled")
OPEN = ("ready", "leased")
_SERVED = ("leased", "done", "failed")
_TOLD_SHARE = 0.001
"""Of the jobs: fewer without a known wait may be an accident of the moment of a scrape."""


@dataclass(frozen=True, slots=True)
class Courses:
    """What held when, in domains."""

    groups: Mapping[str, Steps]
    on: Steps
    """Domains in any state but off."""
    supply: Steps
    """Domains that take jobs."""
    desired: Steps
    demand: Steps
    """Fewest domains that carry the load that arrives at 80 %."""


@dataclass(frozen=True, slots=True)
class Jobs:
    """Of the time in which the dispatcher was scraped, and since its start when that is within."""

    accepted: int
    open_before: int
    """Accepted before, and neither final nor given up then."""
    done: int
    failed: int
    cancelled: int
    open_at_end: int
    lost: int
    """Accepted and in no state, by the dispatcher's own books at the end."""
    requeued: Mapping[str, int]
    """Leases whose jobs went back to the queue, by reason."""
    seconds: float
    """CPU seconds of a job, the mean; 0 when none was done."""


@dataclass(frozen=True, slots=True)
class Waits:
    """From a job's acceptance to its first lease, in seconds, out of a histogram's buckets."""

    jobs: int
    unknown: int
    """Jobs that got a worker in this time without being counted: a dispatcher that was killed took
    along what it had counted since the last scrape, and workers that stayed away what they held."""
    p50: float
    p95: float
    p99: float
    buckets: Sequence[tuple[float, int]]
    """(upper bound, jobs in it); the last may be infinite."""


@dataclass(frozen=True, slots=True)
class Elasticity:
    """Supply against demand, of the time in which both are known."""

    seconds: float
    timeshare_under: float
    timeshare_over: float
    timeshare_over_waiting: float
    """The part of it in which jobs waited in the queue: it was being worked off."""
    under_machine_seconds: float
    over_machine_seconds: float
    accuracy_under: float
    """Mean number of domains that were missing."""
    accuracy_over: float
    rmse: float


@dataclass(frozen=True, slots=True)
class Durations:
    """Of actions of one kind, in seconds."""

    what: str
    count: int
    median: float
    p95: float
    longest: float


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that is told in numbers. None: it cannot be known."""

    since: float
    until: float
    jobs: Jobs | None
    waits: Waits | None
    elasticity: Elasticity | None
    machine_seconds: Mapping[str, float]
    """Of domains by what they were, of the time in which that is known."""
    known_seconds: float
    """How long the pool's size is known."""
    domains: tuple[int, int] | None
    """Fewest and most domains that were on."""
    starts: int
    failed_boots: int
    wasted_boots: int | None
    durations: Sequence[Durations]
    turns: int
    decisions: int
    """Stretches of equal turns."""
    price_per_hour: float | None

    @property
    def machine_hours(self) -> float:
        """Hours of domains in any state but off."""
        return sum(self.machine_seconds.values()) / 3600

    @property
    def cost(self) -> float | None:
        """In the money of the price."""
        return None if self.price_per_hour is None else self.machine_hours * self.price_per_hour

    def as_data(self) -> dict[str, Any]:
        """For programs."""
        found = asdict(self) | {"machine_hours": self.machine_hours, "cost": self.cost}
        if self.waits is not None:
            # JSON has no infinity.
            found["waits"]["buckets"] = [
                [bound if bound < float("inf") else None, count]
                for bound, count in self.waits.buckets
            ]
        return found


def courses(past: Past, measured: Measured, *, least: int, slots: float) -> Courses:
    """From the record; where it is silent, from Prometheus."""
    longest = longest_gap(measured)
    scraped = {
        state: samples.steps(points, longest)
        for state, points in measured.by(asking.STATES, "state").items()
    }
    recorded = {
        name: one for name, one in past.counts.items() if name not in ("current", "desired")
    }
    ours = [name for name in {*recorded, *scraped} if name not in _NOT_OURS]
    groups = {
        group: filled(
            summed(
                [one for name, one in recorded.items() if name in ours and group_of(name) == group],
                past.counts.get("current"),
            ),
            summed(
                [one for name, one in scraped.items() if name in ours and group_of(name) == group],
                next(iter(scraped.values()), None),
            ),
        )
        for group in ON
    }
    return Courses(
        groups=groups,
        on=summed(list(groups.values()), None),
        supply=groups[SERVING],
        desired=filled(
            past.counts.get("desired", Steps(())),
            samples.steps(measured.points(asking.WANTED), longest),
        ),
        demand=demand(measured, least=least, slots=slots),
    )


def group_of(state: str) -> str:
    """What a state is to a reader."""
    return GROUPS.get(state, TROUBLED)


def longest_gap(measured: Measured) -> float:
    """Points further apart have a silence between them."""
    return 3.0 * measured.step_seconds


def summed(courses: Sequence[Steps], known: Steps | None) -> Steps:
    """The sum, known where all are; of none it is 0 where `known` is."""
    parts = [*courses, *([known] if known is not None else [])]
    if not parts:
        return Steps(())
    moments = sorted({moment for one in parts for moment, _ in one.changes})
    found: list[tuple[float, float | None]] = []
    for moment in moments:
        values = [one.at(moment) for one in parts]
        if None in values:
            found.append((moment, None))
        else:
            found.append((moment, sum(value or 0.0 for value in values[: len(courses)])))
    return Steps.of(found)


def demand(measured: Measured, *, least: int, slots: float) -> Steps:
    """Fewest domains that carry the arrivals around each moment at the mean length of the run."""
    growth = samples.grown(measured.counted(asking.ACCEPTED))
    seconds = mean_job_seconds(measured)
    if seconds is None:
        has_jobs = bool(growth) and growth[-1][1] > 0
        if has_jobs:
            return Steps(())
        seconds = 0.0
    window = max(_RATE_SECONDS, _RATE_POINTS * measured.step_seconds)
    points = []
    for piece in samples.pieces(growth, longest_gap(measured)):
        for moment, _ in piece:
            rate = samples.rate(piece, moment, window)
            if rate is not None:
                wanted = domains_for(rate, mean_seconds=seconds, slots=slots, least=least)
                points.append((moment, float(wanted)))
    return samples.steps(points, longest_gap(measured))


def mean_job_seconds(measured: Measured) -> float | None:
    """CPU seconds that a finished job took; None when none has finished."""
    total = measured.increase(asking.SERVICE_SUM)
    count = measured.increase(asking.SERVICE_COUNT)
    return total / count if total is not None and count else None


def figures(
    past: Past,
    measured: Measured,
    course: Courses,
    found_lives: Sequence[Life],
    found_acts: Sequence[Act],
    *,
    price_per_hour: float | None,
) -> Figures:
    """Everything."""
    since, until = past.since, past.until
    extremes = course.on.extremes(since, until)
    return Figures(
        since=since,
        until=until,
        jobs=jobs(measured),
        waits=waits(measured),
        elasticity=elasticity(course.demand, course.supply, since, until, queue(measured)),
        machine_seconds={
            group: steps.integral(since, until) for group, steps in course.groups.items()
        },
        known_seconds=course.on.known_seconds(since, until),
        domains=None if extremes is None else (int(extremes[0]), int(extremes[1])),
        starts=len(power_ons(found_acts)),
        failed_boots=sum(one.what in ("boot_failed", "wake_failed") for one in past.events),
        wasted_boots=wasted(found_lives, measured),
        durations=durations(found_acts),
        turns=past.turns,
        decisions=len(past.stretches),
        price_per_hour=price_per_hour,
    )


def queue(measured: Measured) -> Steps:
    """Jobs that no worker has yet."""
    points = measured.by(asking.JOBS, "state").get("ready", ())
    return samples.steps(points, longest_gap(measured))


def elasticity(
    demand: Steps, supply: Steps, since: float, until: float, queue: Steps
) -> Elasticity | None:
    """See `scorecard`; None when there is no time in which both are known."""
    added, waiting = Provision(), 0.0
    for (begin, end), (wanted, there, jobs) in together([demand, supply, queue], since, until):
        if wanted is not None and there is not None:
            added.add(int(wanted) - int(there), end - begin)
            waiting += (end - begin) if there > wanted and jobs else 0.0
    if added.seconds <= 0:
        return None
    return Elasticity(
        seconds=added.seconds,
        timeshare_under=added.under_seconds / added.seconds,
        timeshare_over=added.over_seconds / added.seconds,
        timeshare_over_waiting=waiting / added.seconds,
        under_machine_seconds=added.under,
        over_machine_seconds=added.over,
        accuracy_under=added.under / added.seconds,
        accuracy_over=added.over / added.seconds,
        rmse=added.rmse,
    )


def jobs(measured: Measured) -> Jobs | None:
    """None when the dispatcher was not scraped twice."""
    accepted = measured.increase(asking.ACCEPTED)
    by_state = measured.counted_by(asking.JOBS, "state")
    if accepted is None or not by_state:
        return None

    def grown(state: str) -> int:
        return round(samples.increase(by_state.get(state, ())) or 0.0)

    first = {state: points[0][1] for state, points in by_state.items() if points}
    last = {state: points[-1][1] for state, points in by_state.items() if points}
    ever = measured.points(asking.ACCEPTED)[-1][1]
    requeued = {
        reason: round(samples.increase(points, measured.anew()) or 0.0)
        for reason, points in measured.counted_by(asking.REQUEUED, "reason").items()
    }
    return Jobs(
        accepted=round(accepted),
        open_before=round(sum(first.get(state, 0.0) for state in OPEN)),
        done=grown("done"),
        failed=grown("failed"),
        cancelled=grown("cancelled"),
        open_at_end=round(sum(last.get(state, 0.0) for state in OPEN)),
        lost=max(0, round(ever - sum(last.values()))),
        requeued={reason: count for reason, count in requeued.items() if count},
        seconds=mean_job_seconds(measured) or 0.0,
    )


def waits(measured: Measured) -> Waits | None:
    """None when no wait was counted."""
    found = measured.waits().whole()
    if found is None or found.total < 0.5:
        return None
    p50, p95, p99 = (found.quantile(share) or 0.0 for share in (0.50, 0.95, 0.99))
    buckets = [
        (bound, round(count)) for bound, count in zip(found.bounds, found.counts, strict=True)
    ]
    return Waits(round(found.total), _unknown(found.total, measured), p50, p95, p99, buckets)


def _unknown(counted: float, measured: Measured) -> int:
    """Jobs that left the queue for the first time and whose wait was not counted."""
    by_state = measured.counted_by(asking.JOBS, "state")
    points = [by_state.get(state, ()) for state in _SERVED]
    served = sum(one[-1][1] - one[0][1] for one in points if one)
    missing = round(served - counted)
    return missing if missing > _TOLD_SHARE * served else 0


def wasted(found: Iterable[Life], measured: Measured) -> int | None:
    """Boots of domains that went off without a job done; None when that cannot be known."""
    completed = measured.by(asking.COMPLETED, "worker")
    count = 0
    for life in found:
        if life.was_there or life.until is None:
            continue
        if life.hello_at is None:
            # Without a worker no job.
            count += 1
            continue
        values = [
            value
            for moment, value in completed.get(life.domain, ())
            if life.since <= moment <= life.until + measured.step_seconds
        ]
        if not values:
            return None
        count += max(values) < 0.5
    return count


def durations(found: Sequence[Act]) -> list[Durations]:
    """How long starts, drains and shutdowns took that came to their end."""
    by_what: dict[str, list[float]] = {}
    for act in found:
        if act.seconds is not None:
            by_what.setdefault(f"{act.action.capitalize()}, {act.what}", []).append(act.seconds)
    return [
        Durations(
            what,
            len(seconds),
            statistics.median(seconds),
            quantile(sorted(seconds), 0.95),
            max(seconds),
        )
        for what, seconds in by_what.items()
    ]
