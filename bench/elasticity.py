"""How well the pool follows the load, beside other autoscalers, at equal machine-hours.

Everything runs in the scaler's simulator: the same jobs, the same boots, the same faults for all.
Ours is the default configuration with documented keys turned (`equal_hours.Knobs`), since a shorter
wait at a higher price would prove nothing; see docs/BENCHMARKS.md. The defaults as they are stand
beside it.
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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from multiprocessing.pool import Pool
from pathlib import Path
from random import Random
from typing import Any

from bench.equal_hours import EQUAL_RATIO, Figures, Knobs, choose, equalise
from bench.report import print_rows
from bench.resampling import Outcome, compare, interval
from scaler.config import ScalerConfig, pool_settings
from scaler.decision import Settings
from scaler.recommendation import BacklogPolicy
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

_BOUNDS = Bounds(1, 12)
_PEAK_DOMAINS = 8.0
_JOB_SECONDS = 20.0
_LENGTHS = {
    "heavy_tail": Spread(SpreadKind.PARETO, _JOB_SECONDS, 1.5),
}
_SHAPES = {"heavy_tail": "steady"}
TRACES = ("step", "ramp", "sine", "sawtooth", "diurnal", "flash", "heavy_tail", BANK_CALLS)
_OUT_WINDOWS = (2.0, 30.0)
_MOSTS = (3, 4, 5, 6, 8, 10, 12)
_IN_WINDOWS = (10.0, 90.0, 300.0, 1800.0)
_GOALS = (90.0, 300.0, 900.0)
"""With a target of 1: who accepts long waits wants no slot free."""
_LEASTS = (3, 4, 6, 8, 9, 10, 11)
_CANDIDATES = 4
"""So many knobs are tried until the machine-hours are equal over all seeds."""
_TICK_SECONDS = 2.0
"""Of ours, turned; the default is 1 s. Slower to act, and half the time to simulate."""
_TUNING_SEEDS = range(1000, 1003)
"""Others than those that are judged."""
_NEGLIGIBLE_WAIT_SECONDS = 0.05

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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the benchmark's flags."""
    parser.add_argument("--seeds", type=int, default=30, help="runs per point (default 30)")
    parser.add_argument("--length", type=float, default=3600, help="of a trace, s (default 3600)")
    parser.add_argument("--traces", nargs="+", choices=TRACES, default=list(TRACES))
    parser.add_argument("--scenarios", nargs="+", choices=list(SCENARIOS), default=list(SCENARIOS))
    parser.add_argument(
        "--cells", nargs="+", metavar="TRACE/SCENARIO", default=[], help="only these"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--quick", action="store_true", help="a smoke run; judges nothing")
    parser.add_argument(
        "--json", type=Path, help="write every figure to this file, cell by cell as they come"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="keep the cells that are in --json and run the others; those of --cells run again",
    )
    parser.add_argument("--plot", type=Path, help="also draw the points (HTML)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs every cell and prints its table and who won; 1 when a job was lost by ours."""
    fault = _fault(arguments)
    if fault is not None:
        print(fault, file=sys.stderr)
        return 2
    cells = _cells(arguments)
    began = time.monotonic()
    kept = _kept(arguments, cells) if arguments.resume else []
    done = {(each["trace"], each["scenario"]) for each in kept}
    cells = [cell for cell in cells if (cell.trace, cell.scenario) not in done]
    found = kept
    context = multiprocessing.get_context("spawn")
    with context.Pool(max(1, min(arguments.processes, len(cells) or 1))) as workers:
        for result in _results(workers, cells):
            found.append(result)
            _show(result)
            if arguments.json is not None:
                _write(arguments.json, {"cells": found, "totals": totals(found)})
    _show_totals(found)
    print(f"\n{len(cells)} cells run, {time.monotonic() - began:.0f} s")
    if arguments.plot is not None:
        arguments.plot.write_text(_draw(found), encoding="utf-8")
    lost = sum(row["ours"]["jobs_cut_by_scale_in"] for each in found for row in each["rows"])
    if lost:
        print(f"ours cut {lost} jobs by scale-in: MISSED", file=sys.stderr)
    return 1 if lost and not arguments.quick else 0


def _fault(arguments: argparse.Namespace) -> str | None:
    known = {f"{trace}/{scenario}" for trace in TRACES for scenario in SCENARIOS}
    for name in arguments.cells:
        if name not in known:
            return f"--cells {name}: must be TRACE/SCENARIO, e.g. sine/boot30"
    if arguments.resume and arguments.json is None:
        return "--resume needs --json FILE, the file to go on with"
    return None


def _cells(arguments: argparse.Namespace) -> list[Cell]:
    traces, scenarios, seeds = arguments.traces, arguments.scenarios, arguments.seeds
    length = arguments.length
    if arguments.quick:
        traces, scenarios, seeds, length = traces[:1], scenarios[:1], 3, 900.0
    cells = [Cell(trace, scenario, length, seeds) for scenario in scenarios for trace in traces]
    if arguments.cells:
        pairs = [name.split("/") for name in arguments.cells]
        cells = [Cell(trace, scenario, length, seeds) for trace, scenario in pairs]
    if bank_calls_text() is None and any(cell.trace == BANK_CALLS for cell in cells):
        print(f"NOT RUN: trace {BANK_CALLS}: {HINT}", file=sys.stderr)
        cells = [cell for cell in cells if cell.trace != BANK_CALLS]
    return cells


# What a run that was cut leaves behind.


def _kept(arguments: argparse.Namespace, cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """The cells of the file; without those of another length or number of seeds, or asked for."""
    if not arguments.json.exists():
        return []
    again = set(arguments.cells)
    kinds = {(cell.length_seconds, cell.seeds) for cell in cells}
    return [
        each
        for each in json.loads(arguments.json.read_text())["cells"]
        if (each["length_seconds"], each["seeds"]) in kinds
        and f"{each['trace']}/{each['scenario']}" not in again
    ]


def _write(path: Path, document: Mapping[str, Any]) -> None:
    whole = path.with_name(f"{path.name}.new")
    whole.write_text(json.dumps(document, indent=1))
    whole.replace(path)


# One cell.


def _results(workers: Pool, cells: Sequence[Cell]) -> Iterator[dict[str, Any]]:
    """Every cell, as it is done. Cells with the same trace and boot times share their tuning."""
    by_boot: dict[Spread, list[Cell]] = {}
    for cell in cells:
        by_boot.setdefault(SCENARIOS[cell.scenario].boot, []).append(cell)
    for boot, group in by_boot.items():
        usual = next(name for name, one in SCENARIOS.items() if one.boot == boot)
        places = {cell.trace: replace(cell, scenario=usual) for cell in group}
        points = [(place, knobs) for place in places.values() for knobs in _grid()]
        figures = workers.starmap(_tried, points, chunksize=8)
        grids: dict[str, Grid] = {}
        for (place, knobs), figure in zip(points, figures, strict=True):
            grids.setdefault(place.trace, {})[knobs] = figure
        tasks = [(cell, grids[cell.trace]) for cell in group]
        yield from workers.imap_unordered(_measured, tasks)


def _grid() -> list[Knobs]:
    most = _BOUNDS.most
    budgets = itertools.product(_OUT_WINDOWS, _IN_WINDOWS, [None], _MOSTS)
    goals = itertools.product(_OUT_WINDOWS, _IN_WINDOWS[:3], _GOALS, (4, 8, most))
    floors = itertools.product(_OUT_WINDOWS[:1], _IN_WINDOWS, _LEASTS)
    return [
        Knobs(_TICK_SECONDS, 0.0, None, most, least=most),
        *itertools.starmap(Knobs, budgets),
        *(Knobs(*line, target_ratio=1.0) for line in goals),
        *(Knobs(out, into, None, most, least=least) for out, into, least in floors),
    ]


def _tried(cell: Cell, knobs: Knobs) -> Figures:
    return _figures([_run_ours(cell, knobs, seed) for seed in _TUNING_SEEDS])


def _measured(task: tuple[Cell, Grid]) -> dict[str, Any]:
    return measure(*task)


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
    tuned = _figures([_run_theirs(cell, name, seed) for seed in _TUNING_SEEDS])
    theirs = [_run_theirs(cell, name, seed) for seed in range(cell.seeds)]
    found: list[tuple[float, Knobs, list[Scorecard]]] = []
    for start in choose(tuned, grid)[:_CANDIDATES]:
        knobs = equalise(
            start,
            [card.machine_hours_until_done for card in theirs],
            lambda knobs, seed: _run_ours(cell, knobs, seed).machine_hours_until_done,
        )
        ours = [_run_ours(cell, knobs, seed) for seed in range(cell.seeds)]
        found.append((_hours(ours) / _hours(theirs), knobs, ours))
        if abs(found[-1][0] - 1) <= EQUAL_RATIO:
            break
    ratio, knobs, ours = min(found, key=lambda each: abs(each[0] - 1))
    return {
        "baseline": name,
        "knobs": asdict(knobs),
        "hours_ratio": ratio,
        "is_equal": abs(ratio - 1) <= EQUAL_RATIO,
        "theirs": _summary(theirs),
        "ours": _summary(ours),
        "verdict": verdict(ours, theirs),
    }


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


# What is shown.


def _show(result: dict[str, Any]) -> None:
    print(f"\n{result['trace']} | {result['scenario']} | medians [95 % CI]; jobs cut: of all seeds")
    rows = [
        (
            *("baseline", "hours", "ours/theirs", "p95 s theirs", "p95 s ours", "starts theirs"),
            *("starts ours", "cut theirs", "cut ours", "cut", "p95", "starts"),
        )
    ]
    for row in result["rows"]:
        theirs, ours, judged = row["theirs"], row["ours"], row["verdict"]
        rows.append(
            (
                row["baseline"],
                f"{theirs['machine_hours_until_done']['median']:.2f}",
                f"{row['hours_ratio']:.3f}" + ("" if row["is_equal"] else " !"),
                _interval(theirs["wait_p95"]),
                _interval(ours["wait_p95"]),
                _interval(theirs["starts_until_done"]),
                _interval(ours["starts_until_done"]),
                f"{theirs['jobs_cut_by_scale_in']}",
                f"{ours['jobs_cut_by_scale_in']}",
                *(judged["jobs_cut"], judged["wait_p95"], judged["starts"]),
            )
        )
    default = result["default"]
    rows.append(
        (
            *(
                "(default policies)",
                "-",
                f"{default['machine_hours_until_done']['median']:.2f} h",
                "-",
            ),
            *(_interval(default["wait_p95"]), "-", _interval(default["starts_until_done"]), "-"),
            *(f"{default['jobs_cut_by_scale_in']}", "-", "-", "-"),
        )
    )
    print_rows(rows)


def _interval(found: dict[str, float]) -> str:
    return f"{found['median']:.1f} [{found['low']:.1f}, {found['high']:.1f}]"


def totals(found: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Wins, ties and losses per baseline over all cells with equal machine-hours.

    `won`: no loss in any figure and a shorter p95 wait. `lost_cells` names those with a loss.
    """
    counted: dict[str, dict[str, Any]] = {}
    for name in NAMES:
        pairs = [
            (f"{each['trace']}/{each['scenario']}", row)
            for each in found
            for row in each["rows"]
            if row["baseline"] == name
        ]
        equal = [(cell, row["verdict"]) for cell, row in pairs if row["is_equal"]]
        clean = [one for _, one in equal if Outcome.LOSS not in one.values()]
        counted[name] = {
            "cells": len(pairs),
            "equal": len(equal),
            **{
                figure: dict(Counter(one[figure] for _, one in equal))
                for figure in ("jobs_cut", "wait_p95", "starts")
            },
            "no_loss": len(clean),
            "won": sum(one["wait_p95"] == Outcome.WIN for one in clean),
            "lost_cells": [cell for cell, one in equal if Outcome.LOSS in one.values()],
        }
    return counted


def _show_totals(found: Sequence[Mapping[str, Any]]) -> None:
    print("\nwin/tie/loss of ours, over the cells with machine-hours equal within 2 %")
    rows: list[tuple[str, ...]] = [
        ("baseline", "cells", "jobs cut", "wait p95", "starts/h", "no loss at all", "and p95 won")
    ]
    for name, counted in totals(found).items():
        figures = (counted[figure] for figure in ("jobs_cut", "wait_p95", "starts"))
        rows.append(
            (
                name,
                f"{counted['equal']}/{counted['cells']}",
                *("/".join(str(count.get(outcome, 0)) for outcome in Outcome) for count in figures),
                f"{counted['no_loss']}",
                f"{counted['won']}",
            )
        )
    print_rows(rows)


def _draw(found: Sequence[dict[str, Any]]) -> str:
    sections = []
    for each in found:
        points = [
            plot.Point(
                row["baseline"],
                row["theirs"]["machine_hours_until_done"]["median"],
                row["theirs"]["wait_p95"]["median"],
                row["theirs"]["starts_until_done"]["median"],
            )
            for row in each["rows"]
        ]
        points += [
            plot.Point(
                "ours " + "/".join(str(value) for value in point["knobs"].values()),
                *(point["machine_hours"], point["wait_p95"], point["starts"]),
            )
            for point in each["points"]
        ]
        title = f"{each['trace']}, {each['scenario']}: p95 wait in s; area: starts"
        sections.append(plot.scatter(title, "machine-hours", points))
    return plot.page("Elasticity", sections)
