"""The jobs of a run, drawn before it begins: every autoscaler is given the very same ones."""

import math
from dataclasses import dataclass
from random import Random

from scaler.simulator.spreads import Spread
from scaler.simulator.traces import Trace

TARGET_RATIO = 0.8
"""Utilisation at which a pool counts as neither too small nor too big."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A trace and its jobs, by arrival."""

    trace: Trace
    arrivals: tuple[float, ...]
    lengths: tuple[float, ...]
    """Seconds of service on one slot."""
    mean_seconds: float


def draw_workload(trace: Trace, length: Spread, random: Random) -> Workload:
    """Poisson arrivals at the trace's rate; lengths independent of them."""
    arrivals: list[float] = []
    ends = (*trace.moments[1:], trace.length_seconds)
    for start, end, rate in zip(trace.moments, ends, trace.rates, strict=True):
        if rate <= 0:
            continue
        # Without memory: beginning anew at each change of the rate is still the same process.
        moment = start + random.expovariate(rate)
        while moment < end:
            arrivals.append(moment)
            moment += random.expovariate(rate)
    lengths = tuple(length.draw(random) for _ in arrivals)
    return Workload(trace, tuple(arrivals), lengths, length.mean_seconds)


def domains_for(rate: float, *, mean_seconds: float, slots: float, least: int) -> int:
    """Fewest domains that carry so many jobs per second at `TARGET_RATIO`."""
    needed = rate * mean_seconds / (slots * TARGET_RATIO)
    return max(least, math.ceil(needed - 1e-9))


def demand_course(
    trace: Trace, *, mean_seconds: float, slots: int, least: int
) -> tuple[tuple[float, int], ...]:
    """(from when, domains): the fewest that carry the mean load at `TARGET_RATIO`.

    The demand of the elasticity metrics (Herbst et al., "Ready for Rain?", 2016).
    """
    course: list[tuple[float, int]] = []
    for moment, rate in zip(trace.moments, trace.rates, strict=True):
        wanted = domains_for(rate, mean_seconds=mean_seconds, slots=slots, least=least)
        if not course or course[-1][1] != wanted:
            course.append((moment, wanted))
    return tuple(course)
