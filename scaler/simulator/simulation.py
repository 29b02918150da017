"""One run: a workload, a scenario and an autoscaler in, the figures out.

Pure: the same arguments give the same figures.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Protocol

from scaler.decision import Decision, Settings
from scaler.simulator.baseline_driver import BaselineScaler
from scaler.simulator.baselines import BASELINES
from scaler.simulator.domains import CLOCK_START_SECONDS, SimulatedPool
from scaler.simulator.oracle import Oracle
from scaler.simulator.production import ProductionScaler
from scaler.simulator.scenario import Scenario, Span
from scaler.simulator.scorecard import Ledger, Scorecard
from scaler.simulator.signals import DEMAND_WINDOW_SECONDS, Signals
from scaler.simulator.spreads import Spread
from scaler.simulator.traces import Trace
from scaler.simulator.workload import Workload, demand_course, draw_workload

ORACLE = "oracle"
NAMES = (*BASELINES, ORACLE)
"""Every baseline."""

_GIVE_UP_SECONDS = 3600.0
"""So long after its trace a run may take to finish its jobs."""


class Scaler(Protocol):
    """An autoscaler at work on a simulated pool."""

    turns: int

    def kill(self) -> None:
        """Loses its memory and stops turning."""
        ...

    def restart(self) -> None:
        """Turns again."""
        ...

    def forget_records(self) -> None:
        """The wall clock has jumped."""
        ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """What all autoscalers of a comparison are held to."""

    least: int = 1
    most: int = 12
    defined: int | None = None
    """Domains there are; None: a quarter more than `most`, so that a ceiling is put to the test."""

    @property
    def count(self) -> int:
        """Domains there are."""
        return self.defined or self.most + max(2, self.most // 4)


@dataclass(frozen=True, slots=True)
class Run:
    """What a run left behind."""

    scorecard: Scorecard
    course: tuple[tuple[float, int, int], ...]
    """(seconds into the trace, ready, active), at each change."""
    demand: tuple[tuple[float, int], ...]
    turns: int


def workload_of(trace: Trace, length: Spread, seed: int) -> Workload:
    """The jobs of a seed."""
    return draw_workload(trace, length, Random(f"jobs {seed}"))


def simulate(
    workload: Workload,
    scenario: Scenario,
    bounds: Bounds,
    policy: Settings | str,
    *,
    seed: int,
    tick_seconds: float = 1.0,
    demand_window_seconds: float = DEMAND_WINDOW_SECONDS,
    watch: Callable[[Decision], None] | None = None,
) -> Run:
    """Runs `policy`, our settings or a baseline's name, over the trace."""
    boot_seconds = scenario.boot.mean_seconds
    warm_up = 120.0 + 4 * boot_seconds
    demand = demand_course(
        workload.trace,
        mean_seconds=workload.mean_seconds,
        slots=scenario.slots,
        least=bounds.least,
    )
    start = CLOCK_START_SECONDS + warm_up
    ledger = Ledger(
        trace_start=start,
        trace_end=start + workload.trace.length_seconds,
        demand=demand,
        jumps=workload.trace.jumps,
    )
    pool = SimulatedPool(
        workload,
        scenario,
        count=bounds.count,
        random=Random(f"site {seed}"),
        ledger=ledger,
        warm_up_seconds=warm_up,
    )
    signals = Signals(pool, demand_window_seconds=demand_window_seconds)
    scaler = _scaler(policy, pool, signals, bounds, workload, tick_seconds, watch)
    _plan_faults(pool, signals, scaler, workload.trace.length_seconds)
    pool.run_until(pool.trace_end)
    scorecard_time = pool.trace_end
    while pool.unfinished and pool.now < pool.trace_end + _GIVE_UP_SECONDS:
        pool.run_until(pool.now + 60.0)
        scorecard_time = pool.now
    course = tuple((moment - start, ready, active) for moment, ready, active in ledger.course)
    return Run(ledger.scorecard(scorecard_time), course, demand, scaler.turns)


def boot_deadline(scenario: Scenario) -> float:
    """A deadline that a boot of this scenario keeps: an operator would set one like it."""
    return max(60.0, 3 * scenario.boot.mean_seconds)


def _scaler(
    policy: Settings | str,
    pool: SimulatedPool,
    signals: Signals,
    bounds: Bounds,
    workload: Workload,
    tick_seconds: float,
    watch: Callable[[Decision], None] | None,
) -> Scaler:
    if isinstance(policy, Settings):
        limits = replace(policy.limits, min=bounds.least, max=bounds.most)
        settings = replace(policy, limits=limits)
        return ProductionScaler(pool, signals, settings, tick_seconds=tick_seconds, watch=watch)
    make = BASELINES.get(policy)
    if policy == ORACLE:
        make = partial(Oracle, workload, pool.scenario, pool.trace_start)
    if make is None:
        raise KeyError(policy)
    return BaselineScaler(
        pool,
        signals,
        make,
        least=bounds.least,
        most=bounds.most,
        boot_deadline_seconds=boot_deadline(pool.scenario),
    )


def _plan_faults(
    pool: SimulatedPool, signals: Signals, scaler: Scaler, length_seconds: float
) -> None:
    faults, switches = pool.scenario.faults, signals.switches

    def during(spans: tuple[Span, ...], begin: Callable[[bool], None]) -> None:
        for span in spans:
            moment = pool.trace_start + span.start_share * length_seconds
            pool.at(moment, begin, True)
            pool.at(moment + span.seconds, begin, False)

    def switch(subject: object, name: str) -> Callable[[bool], None]:
        return lambda is_on: setattr(subject, name, is_on)

    during(faults.outages, switch(switches, "does_not_answer"))
    during(faults.not_a_number, switch(switches, "answers_not_a_number"))
    during(faults.empty, switch(switches, "answers_nothing"))
    during(faults.hypervisor_away, switch(pool, "hypervisor_away"))
    during(faults.host_full, switch(pool, "host_full"))
    during(faults.scaler_away, lambda is_on: scaler.kill() if is_on else scaler.restart())

    def jump(seconds: float) -> None:
        pool.wall_offset += seconds
        scaler.forget_records()

    for share, seconds in faults.clock_steps:
        pool.at(pool.trace_start + share * length_seconds, jump, seconds)
