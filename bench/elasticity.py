"""How well the pool follows the load, beside other autoscalers, at equal machine-hours.

Everything runs in the scaler's simulator: the same jobs, the same boots, the same faults for all.
Ours is the `backlog` policy on the mean demand of 30 s, all surplus drained at once, with three
knobs: a longer scale-in window buys fewer starts with machine-hours, a longer scale-out window and
a higher target give some of the wait for fewer of both. For each baseline those are chosen that
cost the same machine-hours; see docs/BENCHMARKS.md. The default policies are shown beside it.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

from bench.report import print_rows
from bench.resampling import Outcome, compare, interval
from scaler.decision import Settings
from scaler.recommendation import BacklogPolicy, ReferencePolicy
from scaler.simulator import plot
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
from scaler.stabilization import Limits
from scaler.tracking import Timing

_BOUNDS = Bounds(1, 12)
_PEAK_DOMAINS = 8.0
_JOB_SECONDS = 20.0
_LENGTHS = {
    "heavy_tail": Spread(SpreadKind.PARETO, _JOB_SECONDS, 1.5),
}
_SHAPES = {"heavy_tail": "steady"}
TRACES = ("step", "ramp", "sine", "sawtooth", "diurnal", "flash", "heavy_tail", BANK_CALLS)
_OUT_WINDOWS = (5.0, 10.0)
_TARGETS = (0.8, 1.0)
_IN_WINDOWS = (0.0, 15.0, 30.0, 60.0, 120.0, 240.0, 480.0, 1800.0)
_DEMAND_WINDOW_SECONDS = 30.0
_TUNING_SEEDS = 4
_EQUAL_RATIO = 0.02
_ROUNDS = 3
_NEGLIGIBLE_WAIT_SECONDS = 0.05


@dataclass(frozen=True)
class Knobs:
    """What an operator may turn to trade machine-hours for wait and starts."""

    out_window_seconds: float
    in_window_seconds: float
    target_ratio: float


@dataclass(frozen=True)
class Cell:
    """One trace under one scenario."""

    trace: str
    scenario: str
    length_seconds: float
    seeds: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the benchmark's flags."""
    parser.add_argument("--seeds", type=int, default=30, help="runs per point (default 30)")
    parser.add_argument("--length", type=float, default=3600, help="of a trace, s (default 3600)")
    parser.add_argument("--traces", nargs="+", choices=TRACES, default=list(TRACES))
    parser.add_argument("--scenarios", nargs="+", choices=list(SCENARIOS), default=list(SCENARIOS))
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--quick", action="store_true", help="a smoke run; judges nothing")
    parser.add_argument("--json", type=Path, help="also write every figure to this file")
    parser.add_argument("--plot", type=Path, help="also draw the points (HTML)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs every cell and prints its table and who won; 1 when a job was lost by ours."""
    traces, scenarios, seeds = arguments.traces, arguments.scenarios, arguments.seeds
    length = arguments.length
    if arguments.quick:
        traces, scenarios, seeds, length = traces[:1], scenarios[:1], 3, 900.0
    if BANK_CALLS in traces and bank_calls_text() is None:
        print(f"NOT RUN: trace {BANK_CALLS}: {HINT}", file=sys.stderr)
        traces = [name for name in traces if name != BANK_CALLS]
    cells = [Cell(trace, scenario, length, seeds) for scenario in scenarios for trace in traces]
    began = time.monotonic()
    found: list[dict[str, Any]] = []
    context = multiprocessing.get_context("spawn")
    with context.Pool(max(1, min(arguments.processes, len(cells)))) as workers:
        for result in workers.imap(measure, cells):
            found.append(result)
            _show(result)
    totals = _show_totals(found)
    print(f"\n{len(cells)} cells, {seeds} seeds, {time.monotonic() - began:.0f} s")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"cells": found, "totals": totals}, indent=2))
    if arguments.plot is not None:
        arguments.plot.write_text(_draw(found), encoding="utf-8")
    lost = sum(row["ours"]["jobs_cut_by_scale_in"] for each in found for row in each["rows"])
    if lost:
        print(f"ours cut {lost} jobs by scale-in: MISSED", file=sys.stderr)
    return 1 if lost and not arguments.quick else 0


# One cell.


def measure(cell: Cell) -> dict[str, Any]:
    """Every baseline, and ours at the machine-hours of each."""
    seeds = range(cell.seeds)
    grid = {
        knobs: _ours(cell, knobs, range(min(_TUNING_SEEDS, cell.seeds)))
        for knobs in itertools.starmap(
            Knobs, itertools.product(_OUT_WINDOWS, _IN_WINDOWS, _TARGETS)
        )
    }
    default = [_run_ours(cell, None, seed) for seed in seeds]
    rows = []
    for name in NAMES:
        theirs = [
            simulate(_workload(cell, seed), SCENARIOS[cell.scenario], _BOUNDS, name, seed=seed)
            for seed in seeds
        ]
        rows.append(_against(cell, name, [each.scorecard for each in theirs], grid))
    return {
        **asdict(cell),
        "default": _summary(default),
        "rows": rows,
        "points": [{"knobs": asdict(knobs), **_means(cards)} for knobs, cards in grid.items()],
    }


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


@lru_cache(maxsize=4096)
def _run_ours(cell: Cell, knobs: Knobs | None, seed: int) -> Scorecard:
    """One run; None: the default policies and limits."""
    scenario = SCENARIOS[cell.scenario]
    # What an operator sets by the site: longer than a boot, and than the longest job.
    timing = Timing(boot_deadline_seconds=boot_deadline(scenario), drain_deadline_seconds=86_400.0)
    if knobs is None:
        settings = Settings(timing=timing, policies=(ReferencePolicy(), BacklogPolicy()))
        return simulate(_workload(cell, seed), scenario, _BOUNDS, settings, seed=seed).scorecard
    limits = Limits(
        out_window_seconds=knobs.out_window_seconds,
        in_window_seconds=knobs.in_window_seconds,
        in_cooldown_seconds=0.0,
        in_step=_BOUNDS.most,
    )
    policy = BacklogPolicy(target_ratio=knobs.target_ratio)
    return simulate(
        _workload(cell, seed),
        scenario,
        _BOUNDS,
        Settings(limits=limits, timing=timing, policies=(policy,)),
        seed=seed,
        demand_window_seconds=_DEMAND_WINDOW_SECONDS,
    ).scorecard


def _ours(cell: Cell, knobs: Knobs, seeds: Sequence[int]) -> list[Scorecard]:
    return [_run_ours(cell, knobs, seed) for seed in seeds]


def _hours(cards: Sequence[Scorecard]) -> float:
    return statistics.fmean(card.machine_hours for card in cards)


def _against(
    cell: Cell, name: str, theirs: list[Scorecard], grid: dict[Knobs, list[Scorecard]]
) -> dict[str, Any]:
    """Ours at the machine-hours of `theirs`, over all seeds."""
    knobs = choose(theirs[: min(_TUNING_SEEDS, cell.seeds)], grid)
    goal = _hours(theirs)
    ours = _ours(cell, knobs, range(cell.seeds))
    best = (knobs, ours)
    for _ in range(_ROUNDS):
        ratio = _hours(ours) / goal
        if abs(ratio - 1) < abs(_hours(best[1]) / goal - 1):
            best = (knobs, ours)
        if abs(ratio - 1) <= _EQUAL_RATIO:
            break
        knobs = _turned(knobs, ratio)
        ours = _ours(cell, knobs, range(cell.seeds))
    if abs(_hours(ours) / goal - 1) < abs(_hours(best[1]) / goal - 1):
        best = (knobs, ours)
    knobs, ours = best
    return {
        "baseline": name,
        "knobs": asdict(knobs),
        "hours_ratio": _hours(ours) / goal,
        "is_equal": abs(_hours(ours) / goal - 1) <= _EQUAL_RATIO,
        "theirs": _summary(theirs),
        "ours": _summary(ours),
        "verdict": verdict(ours, theirs),
    }


def _turned(knobs: Knobs, ratio: float) -> Knobs:
    """A window that should bring the machine-hours nearer; a longer one costs more."""
    window = knobs.in_window_seconds
    # Machine-hours grow with about the third root of the window.
    changed = (window + 5.0) / ratio**3 - 5.0
    return replace(knobs, in_window_seconds=float(round(min(7200.0, max(0.0, changed)))))


def choose(theirs: Sequence[Scorecard], grid: dict[Knobs, list[Scorecard]]) -> Knobs:
    """The knobs of equal machine-hours, between the points of the grid, that lose least.

    First the fewest figures (starts, wait) in which they lose, then the shortest wait.
    """
    goal = _hours(theirs)
    their = _means(theirs)
    candidates: list[tuple[bool, int, float, Knobs]] = []
    for out, target in itertools.product(_OUT_WINDOWS, _TARGETS):
        line = [(_means(grid[Knobs(out, into, target)]), into) for into in _IN_WINDOWS]
        # Whole seconds, so that baselines of nearly the same hours share runs.
        found = round(crossing([(means["machine_hours"], into) for means, into in line], goal))
        nearest = min(line, key=lambda point: abs(point[1] - found))[0]
        is_far = abs(nearest["machine_hours"] / goal - 1) > 0.15
        losses = sum(nearest[figure] > their[figure] for figure in ("starts_per_hour", "wait_p95"))
        candidates.append((is_far, losses, nearest["wait_p95"], Knobs(out, found, target)))
    return min(candidates, key=lambda each: each[:3])[3]


def crossing(line: Sequence[tuple[float, float]], goal: float) -> float:
    """Where a line of (hours, window), rising in both, reaches `goal`; its end when it does not."""
    for (low, first), (high, second) in itertools.pairwise(line):
        if low <= goal <= high and high > low:
            return first + (second - first) * (goal - low) / (high - low)
    return line[0][1] if goal < line[0][0] else line[-1][1]


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
        "starts": judged("starts_per_hour"),
    }


def _means(cards: Sequence[Scorecard]) -> dict[str, float]:
    return {
        name: statistics.fmean(getattr(card, name) for card in cards)
        for name in ("machine_hours", "wait_p95", "starts_per_hour")
    }


def _summary(cards: Sequence[Scorecard]) -> dict[str, Any]:
    names = (
        *("wait_p50", "wait_p95", "wait_p99", "machine_hours", "starts_per_hour"),
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


# What is shown.


def _show(result: dict[str, Any]) -> None:
    print(f"\n{result['trace']} | {result['scenario']} | medians [95 % CI]; jobs cut: of all seeds")
    rows = [
        (
            *("baseline", "hours", "ours/theirs", "p95 s theirs", "p95 s ours", "starts/h theirs"),
            *("starts/h ours", "cut theirs", "cut ours", "cut", "p95", "starts"),
        )
    ]
    for row in result["rows"]:
        theirs, ours, judged = row["theirs"], row["ours"], row["verdict"]
        rows.append(
            (
                row["baseline"],
                f"{theirs['machine_hours']['median']:.2f}",
                f"{row['hours_ratio']:.3f}" + ("" if row["is_equal"] else " !"),
                _interval(theirs["wait_p95"]),
                _interval(ours["wait_p95"]),
                _interval(theirs["starts_per_hour"]),
                _interval(ours["starts_per_hour"]),
                f"{theirs['jobs_cut_by_scale_in']}",
                f"{ours['jobs_cut_by_scale_in']}",
                *(judged["jobs_cut"], judged["wait_p95"], judged["starts"]),
            )
        )
    default = result["default"]
    rows.append(
        (
            *("(default policies)", "-", f"{default['machine_hours']['median']:.2f} h", "-"),
            *(_interval(default["wait_p95"]), "-", _interval(default["starts_per_hour"]), "-"),
            *(f"{default['jobs_cut_by_scale_in']}", "-", "-", "-"),
        )
    )
    print_rows(rows)


def _interval(found: dict[str, float]) -> str:
    return f"{found['median']:.1f} [{found['low']:.1f}, {found['high']:.1f}]"


def _show_totals(found: Sequence[dict[str, Any]]) -> dict[str, dict[str, dict[str, int]]]:
    """Wins, ties and losses per baseline over all cells with equal machine-hours."""
    totals: dict[str, dict[str, dict[str, int]]] = {}
    print("\nwin/tie/loss of ours, over the cells with machine-hours equal within 2 %")
    rows: list[tuple[str, ...]] = [
        ("baseline", "cells", "jobs cut", "wait p95", "starts/h", "no loss at all")
    ]
    for name in NAMES:
        equal = [
            row
            for each in found
            for row in each["rows"]
            if row["baseline"] == name and row["is_equal"]
        ]
        counts = {
            figure: Counter(row["verdict"][figure] for row in equal)
            for figure in ("jobs_cut", "wait_p95", "starts")
        }
        totals[name] = {figure: dict(count) for figure, count in counts.items()}
        unbeaten = sum(Outcome.LOSS not in row["verdict"].values() for row in equal)
        rows.append(
            (
                name,
                f"{len(equal)}/{len(found)}",
                *(
                    "/".join(str(count[outcome]) for outcome in Outcome)
                    for count in counts.values()
                ),
                f"{unbeaten}",
            )
        )
    print_rows(rows)
    return totals


def _draw(found: Sequence[dict[str, Any]]) -> str:
    sections = []
    for each in found:
        points = [
            plot.Point(
                row["baseline"],
                row["theirs"]["machine_hours"]["median"],
                row["theirs"]["wait_p95"]["median"],
                row["theirs"]["starts_per_hour"]["median"],
            )
            for row in each["rows"]
        ]
        points += [
            plot.Point(
                f"ours {point['knobs']['out_window_seconds']:g}/"
                f"{point['knobs']['in_window_seconds']:g}/{point['knobs']['target_ratio']:g}",
                *(point["machine_hours"], point["wait_p95"], point["starts_per_hour"]),
            )
            for point in each["points"]
        ]
        title = f"{each['trace']}, {each['scenario']}: p95 wait in s; area: starts per hour"
        sections.append(plot.scatter(title, "machine-hours", points))
    return plot.page("Elasticity", sections)
