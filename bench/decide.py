"""What one turn of the scaler's core costs as a pool grows."""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from bench.report import Figure, Goal, print_bars, print_figures, write_json
from scaler.decision import Observation, Settings, State, decide
from scaler.pool import DomainRecord, Lifecycle, WorkerRecord, WorkerState
from scaler.readings import Known
from scaler.recommendation import CPU, DEMAND, DEMAND_AVERAGE, BacklogPolicy, ReferencePolicy
from scaler.simulator.scenario import SCENARIOS
from scaler.simulator.simulation import Bounds, simulate, workload_of
from scaler.simulator.spreads import Spread, SpreadKind
from scaler.simulator.traces import shaped
from scaler.stabilization import Limits

_SIZES = (10, 30, 100, 300, 1_000, 3_000, 10_000)
_GOAL = Goal("decide() for 1,000 domains, half of them at work, median", "ms", 10.0, None)

_DAY_GOAL = Goal("a simulated day of 100 machines, a turn each second", "s", 10.0, None)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the benchmark's flags."""
    parser.add_argument("--quick", action="store_true", help="a smoke run; judges nothing")
    parser.add_argument("--json", type=Path, help="also write every figure to this file")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the median cost of a turn by the number of domains; 1 when the goal is missed."""
    turns = 5 if arguments.quick else 60
    points = [(size, median_milliseconds(size, turns)) for size in _SIZES]
    print_bars("one turn", [(f"{size:,}", value) for size, value in points], "ms")
    print("\nper domain: " + json.dumps({size: round(ms * 1000 / size, 2) for size, ms in points}))
    figures = [Figure(_GOAL, dict(points)[1_000])]
    if not arguments.quick:
        figures.append(Figure(_DAY_GOAL, simulated_day_seconds()))
    reached = print_figures(figures)
    details: dict[str, Any] = {"milliseconds": {str(size): value for size, value in points}}
    write_json(arguments.json, figures, details)
    return 0 if reached or arguments.quick else 1


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
