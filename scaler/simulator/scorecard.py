"""The figures of a run. Integrals over step functions are exact, not samples.

Elasticity metrics as in Herbst et al., "Ready for Rain?" (SPEC-RG-2016-01): demand d is the fewest
domains that carry the load, supply s the domains that take jobs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scorecard:
    """What came out of one run. Times in seconds; ratios are shares of the trace's length."""

    jobs: int
    jobs_cut_by_scale_in: int
    """Jobs whose domain lost its power, or its leases, to a scale-in: begun again from nothing."""
    jobs_cut_by_faults: int
    wait_p50: float
    wait_p95: float
    wait_p99: float
    machine_hours: float
    """Hours of domains in any state but off, during the trace."""
    machine_hours_until_done: float
    """The same until the trace is over and its last job done: who leaves jobs for later pays for
    them later."""
    starts: int
    starts_per_hour: float
    starts_until_done: int
    wasted_boots: int
    """Domains that went off without having finished a job."""
    accuracy_under: float
    """Mean of max(d - s, 0), in domains."""
    accuracy_over: float
    timeshare_under: float
    timeshare_over: float
    seconds_to_first_ready: float | None
    """From an upward jump of the trace to the next domain that becomes ready; mean of the jumps
    that one followed before the load ended; None without jumps."""
    peak_active: int
    """Most domains ever in any state but off."""
    unfinished: int
    """Jobs still not done when the run was given up: an hour after the trace's end."""


@dataclass(slots=True)
class Provision:
    """What was missing of the demand and what was too much, added up stretch by stretch."""

    seconds: float = 0.0
    under: float = 0.0
    """Domain-seconds that were missing."""
    over: float = 0.0
    under_seconds: float = 0.0
    over_seconds: float = 0.0
    squares: float = 0.0

    def add(self, missing: int, seconds: float) -> None:
        """`missing` is demand less supply, in domains, for so many seconds."""
        self.seconds += seconds
        if missing > 0:
            self.under += missing * seconds
            self.under_seconds += seconds
        elif missing < 0:
            self.over -= missing * seconds
            self.over_seconds += seconds
        self.squares += missing * missing * seconds

    @property
    def rmse(self) -> float:
        """Root of the mean, over time, of the squared difference, in domains."""
        return math.sqrt(self.squares / self.seconds) if self.seconds else 0.0


class Ledger:
    """Counts while a run goes on. Everything before `trace_start` is warm-up."""

    def __init__(
        self,
        *,
        trace_start: float,
        trace_end: float,
        demand: Sequence[tuple[float, int]],
        jumps: Sequence[float],
    ) -> None:
        self._start, self._end = trace_start, trace_end
        self._demand = [(trace_start + moment, count) for moment, count in demand]
        self._place = 0
        self.demand = self._demand[0][1] if self._demand else 0
        self._jumps = [trace_start + moment for moment in jumps]
        self._waiting_jumps: list[float] = []
        self._reactions: list[float] = []
        self.arrived = self.done = 0
        self.busy_slots = self.connected_slots = 0
        self.busy_seconds = self.connected_seconds = 0.0
        self.supply = self.active = self.peak_active = 0
        self._waits: list[float] = []
        self._cut_by_scale_in = self._cut_by_faults = 0
        self._starts = self._wasted = 0
        self._machine_seconds = 0.0
        self._spent_seconds, self._spent_to = 0.0, trace_start
        self._started = 0
        self._until_done: tuple[float, int] | None = None
        self._provision = Provision()
        self._last = 0.0
        self._counted_to = trace_start
        self.course: list[tuple[float, int, int]] = []
        """(moment, supply, active) at every change, for a plot."""

    def advance(self, now: float) -> None:
        """Adds up what held since the last call; call it before anything changes."""
        passed = now - self._last
        if passed > 0:
            self.busy_seconds += self.busy_slots * passed
            self.connected_seconds += self.connected_slots * passed
            self._last = now

    def _spend(self, now: float) -> None:
        """The integral of active, beyond the trace, too."""
        if now > self._spent_to:
            self._spent_seconds += self.active * (now - self._spent_to)
            self._spent_to = now

    def _integrate(self, now: float) -> None:
        """Integrals of active, supply and demand up to `now`, within the trace."""
        self._spend(now)
        now = min(now, self._end)
        while self._place + 1 < len(self._demand) and self._demand[self._place + 1][0] <= now:
            self._place += 1
            moment, count = self._demand[self._place]
            self._add(moment)
            self.demand = count
        self._add(now)

    def _add(self, moment: float) -> None:
        passed = moment - self._counted_to
        if passed <= 0:
            return
        self._counted_to = moment
        self._machine_seconds += self.active * passed
        self._provision.add(self.demand - self.supply, passed)

    def started(self, now: float) -> None:
        """A domain was powered on."""
        self._integrate(now)
        self.active += 1
        self.peak_active = max(self.peak_active, self.active)
        if self._start <= now < self._end:
            self._starts += 1
        self._started += now >= self._start
        self.course.append((now, self.supply, self.active))

    def connected(self, now: float, slots: int, *, is_supply: bool) -> None:
        """A worker said Hello."""
        self.advance(now)
        self.connected_slots += slots
        if is_supply:
            self.supply_changed(now, 1)
        while self._jumps and self._jumps[0] <= now:
            self._waiting_jumps.append(self._jumps.pop(0))
        if now < self._end:
            self._reactions.extend(now - jump for jump in self._waiting_jumps)
            self._waiting_jumps.clear()

    def stopped(self, now: float, slots: int, *, is_supply: bool, was_wasted: bool) -> None:
        """A domain is off; `slots` are those that were connected."""
        self.advance(now)
        self._integrate(now)
        self.connected_slots -= slots
        self.active -= 1
        if was_wasted and self._start <= now < self._end:
            self._wasted += 1
        self.supply -= is_supply
        self.course.append((now, self.supply, self.active))

    def supply_changed(self, now: float, difference: int) -> None:
        """Domains that take jobs became more or fewer."""
        self._integrate(now)
        self.supply += difference
        self.course.append((now, self.supply, self.active))

    def finished(self, now: float, wait_seconds: float) -> None:
        """A job is done; it waited so long for the attempt that did it."""
        self.done += 1
        if now >= self._end:
            self._spend(now)
            self._until_done = self._spent_seconds, self._started
        self._waits.append(wait_seconds)

    def cut(self, jobs: int, *, by_scale_in: bool) -> None:
        """Jobs lost their worker."""
        if by_scale_in:
            self._cut_by_scale_in += jobs
        else:
            self._cut_by_faults += jobs

    def scorecard(self, now: float) -> Scorecard:
        """The figures, once the run is over."""
        self._integrate(now)
        waits = sorted(self._waits)
        length = self._end - self._start
        reactions = self._reactions
        spent, started = self._machine_seconds, self._starts
        if self.arrived > self.done:
            spent, started = self._spent_seconds, self._started
        elif self._until_done is not None:
            spent, started = self._until_done
        return Scorecard(
            jobs=self.arrived,
            jobs_cut_by_scale_in=self._cut_by_scale_in,
            jobs_cut_by_faults=self._cut_by_faults,
            wait_p50=quantile(waits, 0.50),
            wait_p95=quantile(waits, 0.95),
            wait_p99=quantile(waits, 0.99),
            machine_hours=self._machine_seconds / 3600,
            machine_hours_until_done=spent / 3600,
            starts=self._starts,
            starts_per_hour=self._starts * 3600 / length,
            starts_until_done=started,
            wasted_boots=self._wasted,
            accuracy_under=self._provision.under / length,
            accuracy_over=self._provision.over / length,
            timeshare_under=self._provision.under_seconds / length,
            timeshare_over=self._provision.over_seconds / length,
            seconds_to_first_ready=sum(reactions) / len(reactions) if reactions else None,
            peak_active=self.peak_active,
            unfinished=self.arrived - self.done,
        )


def quantile(ordered: Sequence[float], share: float) -> float:
    """The exact value below which this share of the ordered samples lies; 0 without samples."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
