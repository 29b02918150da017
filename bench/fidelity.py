"""Whether the simulator tells what really happens: the same jobs, on real guests and simulated.

A compressed trace is submitted to the real stack. Then the simulator runs the very same jobs, with
the lengths that they had, under the rules that the scaler decided by, with boots and calls as long
as they were in the mean. Compared is the supply over time: the domains that take jobs.
"""

import argparse
import itertools
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from bench.courses import Course, mean, rmse, within
from bench.live_stack import running_stack
from bench.recording import Recording, record
from bench.report import Figure, Goal, print_figures, print_rows, quantile, write_json
from bench.times import Times, measured_times
from scaler.config import ScalerConfig, pool_settings
from scaler.policy_config import BacklogConfig
from scaler.simulator import plot
from scaler.simulator.scenario import Scenario
from scaler.simulator.simulation import Bounds, Run, simulate
from scaler.simulator.spreads import Spread, SpreadKind
from scaler.simulator.traces import joined, shaped
from scaler.simulator.workload import Workload, draw_workload

SHAPES = ("ramp", "flash", "diurnal")
_JOB = Spread(SpreadKind.NORMAL, 10.0, 0.3)
"""Long beside a scrape's second: what overlaps for less is seen or not as chance has it."""
_LIMIT = 0.3
_PEAK_RATIO = 0.5
"""Busy slots at the highest rate, as a share of the slots there may be: on two cores four emulated
guests must not wait for the host all the time."""
_GOAL = Goal("supply, simulated against real: RMSE, median of the seeds", "domains", _LIMIT, None)


@dataclass(frozen=True)
class Simulated:
    """One seed."""

    run: Run
    supply: Course
    error: float
    """RMSE of the supply, in domains."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the benchmark's flags."""
    parser.add_argument("--length", type=float, default=1200, help="of the trace, s (default 1200)")
    parser.add_argument("--max", type=int, default=4, help="domains at most (default 4)")
    parser.add_argument("--seed", type=int, default=1, help="of the jobs (default 1)")
    parser.add_argument("--seeds", type=int, default=21, help="simulated runs (2 at least)")
    parser.add_argument("--policies-file", type=Path, help="rules other than the stack's own")
    parser.add_argument("--state", type=Path, help="the stack's state directory")
    parser.add_argument("--json", type=Path, help="also write the recording and both curves")
    parser.add_argument("--plot", type=Path, help="also draw both curves (HTML)")
    parser.add_argument(
        "--recording", type=Path, help="judge the recording in a file of --json; runs no stack"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Records and simulates; 1 when the simulator is further off than the limit."""
    if arguments.recording is not None:
        recording = Recording.read(arguments.recording)
    else:
        workload = compressed(arguments.length, arguments.max, arguments.seed)
        print(f"{len(workload.arrivals)} jobs in {arguments.length:g} s", flush=True)
        flags = ["--min", "1", "--max", str(arguments.max)]
        if arguments.policies_file is not None:
            flags += ["--policies-file", str(arguments.policies_file)]
        with running_stack(arguments.state, *flags) as stack:
            recording = record(stack, workload)
    times = measured_times(recording)
    runs = [simulated(recording, times, seed) for seed in range(arguments.seeds)]
    figures = _figures(recording, runs)
    middle = sorted(runs, key=lambda one: one.error)[len(runs) // 2]
    _show(recording, times, middle)
    is_reached = print_figures(figures)
    if arguments.json is not None:
        details = {
            "recording": recording.as_dict(),
            "real": supply_of(recording),
            "simulated": {"course": middle.supply, "errors": [one.error for one in runs]},
        }
        write_json(arguments.json, figures, details)
    if arguments.plot is not None:
        arguments.plot.write_text(_draw(recording, middle), encoding="utf-8")
    return 0 if is_reached else 1


def compressed(length_seconds: float, most: int, seed: int) -> Workload:
    """A morning that rises, an alarm and a day, one after another, in jobs of some seconds."""
    random = Random(f"trace {seed}")
    peak = _PEAK_RATIO * most / _JOB.mean_seconds
    part = length_seconds / len(SHAPES)
    parts = [shaped(name, length_seconds=part, peak=peak, random=random) for name in SHAPES]
    return draw_workload(joined("compressed", parts), _JOB, random)


def simulated(recording: Recording, times: Times, seed: int) -> Simulated:
    """The recorded jobs, once more."""
    config = recording.settings
    run = simulate(
        workload_of(recording, times),
        scenario_of(config, times, recording.cores),
        Bounds(config.min, config.max, defined=config.max),
        pool_settings(config),
        seed=seed,
        tick_seconds=config.tick_seconds,
        demand_window_seconds=demand_window(config),
    )
    supply = within([(moment, ready) for moment, ready, _ in run.course], _length(recording))
    real = supply_of(recording)
    return Simulated(run, supply, rmse(real, supply, _length(recording)))


def demand_window(config: ScalerConfig) -> float:
    """Seconds over which the scaler's average demand is taken.

    Raises:
        SystemExit: its query does not tell.

    """
    for policy in config.policies:
        if isinstance(policy, BacklogConfig):
            found = re.search(r":avg(\d+)s|\[(\d+)s\]", policy.demand_average.query)
            if found is not None:
                return float(found[1] or found[2])
    raise SystemExit("the scaler's policies ask for no average demand: it cannot be simulated")


def workload_of(recording: Recording, times: Times) -> Workload:
    """The jobs by their arrival, each as long as it really was."""
    order = sorted(range(len(recording.jobs)), key=lambda place: recording.jobs[place].arrived)
    return Workload(
        recording.trace,
        tuple(recording.jobs[place].arrived for place in order),
        tuple(times.lengths[place] for place in order),
        statistics.fmean(times.lengths),
    )


def scenario_of(config: ScalerConfig, times: Times, cores: int) -> Scenario:
    """The site as it was measured."""
    return Scenario(
        "measured",
        boot=_spread(times.boot_work),
        shutdown=_spread(times.shutdowns),
        cores=cores,
        stale_after_seconds=config.stale_after_seconds,
    )


def _spread(seconds: Sequence[float]) -> Spread:
    """By mean and deviation.

    Raises:
        SystemExit: nothing was measured.

    """
    if not seconds:
        raise SystemExit("no domain was started and stopped: a longer or higher trace is needed")
    middle = statistics.fmean(seconds)
    return Spread(SpreadKind.NORMAL, middle, statistics.pstdev(seconds) / middle)


def supply_of(recording: Recording) -> Course:
    """The domains that took jobs."""
    return within([(one.moment, one.ready) for one in recording.course], _length(recording))


def active_of(recording: Recording) -> Course:
    """The domains in any state but off."""
    return within([(one.moment, one.active) for one in recording.course], _length(recording))


def _length(recording: Recording) -> float:
    return recording.trace.length_seconds


def _figures(recording: Recording, runs: Sequence[Simulated]) -> list[Figure]:
    errors = sorted(one.error for one in runs)
    supply, length = supply_of(recording), _length(recording)
    still = [(0.0, round(mean(supply, length)))]
    return [
        Figure(_GOAL, statistics.median(errors)),
        *(
            Figure(Goal(what, "domains", None, None), measured)
            for what, measured in (
                ("the same, best seed", errors[0]),
                ("the same, worst seed", errors[-1]),
                ("two simulated runs against each other: RMSE, median", _chance(runs, length)),
                ("a pool that never changes, against real: RMSE", rmse(supply, still, length)),
            )
        ),
    ]


def _chance(runs: Sequence[Simulated], length_seconds: float) -> float:
    """What boots and the moments of scrapes make of the same jobs: no simulator can do better."""
    return statistics.median(
        rmse(one.supply, other.supply, length_seconds)
        for one, other in itertools.combinations(runs, 2)
    )


def _show(recording: Recording, times: Times, middle: Simulated) -> None:
    """Real beside simulated; and what was measured, and held the scaler back."""
    card, length = middle.run.scorecard, _length(recording)
    waits = sorted(times.waits)
    starts = sum(one["action"] == "start" for one in _done(recording))
    rows = [
        ("", "real", "simulated"),
        ("jobs", f"{len(recording.jobs):,}", f"{card.jobs:,}"),
        ("starts", f"{starts}", f"{card.starts}"),
        (
            "domains that take jobs, mean",
            f"{mean(supply_of(recording), length):.2f}",
            f"{mean(middle.supply, length):.2f}",
        ),
        (
            "machine-hours",
            f"{mean(active_of(recording), length) * length / 3600:.3f}",
            f"{card.machine_hours:.3f}",
        ),
        ("wait p50, s", f"{quantile(waits, 0.5):.2f}", f"{card.wait_p50:.2f}"),
        ("wait p95, s", f"{quantile(waits, 0.95):.2f}", f"{card.wait_p95:.2f}"),
    ]
    print_rows(rows)
    spans = (
        ("decision to Hello", times.boots),
        ("CPU time of a boot", times.boot_work),
        ("power button to off", times.shutdowns),
    )
    for name, values in spans:
        middle_seconds, deviation = statistics.fmean(values), statistics.pstdev(values)
        print(f"{name}: {middle_seconds:.2f} s, deviation {deviation:.2f} s, {len(values)} of them")
    others = sorted(_steps(recording) & _NOT_SIMULATED)
    if others:
        print(f"what the simulator does not have took part: {', '.join(others)}")


_NOT_SIMULATED = frozenset(
    {"alert_floor", "alert_raise", "alert_blocks_in", "host_saturated", "host_memory"}
)


def _steps(recording: Recording) -> set[str]:
    return {
        reason
        for entry in recording.entries
        if entry["type"] == "decision"
        for reason in (*(step["reason"] for step in entry["steps"]), *entry["limits"])
    }


def _done(recording: Recording) -> list[Any]:
    length = _length(recording)
    return [
        one
        for one in recording.entries
        if one["type"] == "result" and one["outcome"] == "done" and one["time"] <= length
    ]


def _draw(recording: Recording, middle: Simulated) -> str:
    supply = supply_of(recording)
    highest = max(count for _, count in (*supply, *middle.supply))
    both = (("real", "#bf2f1f", supply), ("simulated", "#1f5fbf", middle.supply))
    title = f"supply, RMSE {middle.error:.2f} domains"
    drawn = plot.steps(title, both, _length(recording), highest)
    return plot.page("Simulated against real", [drawn])
