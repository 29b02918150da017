"""One cell of `bench elasticity`: every baseline, and ours at the machine-hours of each. Seeded."""

import itertools
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from random import Random
from typing import Any

from bench.equal_hours import EQUAL_RATIO, Figures, Knobs, Start, choose, equalise
from bench.resampling import Outcome, compare, interval
from scaler.config import ScalerConfig, pool_settings
from scaler.decision import Settings
from scaler.recommendation import BacklogPolicy
from scaler.simulator.recorded import BANK_CALLS, HINT, bank_calls_text, bank_day
from scaler.simulator.scenario import SCENARIOS
from scaler.simulator.scorecard import Scorecard
from scaler.simulator.simulation import (
    NAMES,
    Bounds,
    boot_deadline,
    simulate,
    workload_of,
)
from scaler.simulator.spreads import Spread, SpreadKind
from scaler.simulator.traces import Trace, rescaled, shaped
from scaler.simulator.workload import Workload

_BOUNDS = Bounds(1, 12)
_PEAK_DOMAINS = 8.0
_JOB_SECONDS = 20.0
_LENGTHS = {
    "heavy_tail": Spread(SpreadKind.PARETO, _JOB_SECONDS, 1.5),
}
_SHAPES = {"heavy_tail": "steady"}
TRACES = ("step", "ramp", "sine", "sawtooth", "diurnal", "flash", "heavy_tail", BANK_CALLS)
_OUT_WINDOWS = (2.0, 30.0)
_LATE = (120.0, 300.0)
"""Who grows so late starts few."""
_MOSTS = (2, 3, 4, 5, 6, 8, 10, 12)
_IN_WINDOWS = (10.0, 90.0, 300.0, 1800.0)
_GOALS = (90.0, 300.0, 900.0)
"""With a target of 1: who accepts long waits wants no slot free."""
_FLOORS = ((3, 10), (3, 12), (4, 8), (4, 12), (6, 10), (6, 12), (8, 10), *((n, 12) for n in (8, 9)))
_HIGH_FLOORS = (10, 11)
_CANDIDATES = 3
"""So many of the grid's best, by each of two estimates, are tried on more seeds."""
_MORE_CANDIDATES = 15
"""So many when none of those can be had at a baseline's machine-hours."""
_TICK_SECONDS = 2.0
"""Of ours, turned; the default is 1 s. Slower to act, and half the time to simulate."""
_TUNING_SEEDS = range(1000, 1003)
_ESTIMATE_SEEDS = range(1000, 1030)
_CHOICE_SEEDS = range(2000, 2008)
"""Those of the grid, those that tell what a baseline costs, and those on which the grid's best are
tried: others than those that are judged."""
_NEGLIGIBLE_WAIT_SECONDS = 0.05
_MUCH_SHORTER_RATIO = 0.85
_FEWER_RATIO = 0.95
_AS_GOOD_RATIO = 1.05
"""Nearer than these, figures of the few seeds of the choice are the same."""

Grid = dict[Knobs, Figures]


@dataclass(frozen=True)
class Cell:
    """One trace under one scenario."""

    trace: str
    scenario: str
    length_seconds: float
    seeds: int

    @property
    def name(self) -> str:
        """As `--cells` takes it."""
        return f"{self.trace}/{self.scenario}"


def grid_points() -> list[Knobs]:
    """What is tried of ours."""
    most = _BOUNDS.most
    budgets = itertools.product(_OUT_WINDOWS, _IN_WINDOWS, [None], _MOSTS)
    goals = itertools.product(_OUT_WINDOWS, _IN_WINDOWS[:3], _GOALS, (4, 8, most))
    floors = itertools.product(_OUT_WINDOWS, _IN_WINDOWS, _FLOORS)
    high = itertools.product(_IN_WINDOWS, _HIGH_FLOORS)
    return [
        Knobs(_TICK_SECONDS, 0.0, None, most, least=most),
        *itertools.starmap(Knobs, budgets),
        *(Knobs(out, _IN_WINDOWS[-1], None, top) for out in _LATE for top in _MOSTS),
        *(Knobs(*line, target_ratio=1.0) for line in goals),
        *(Knobs(out, into, None, top, least=low) for out, into, (low, top) in floors),
        *(Knobs(_TICK_SECONDS, into, None, most, least=low) for into, low in high),
    ]


def tried(cell: Cell, knobs: Knobs) -> Figures:
    """Means of ours over the seeds of the grid."""
    return _figures([_run_ours(cell, knobs, seed) for seed in _TUNING_SEEDS])


def measure(cell: Cell, grid: Grid) -> dict[str, Any]:
    """Every baseline, and ours at the machine-hours of each, from the best point of `grid` on."""
    seeds = range(cell.seeds)
    default = [_run_ours(cell, None, seed) for seed in seeds]
    rows = [_against(cell, name, grid) for name in NAMES]
    return {
        **asdict(cell),
        "default": _summary(default),
        "rows": rows,
        "points": [{"knobs": asdict(knobs), **asdict(figures)} for knobs, figures in grid.items()],
    }


def _against(cell: Cell, name: str, grid: Grid) -> dict[str, Any]:
    """Ours at the machine-hours of a baseline, over all seeds."""
    pair = _comparable(cell, name, grid)
    knobs, ours, theirs, ratio = pair.knobs, pair.ours, pair.theirs, pair.hours_ratio
    judged = verdict(ours, theirs)
    return {
        "baseline": name,
        "knobs": asdict(knobs),
        "hours_ratio": ratio,
        "is_equal": abs(ratio - 1) <= EQUAL_RATIO,
        "is_cheaper": ratio < 1 - EQUAL_RATIO and Outcome.LOSS not in judged.values(),
        "theirs": _summary(theirs),
        "ours": _summary(ours),
        "verdict": judged,
    }


def _comparable(cell: Cell, name: str, grid: Grid) -> "_Pair":
    """The most promising one that is no dearer on the seeds that are judged; else the first.

    Nothing but the machine-hours of those seeds decides about it.
    """
    first: _Pair | None = None
    for start in _promising(cell, name, grid):
        pair = _equalised(cell, name, start, range(cell.seeds))
        if pair.hours_ratio <= 1 + EQUAL_RATIO:
            return pair
        first = first or pair
    assert first is not None
    return first


def _promising(cell: Cell, name: str, grid: Grid) -> Iterator[Start]:
    """Who clearly loses nothing on the seeds of the choice; after those who loses least.

    The grid has the most promising ones first: as a rule one is enough, and few are tried.
    """
    # On the seeds of the grid both saw the same load; more seeds tell better what theirs costs.
    estimates = [
        _figures([_run_theirs(cell, name, seed) for seed in seeds])
        for seeds in (_TUNING_SEEDS, _ESTIMATE_SEEDS)
    ]
    lists = [choose(each, grid) for each in estimates]
    tried: dict[Start, _Pair] = {}
    yielded: set[Start] = set()

    def offered(start: Start) -> Start:
        yielded.add(start)
        return replace(start, knobs=tried[start].knobs)

    for count in (_CANDIDATES, _MORE_CANDIDATES):
        for start in itertools.chain(*(each[:count] for each in lists)):
            if start not in tried:
                tried[start] = _equalised(cell, name, start, _CHOICE_SEEDS)
                if tried[start].is_clear:
                    yield offered(start)
        if not yielded:
            yield offered(min(tried, key=lambda each: tried[each].rank))
    others = [start for start in tried if start not in yielded]
    for start in sorted(others, key=lambda each: tried[each].rank):
        yield offered(start)


@dataclass(frozen=True)
class _Pair:
    """Ours and a baseline on the same seeds."""

    knobs: Knobs
    ours: list[Scorecard]
    theirs: list[Scorecard]

    @property
    def hours_ratio(self) -> float:
        return _hours(self.ours) / _hours(self.theirs)

    @property
    def is_clear(self) -> bool:
        """No more hours, a much shorter wait and fewer starts: there is no need to look on.

        Or as many, when it is so by nature and not on average.
        """
        ours, theirs = _figures(self.ours), _figures(self.theirs)
        longest = max(_MUCH_SHORTER_RATIO * theirs.wait_p95, _NEGLIGIBLE_WAIT_SECONDS)
        return (
            self.hours_ratio <= 1 + EQUAL_RATIO
            and ours.wait_p95 <= longest
            and (
                ours.starts <= self._starts_ratio * theirs.starts
                or all(map(_starts_no_more, self.ours, self.theirs))
            )
        )

    @property
    def _starts_ratio(self) -> float:
        """Where nobody waits and the hours are equal, nothing is to be won: as many will do."""
        is_equal = abs(self.hours_ratio - 1) <= EQUAL_RATIO
        nobody_waits = _figures(self.theirs).wait_p95 <= _NEGLIGIBLE_WAIT_SECONDS
        return _AS_GOOD_RATIO if is_equal and nobody_waits else _FEWER_RATIO

    @property
    def rank(self) -> tuple[float, float, float, float]:
        """Less is better: no more hours, in no figure worse on average, equal hours, short waits.

        Who costs less and is in no figure worse need not be made dearer, or worse, to be compared.
        """
        ours, theirs = _figures(self.ours), _figures(self.theirs)
        least = _NEGLIGIBLE_WAIT_SECONDS
        wait = max(ours.wait_p95, least) / max(theirs.wait_p95, least)
        starts = ours.starts / theirs.starts if theirs.starts else 1.0 + ours.starts
        worse = max(_AS_GOOD_RATIO, wait, starts)
        dearer = max(0.0, self.hours_ratio - 1 - EQUAL_RATIO)
        cheaper = max(0.0, 1 - self.hours_ratio - EQUAL_RATIO)
        return dearer, worse, cheaper, ours.wait_p95


def _starts_no_more(ours: Scorecard, theirs: Scorecard) -> bool:
    return ours.starts_until_done <= theirs.starts_until_done


def _equalised(cell: Cell, name: str, start: Start, seeds: range) -> _Pair:
    """From `start` on, to the baseline's machine-hours."""
    theirs = [_run_theirs(cell, name, seed) for seed in seeds]
    knobs = equalise(
        start,
        [card.machine_hours_until_done for card in theirs],
        lambda knobs, place: _run_ours(cell, knobs, seeds[place]).machine_hours_until_done,
    )
    return _Pair(knobs, [_run_ours(cell, knobs, seed) for seed in seeds], theirs)


@lru_cache(maxsize=4096)
def _run_theirs(cell: Cell, name: str, seed: int) -> Scorecard:
    scenario = SCENARIOS[cell.scenario]
    return simulate(_workload(cell, seed), scenario, _BOUNDS, name, seed=seed).scorecard


@lru_cache(maxsize=4096)
def _run_ours(cell: Cell, knobs: Knobs | None, seed: int) -> Scorecard:
    """One run; None: the defaults as they are, but for the boot deadline."""
    scenario = SCENARIOS[cell.scenario]
    settings = _turned(boot_deadline(scenario), knobs)
    bounds, tick = _BOUNDS, 1.0
    if knobs is not None:
        # As many are defined as for the others: it is our order, not the host, that ends there.
        bounds, tick = Bounds(knobs.least, knobs.most, _BOUNDS.count), _TICK_SECONDS
    workload = _workload(cell, seed)
    found = simulate(workload, scenario, bounds, settings, seed=seed, tick_seconds=tick)
    return found.scorecard


def _turned(boot_deadline_seconds: float, knobs: Knobs | None) -> Settings:
    """The default configuration with its keys turned."""
    default = pool_settings(ScalerConfig())
    # What an operator sets by the site: longer than a boot. The host's CPU is not simulated.
    timing = replace(default.timing, boot_deadline_seconds=boot_deadline_seconds)
    default = replace(default, timing=timing, saturation=None)
    if knobs is None:
        return default
    limits = replace(
        default.limits,
        out_window_seconds=knobs.out_window_seconds,
        in_window_seconds=knobs.in_window_seconds,
    )
    policies = tuple(
        replace(policy, goal_seconds=knobs.goal_seconds, target_ratio=knobs.target_ratio)
        if isinstance(policy, BacklogPolicy)
        else policy
        for policy in default.policies
    )
    return replace(default, limits=limits, policies=policies)


@lru_cache(maxsize=64)
def _workload(cell: Cell, seed: int) -> Workload:
    trace = replace(_trace(cell, seed), name=cell.trace)
    length = _LENGTHS.get(cell.trace, Spread(SpreadKind.EXPONENTIAL, _JOB_SECONDS))
    return workload_of(trace, length, seed)


def _trace(cell: Cell, seed: int) -> Trace:
    peak = _PEAK_DOMAINS / _JOB_SECONDS
    if cell.trace == BANK_CALLS:
        text = bank_calls_text()
        assert text is not None, HINT
        return rescaled(bank_day(text, seed), peak=peak, length_seconds=cell.length_seconds)
    shape = _SHAPES.get(cell.trace, cell.trace)
    random = Random(f"trace {seed}")
    return shaped(shape, length_seconds=cell.length_seconds, peak=peak, random=random)


def _hours(cards: Sequence[Scorecard]) -> float:
    return statistics.fmean(card.machine_hours_until_done for card in cards)


def verdict(ours: Sequence[Scorecard], theirs: Sequence[Scorecard]) -> dict[str, str]:
    """Win, tie or loss per figure, on the same seeds."""

    def judged(name: str, least: float = 0.0) -> str:
        return compare(
            [max(least, getattr(card, name)) for card in ours],
            [max(least, getattr(card, name)) for card in theirs],
        ).value

    return {
        "jobs_cut": judged("jobs_cut_by_scale_in"),
        "wait_p95": judged("wait_p95", _NEGLIGIBLE_WAIT_SECONDS),
        "starts": judged("starts_until_done"),
    }


def _figures(cards: Sequence[Scorecard]) -> Figures:
    return Figures(
        _hours(cards),
        statistics.fmean(card.wait_p95 for card in cards),
        statistics.fmean(card.starts_until_done for card in cards),
    )


def _summary(cards: Sequence[Scorecard]) -> dict[str, Any]:
    names = (
        *("wait_p50", "wait_p95", "wait_p99", "machine_hours", "machine_hours_until_done"),
        *("starts_per_hour", "starts_until_done"),
        *("accuracy_under", "accuracy_over", "timeshare_under", "timeshare_over", "wasted_boots"),
    )
    found: dict[str, Any] = {
        name: asdict(interval([float(getattr(card, name)) for card in cards])) for name in names
    }
    reactions = [
        card.seconds_to_first_ready for card in cards if card.seconds_to_first_ready is not None
    ]
    found["seconds_to_first_ready"] = asdict(interval(reactions)) if reactions else None
    found["jobs"] = sum(card.jobs for card in cards)
    found["jobs_cut_by_scale_in"] = sum(card.jobs_cut_by_scale_in for card in cards)
    found["peak_active"] = max(card.peak_active for card in cards)
    found["unfinished"] = sum(card.unfinished for card in cards)
    return found
