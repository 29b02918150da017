"""Which knobs make the pool cost the machine-hours of another autoscaler. Pure.

A shorter wait that costs more machines proves nothing. So ours is compared at equal machine-hours,
and the knobs that get it there are documented keys of the configuration.
"""

import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

EQUAL_RATIO = 0.02
"""Machine-hours that differ by no more than this share are equal."""
_NEAR_RATIO = 0.75 * EQUAL_RATIO
"""Near enough to look no further."""
_LONGEST_SECONDS = 7200.0
_ROUNDS = 6
_SHORT_ROUNDS = 3
_LADDER_RATIO = 1.05
_REACH_RATIO = 1.4
"""So much cheaper a longer window for scaling out may make it."""
_LEAST_WAIT_SECONDS = 0.05
_SHORT_WINDOWS = (120.0, 60.0, 30.0, 15.0)
_NEARLY_RATIO = 1.1
"""Who is dearer by no more than this can come to equal hours by short windows for scaling in."""
_CLEAR_RATIO = 0.95
_NO_MORE_RATIO = 0.98
"""A wait must be clearly shorter than theirs, starts need only not be more."""


@dataclass(frozen=True)
class Knobs:
    """What an operator may turn to trade machine-hours for wait and starts."""

    out_window_seconds: float
    """`scale_out.window_seconds`."""
    in_window_seconds: float
    """`scale_in.window_seconds`."""
    goal_seconds: float | None
    """`goal_seconds` of the policy `backlog`; None: not set, as by default."""
    most: int
    """`max`: who wants to pay for fewer domains says so."""
    least: int = 1
    """`min`: who wants to pay for many all the time says so."""
    target_ratio: float = 0.8
    """`target_ratio` of the policy `backlog`."""


@dataclass(frozen=True)
class Figures:
    """Means over some seeds."""

    machine_hours: float
    wait_p95: float
    starts: float


@dataclass(frozen=True)
class Start:
    """Where to look for equal machine-hours, and which window to turn first."""

    knobs: Knobs
    turns_out: bool = False
    """That for scaling out: who grows later starts fewer."""


def choose(theirs: Figures, grid: Mapping[Knobs, Figures]) -> list[Start]:
    """Knobs of equal machine-hours between the points of the grid, those that lose least first."""
    candidates: dict[Figures, tuple[bool, int, int, float, Start]] = {}
    for window in (_IN, _OUT):
        for knobs, line in _lines(grid, window).items():
            seconds, figures = crossing(line, theirs.machine_hours)
            distance = _distance(theirs.machine_hours, [each.machine_hours for _, each in line])
            if window.is_out and distance:
                continue
            if knobs.least > 1:
                # Growing later makes a pool cheaper, but not its floor.
                distance = 2 if distance else 0
            wait = _ratio(figures.wait_p95, theirs.wait_p95, _LEAST_WAIT_SECONDS)
            starts = _ratio(figures.starts, theirs.starts, 1e-3)
            losses = (wait > _CLEAR_RATIO) + (starts > _NO_MORE_RATIO)
            if not losses and figures.machine_hours <= theirs.machine_hours:
                # Who costs less and loses nothing need not cost as much.
                distance = min(distance, 1)
            worst = max(wait, starts) if losses else wait
            start = Start(window.set_to(knobs, rung(seconds)), window.is_out)
            # Keys that do not bind change nothing: one candidate for all of them.
            candidates.setdefault(figures, (distance == 2, losses, distance, worst, start))
    return [each[4] for each in sorted(candidates.values(), key=lambda each: each[:4])]


def _lines(
    grid: Mapping[Knobs, Figures], window: "_Window"
) -> dict[Knobs, list[tuple[float, Figures]]]:
    """Points that differ in one window only, the cheap end of each line first."""
    lines: dict[Knobs, list[tuple[float, Figures]]] = {}
    for knobs, figures in grid.items():
        lines.setdefault(window.set_to(knobs, 0.0), []).append((window.of(knobs), figures))
    for line in lines.values():
        line.sort(key=lambda point: -point[0] if window.is_out else point[0])
    return lines


def _distance(goal: float, hours: Sequence[float]) -> int:
    """0: the window for scaling in reaches the goal; 1: that for scaling out may; 2: neither."""
    if min(hours) <= goal <= max(hours):
        return 0
    return 1 if goal < min(hours) <= goal * _REACH_RATIO else 2


def _ratio(ours: float, theirs: float, least: float) -> float:
    return max(least, ours) / max(least, theirs)


def crossing(line: Sequence[tuple[float, Figures]], goal: float) -> tuple[float, Figures]:
    """Where a line of (window, figures) reaches `goal` hours; its nearest end when it does not."""
    for (first, low), (second, high) in itertools.pairwise(line):
        if low.machine_hours <= goal <= high.machine_hours and high != low:
            share = (goal - low.machine_hours) / (high.machine_hours - low.machine_hours)
            return first + (second - first) * share, _between(low, high, share)
    return min(line, key=lambda point: abs(point[1].machine_hours - goal))


def _between(low: Figures, high: Figures, share: float) -> Figures:
    return Figures(
        low.machine_hours + (high.machine_hours - low.machine_hours) * share,
        low.wait_p95 + (high.wait_p95 - low.wait_p95) * share,
        low.starts + (high.starts - low.starts) * share,
    )


def rung(seconds: float) -> float:
    """The nearest of the windows in use, so that baselines of nearly the same hours share runs."""
    seconds = min(_LONGEST_SECONDS, max(0.0, seconds))
    if seconds < 1 / (_LADDER_RATIO - 1):
        return float(round(seconds))
    step = math.log(_LADDER_RATIO)
    return float(round(math.exp(round(math.log(seconds) / step) * step)))


def equalise(start: Start, goal: Sequence[float], hours: Callable[[Knobs, int], float]) -> Knobs:
    """The knobs nearest to the machine-hours of `goal`, one per seed, from `start` on.

    Where one window does not reach, the other one is turned.
    """
    windows = (_OUT, _IN) if start.turns_out else (_IN, _OUT)
    return _turned(start.knobs, goal, hours, windows)[0]


def _turned(
    start: Knobs,
    goal: Sequence[float],
    hours: Callable[[Knobs, int], float],
    windows: Sequence["_Window"],
) -> tuple[Knobs, float]:
    found, ratio = start, math.inf
    for window in windows:
        there, nearer = _searched(found, goal, hours, window, _ROUNDS)
        if abs(nearer - 1) < abs(ratio - 1):
            found, ratio = there, nearer
        if abs(ratio - 1) <= EQUAL_RATIO:
            return found, ratio
    if 1 < ratio <= _NEARLY_RATIO:
        # Windows longer than the troughs of the load all cost the same: down to those that do not.
        for seconds in _SHORT_WINDOWS:
            start = _IN.set_to(found, seconds)
            there, nearer = _searched(start, goal, hours, _IN, _SHORT_ROUNDS)
            if abs(nearer - 1) < abs(ratio - 1):
                found, ratio = there, nearer
            if ratio <= 1 + EQUAL_RATIO:
                break
    return found, ratio


@dataclass(frozen=True)
class _Window:
    """A window, and with which power of its length machine-hours grow, about."""

    is_out: bool
    power: float

    def of(self, knobs: Knobs) -> float:
        return knobs.out_window_seconds if self.is_out else knobs.in_window_seconds

    def set_to(self, knobs: Knobs, seconds: float) -> Knobs:
        if self.is_out:
            return replace(knobs, out_window_seconds=seconds)
        return replace(knobs, in_window_seconds=seconds)

    def turned(self, knobs: Knobs, tried: Mapping[Knobs, float]) -> Knobs:
        """Knobs that should bring the machine-hours nearer."""
        below = [each for each, ratio in tried.items() if ratio < 1]
        above = [each for each, ratio in tried.items() if ratio >= 1]
        if below and above:
            low = max(below, key=tried.__getitem__)
            high = min(above, key=tried.__getitem__)
            share = (1 - tried[low]) / (tried[high] - tried[low])
            seconds = self.of(low) + share * (self.of(high) - self.of(low))
        else:
            factor = min(8.0, max(0.125, tried[knobs] ** (-1 / self.power)))
            seconds = (self.of(knobs) + 5.0) * factor - 5.0
        return self.set_to(knobs, rung(seconds))


_IN = _Window(is_out=False, power=0.33)
_OUT = _Window(is_out=True, power=-0.2)


def _searched(
    start: Knobs,
    goal: Sequence[float],
    hours: Callable[[Knobs, int], float],
    window: _Window,
    rounds: int,
) -> tuple[Knobs, float]:
    """The knobs found, and the share of the goal that they cost."""
    tried: dict[Knobs, float] = {}
    knobs = start
    for _ in range(rounds):
        mean = statistics.fmean(hours(knobs, seed) for seed in range(len(goal)))
        ratio = mean / statistics.fmean(goal)
        turns_nothing = ratio in tried.values()
        tried[knobs] = ratio
        if abs(ratio - 1) <= _NEAR_RATIO or turns_nothing:
            break
        knobs = window.turned(knobs, tried)
        if knobs in tried:
            break
    found = min(tried, key=lambda each: abs(tried[each] - 1))
    return found, tried[found]
