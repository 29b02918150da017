"""What one turn of the scaler costs as a pool grows: of its core, and of the whole service."""

import argparse
import importlib.util
import json
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from bench.report import Figure, Goal, print_bars, print_figures, print_rows, write_json
from bench.rig import PROGRAMS
from scaler.decision import Observation, Settings, State, decide
from scaler.pool import DomainRecord, Lifecycle, WorkerRecord, WorkerState
from scaler.readings import Known
from scaler.recommendation import CPU, DEMAND, DEMAND_AVERAGE, BacklogPolicy, ReferencePolicy
from scaler.simulator import plot
from scaler.simulator.scenario import SCENARIOS
from scaler.simulator.simulation import Bounds, simulate, workload_of
from scaler.simulator.spreads import Spread, SpreadKind
from scaler.simulator.traces import shaped
from scaler.stabilization import Limits

if TYPE_CHECKING:
    from bench import tick

_SIZES = (10, 30, 100, 300, 1_000, 3_000, 10_000)
_QUICK_SIZE, _QUICK_TICK_SIZE = 1_000, 10
_GOAL = Goal("decide() for 1,000 domains, half of them at work, median", "ms", 10.0, None)

_TICK_GOAL = Goal("a whole turn with 1,000 domains, one changes its state", "ms", 50.0, None)
_TICK_SIZES = (10, 100, 300, 1_000, 3_000, 10_000)
_HEADS = (
    *("domains", "quiet", "slowest", "moving", "us/domain", "libvirt", "dispatcher", "signals"),
    *("rest", "libvirtd", "/metrics"),
)
_DAY_GOAL = Goal("a simulated day of 100 machines, a turn each second", "s", 10.0, None)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the benchmark's flags."""
    parser.add_argument("--quick", action="store_true", help="a smoke run; judges nothing")
    parser.add_argument("--turns", type=int, default=40, help="whole turns per size (default 40)")
    parser.add_argument("--largest", type=int, default=10_000, help="domains (default 10,000)")
    parser.add_argument("--json", type=Path, help="also write every figure to this file")
    parser.add_argument("--plot", type=Path, help="also draw the growth (HTML)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the cost of a turn by the number of domains; 1 when a goal is missed or not tried."""
    turns = 5 if arguments.quick else 60
    largest = _QUICK_SIZE if arguments.quick else _SIZES[-1]
    points = [(size, median_milliseconds(size, turns)) for size in _SIZES if size <= largest]
    print_bars("decide() in one turn", [(f"{size:,}", value) for size, value in points], "ms")
    print("\nper domain: " + json.dumps({size: round(ms * 1000 / size, 2) for size, ms in points}))
    figures = [Figure(_GOAL, dict(points)[1_000])]
    whole: list[tick.Point] = []
    if not arguments.quick:
        figures.append(Figure(_DAY_GOAL, simulated_day_seconds()))
    is_tried = _can_try()
    if is_tried:
        largest = _QUICK_TICK_SIZE if arguments.quick else arguments.largest
        sizes = tuple(size for size in _TICK_SIZES if size <= largest)
        whole = _whole_turns(sizes, turns if arguments.quick else arguments.turns)
        figures += [Figure(_TICK_GOAL, one.moving) for one in whole if one.size == 1_000]
    reached = print_figures(figures) and is_tried
    details: dict[str, Any] = {
        "milliseconds": {str(size): value for size, value in points},
        "whole_turns": [asdict(one) for one in whole],
    }
    write_json(arguments.json, figures, details)
    if arguments.plot is not None:
        arguments.plot.write_text(_draw(points, whole), encoding="utf-8")
    return 0 if reached or arguments.quick else 1


def _can_try() -> bool:
    modules = [name for name in ("libvirt", "requests") if not importlib.util.find_spec(name)]
    missing = [f"Python's module {name}" for name in modules]
    missing += [] if shutil.which("libvirtd", path=PROGRAMS) else ["libvirtd"]
    if missing:
        print(
            f"NOT RUN: a whole turn: {', '.join(missing)} is missing here; what ./test has made "
            "has it: .venv/bin/python -m bench decide",
            file=sys.stderr,
        )
    return not missing


def _whole_turns(sizes: tuple[int, ...], turns: int) -> list["tick.Point"]:
    """Measures, and prints each size when it is known."""
    # The environment of the other benchmarks has not all that the service needs.
    from bench import tick

    print("\na whole turn of the service, CPU ms (libvirtd's own beside it):")
    rows: list[tuple[str, ...]] = [_HEADS]
    found = []
    for one in tick.measure(sizes, turns):
        found.append(one)
        parts = [one.parts[name] for name in ("libvirt", "dispatcher", "signals")]
        shown = (one.quiet, one.slowest, one.moving, one.moving / one.size * 1000, *parts)
        shown = (*shown, one.quiet - sum(parts), one.libvirtd, one.render)
        rows.append((f"{one.size:,}", *(f"{value:,.1f}" for value in shown)))
    print_rows(rows)
    print_bars("a whole turn", [(f"{one.size:,}", one.moving) for one in found], "ms")
    return found


def _draw(core: list[tuple[int, float]], whole: list["tick.Point"]) -> str:
    """Milliseconds over domains: the core alone, and the whole turn."""
    lines = [("decide()", core), ("a whole turn", [(one.size, one.moving) for one in whole])]
    pictures = [
        plot.scatter(
            f"{title}: CPU ms of a turn",
            "domains",
            [plot.Point(f"{size:,}: {value:,.1f} ms", size, value, 1.0) for size, value in line],
        )
        for title, line in lines
        if line
    ]
    return plot.page("What a turn of the scaler costs", pictures)


def median_milliseconds(size: int, turns: int) -> float:
    """CPU time of a turn in which every record is new and a third of the workers has changed."""
    settings = Settings(
        limits=Limits(min=1, max=size),
        policies=(ReferencePolicy(is_fallback=True), BacklogPolicy()),
    )
    state, spent = State(), []
    for number, observation in enumerate(_observations(size, turns + 40)):
        began = time.process_time()
        state, _ = decide(settings, state, observation, 100.0 + number)
        spent.append(time.process_time() - began)
    return sorted(spent[40:])[turns // 2] * 1000


def simulated_day_seconds() -> float:
    """CPU time of a day with a peak of 80 busy domains of 100, jobs of a minute."""
    trace = shaped("diurnal", length_seconds=86_400.0, peak=80 / 60, random=Random(1))
    workload = workload_of(trace, Spread(SpreadKind.EXPONENTIAL, 60.0), 1)
    settings = Settings(policies=(ReferencePolicy(is_fallback=True), BacklogPolicy()))
    began = time.process_time()
    simulate(workload, SCENARIOS["boot30"], Bounds(1, 100, 100), settings, seed=1)
    return time.process_time() - began


def _observations(size: int, count: int) -> Iterator[Observation]:
    half = size // 2
    for turn in range(count):
        # As from the adapters: equal to those of the turn before, but not the same objects.
        domains = tuple(
            DomainRecord(
                f"domain-{number:05}", Lifecycle.RUNNING if number < half else Lifecycle.OFF
            )
            for number in range(size)
        )
        busy = [(number * 7 + turn // (1 + number % 3)) % 4 > 0 for number in range(half)]
        workers = tuple(
            WorkerRecord(
                f"domain-{number:05}", WorkerState.READY, 1, int(busy[number]), int(busy[number])
            )
            for number in range(half)
        )
        demand = Known(float(sum(busy)), 1.0)
        readings = {CPU: Known(0.75, 1.0), DEMAND: demand, DEMAND_AVERAGE: demand}
        yield Observation(domains, workers, readings)
