"""Arrival rates over time, and shapes of them. A rate holds until the next point."""

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Trace:
    """Jobs per second as a step function from 0 to `length_seconds`."""

    name: str
    moments: tuple[float, ...]
    """Seconds at which a rate begins; the first is 0, each later than the one before."""
    rates: tuple[float, ...]
    """Jobs per second from the moment of the same place on."""
    length_seconds: float
    jumps: tuple[float, ...] = ()
    """Moments at which the rate jumps up at once: what a time to react is counted from."""

    def rate_at(self, seconds: float) -> float:
        """Jobs per second at a moment."""
        return self.rates[max(0, bisect_right(self.moments, seconds) - 1)]

    @property
    def expected_jobs(self) -> float:
        """Mean number of arrivals."""
        ends = (*self.moments[1:], self.length_seconds)
        return sum(
            (end - start) * rate
            for start, end, rate in zip(self.moments, ends, self.rates, strict=True)
        )


Shape = Callable[[float, Random], float]
"""Load, 0 to 1, at a share of the trace's length, 0 to 1."""


def _step(share: float, _: Random) -> float:
    return 0.8 if 0.25 <= share < 0.7 else 0.12


def _ramp(share: float, _: Random) -> float:
    return 0.1 + 0.9 * share / 0.6 if share < 0.6 else max(0.1, 1.0 - 3.0 * (share - 0.6))


def _sine(share: float, _: Random) -> float:
    return 0.5 - 0.4 * math.cos(2 * math.pi * share * 5)


def _sawtooth(share: float, _: Random) -> float:
    return 0.1 + 0.8 * (share * 20 % 1.0)


def _diurnal(share: float, random: Random) -> float:
    """A night, a morning peak, a higher afternoon and 15 % of noise."""
    morning = math.exp(-(((share - 0.42) / 0.10) ** 2))
    afternoon = math.exp(-(((share - 0.68) / 0.13) ** 2))
    return (0.08 + 0.65 * morning + 0.80 * afternoon) * random.lognormvariate(0.0, 0.15)


def _flash(share: float, _: Random) -> float:
    """Quiet; ten times the load at once, which then ebbs away; half of that once more."""
    load = 0.08
    for start, height in ((0.3, 0.9), (0.7, 0.45)):
        if share >= start:
            load += height * math.exp(-(share - start) / 0.08)
    return load


def _steady(_: float, random: Random) -> float:
    return 0.5 * random.lognormvariate(0.0, 0.1)


SHAPES: Mapping[str, Shape] = {
    "step": _step,
    "ramp": _ramp,
    "sine": _sine,
    "sawtooth": _sawtooth,
    "diurnal": _diurnal,
    "flash": _flash,
    "steady": _steady,
}
"""Every shape by its name."""

_JUMPS: Mapping[str, tuple[float, ...]] = {
    "step": (0.25,),
    "flash": (0.3, 0.7),
}
_POINTS = 720


def shaped(name: str, *, length_seconds: float, peak: float, random: Random) -> Trace:
    """A trace of a shape; `peak` is the rate, in jobs per second, of load 1.

    Raises:
        KeyError: there is no such shape.

    """
    shape = SHAPES[name]
    moments = tuple(length_seconds * number / _POINTS for number in range(_POINTS))
    rates = tuple(peak * max(0.0, shape(number / _POINTS, random)) for number in range(_POINTS))
    jumps = tuple(length_seconds * share for share in _JUMPS.get(name, ()))
    return Trace(name, moments, rates, length_seconds, jumps)


def rescaled(trace: Trace, *, peak: float, length_seconds: float) -> Trace:
    """The same course, with another highest rate and another length."""
    highest = max(trace.rates)
    if highest <= 0:
        raise ValueError(f"trace {trace.name}: no rate is above 0")
    faster = length_seconds / trace.length_seconds
    return Trace(
        trace.name,
        tuple(moment * faster for moment in trace.moments),
        tuple(rate * peak / highest for rate in trace.rates),
        length_seconds,
        tuple(moment * faster for moment in trace.jumps),
    )


def joined(name: str, parts: Sequence[Trace]) -> Trace:
    """One after another."""
    moments: list[float] = []
    jumps: list[float] = []
    begun = 0.0
    for part in parts:
        moments += [begun + moment for moment in part.moments]
        jumps += [begun + moment for moment in part.jumps]
        begun += part.length_seconds
    rates = tuple(rate for part in parts for rate in part.rates)
    return Trace(name, tuple(moments), rates, begun, tuple(jumps))
