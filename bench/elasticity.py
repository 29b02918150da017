"""How well the pool follows the load, beside other autoscalers, at equal machine-hours.

Everything runs in the scaler's simulator: the same jobs, the same boots, the same faults for all.
Ours is the default configuration with documented keys turned (`equal_hours.Knobs`), since a shorter
wait at a higher price would prove nothing; see docs/BENCHMARKS.md. The defaults as they are stand
beside it.
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

from bench.elasticity_cell import TRACES, Cell, Grid, grid_points, measure, tried
from bench.report import print_rows
from bench.resampling import Outcome
from scaler.simulator import plot
from scaler.simulator.recorded import BANK_CALLS, HINT, bank_calls_text
from scaler.simulator.scenario import SCENARIOS
from scaler.simulator.simulation import NAMES
from scaler.simulator.spreads import Spread


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


def _results(workers: Pool, cells: Sequence[Cell]) -> Iterator[dict[str, Any]]:
    """Every cell, as it is done. Cells with the same trace and boot times share their tuning."""
    by_boot: dict[Spread, list[Cell]] = {}
    for cell in cells:
        by_boot.setdefault(SCENARIOS[cell.scenario].boot, []).append(cell)
    for boot, group in by_boot.items():
        usual = next(name for name, one in SCENARIOS.items() if one.boot == boot)
        places = {cell.trace: replace(cell, scenario=usual) for cell in group}
        points = [(place, knobs) for place in places.values() for knobs in grid_points()]
        figures = workers.starmap(tried, points, chunksize=8)
        grids: dict[str, Grid] = {}
        for (place, knobs), figure in zip(points, figures, strict=True):
            grids.setdefault(place.trace, {})[knobs] = figure
        tasks = [(cell, grids[cell.trace]) for cell in group]
        yield from workers.imap_unordered(_measured, tasks)


def _measured(task: tuple[Cell, Grid]) -> dict[str, Any]:
    return measure(*task)


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
                f"{row['hours_ratio']:.3f}" + _mark(row),
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


def _mark(row: Mapping[str, Any]) -> str:
    return "" if row["is_equal"] else " <" if row["is_cheaper"] else " !"


def _interval(found: dict[str, float]) -> str:
    return f"{found['median']:.1f} [{found['low']:.1f}, {found['high']:.1f}]"


def totals(found: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Wins, ties and losses per baseline over all cells that can be judged.

    Those with equal machine-hours, and those in which ours costs less and is in no figure worse.
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
        judged = [
            (cell, row["verdict"]) for cell, row in pairs if row["is_equal"] or row["is_cheaper"]
        ]
        clean = [one for _, one in judged if Outcome.LOSS not in one.values()]
        counted[name] = {
            "cells": len(pairs),
            "judged": len(judged),
            "cheaper": sum(row["is_cheaper"] for _, row in pairs),
            **{
                figure: dict(Counter(one[figure] for _, one in judged))
                for figure in ("jobs_cut", "wait_p95", "starts")
            },
            "no_loss": len(clean),
            "won": sum(one["wait_p95"] == Outcome.WIN for one in clean),
            "lost_cells": [cell for cell, one in judged if Outcome.LOSS in one.values()],
        }
    return counted


def _show_totals(found: Sequence[Mapping[str, Any]]) -> None:
    print("\nwin/tie/loss of ours, over the cells with machine-hours equal within 2 %, or less")
    rows: list[tuple[str, ...]] = [
        ("baseline", "cells", "jobs cut", "wait p95", "starts/h", "no loss at all", "and p95 won")
    ]
    for name, counted in totals(found).items():
        figures = (counted[figure] for figure in ("jobs_cut", "wait_p95", "starts"))
        rows.append(
            (
                name,
                f"{counted['judged']}/{counted['cells']}",
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
