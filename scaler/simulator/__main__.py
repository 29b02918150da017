"""`python -m scaler.simulator`: runs policies over a trace and prints what came out.

`virtscale simulate` is this program.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from random import Random

from scaler.config import ScalerConfig, pool_settings
from scaler.decision import Settings
from scaler.policy_file import effective
from scaler.simulator import plot, plot_file, recorded, trace_file
from scaler.simulator.drawing import Table
from scaler.simulator.plot_file import PlotError
from scaler.simulator.scenario import SCENARIOS, Scenario
from scaler.simulator.scorecard import Scorecard
from scaler.simulator.simulation import NAMES, Bounds, Run, simulate, workload_of
from scaler.simulator.spreads import Spread, parse_spread
from scaler.simulator.trace_file import TraceError
from scaler.simulator.traces import SHAPES, Trace, rescaled, shaped
from servicekit import config as configuration
from servicekit.config import ConfigError

EXIT_USAGE = 2
DEFAULT = "default"
_SHAPES = (*SHAPES, recorded.BANK_CALLS)
_MOST_JOBS = 20_000_000
_COLUMNS = (
    ("policy", ""),
    ("jobs cut", "jobs_cut_by_scale_in"),
    ("wait p50 s", "wait_p50"),
    ("p95 s", "wait_p95"),
    ("p99 s", "wait_p99"),
    ("machine-hours", "machine_hours"),
    ("until done", "machine_hours_until_done"),
    ("starts/h", "starts_per_hour"),
    ("wasted boots", "wasted_boots"),
    ("under", "accuracy_under"),
    ("over", "accuracy_over"),
    ("time under", "timeshare_under"),
    ("time over", "timeshare_over"),
    ("first ready s", "seconds_to_first_ready"),
    ("peak active", "peak_active"),
)

_TRACE_HELP = "the load as CSV with the columns seconds,jobs_per_second"
_LENGTH_HELP = "how long a shape's load lasts, in seconds (default 3600)"
_EPILOG = """examples:
  virtscale simulate --shape sine --length 3600
  virtscale simulate --trace monday.csv --policy lean.yaml --policy hpa_v2 --plot monday.html

exit codes: 0 done, 2 an option, a trace or a policies file cannot be used
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    options = parser().parse_args(arguments)
    try:
        trace = _trace(options)
        length = _spread("--job-seconds", options.job_seconds)
        scenario = _scenario(options)
        names = options.policy or [DEFAULT]
        policies = {name: _policy(name) for name in names}
        bounds = _bounds(options, policies)
        expected = trace.expected_jobs
        if expected > _MOST_JOBS:
            raise ConfigError(
                [f"about {expected:,.0f} jobs in the trace; {_MOST_JOBS:,} is the most"]
            )
        _check_plot(options.plot)
    except (ConfigError, TraceError) as error:
        for fault in error.faults:
            sys.stderr.write(f"error: {fault}\n")
        return EXIT_USAGE
    _warn(policies, scenario)
    _warn_of_load(trace, length, scenario, bounds)
    workload = workload_of(trace, length, options.seed)
    runs = {
        name: simulate(
            workload,
            scenario,
            bounds,
            name if policy is None else policy[0],
            seed=options.seed,
            tick_seconds=1.0 if policy is None else policy[1],
        )
        for name, policy in policies.items()
    }
    rows = [[head for head, _ in _COLUMNS], *(_row(name, runs[name]) for name in runs)]
    if options.json:
        sys.stdout.write(json.dumps(_document(options, trace, bounds, runs), indent=2) + "\n")
    else:
        sys.stdout.write(_text(rows))
    if options.plot is not None:
        return _draw(options.plot, trace, runs, rows)
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line, also for its man page."""
    parser = argparse.ArgumentParser(
        prog="virtscale simulate",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Runs policies over a trace of arrivals on a virtual clock, with the same "
        "decisions as the running scaler, and prints the figures.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--trace", type=Path, metavar="FILE", help=_TRACE_HELP)
    source.add_argument(
        "--shape", metavar="NAME", help=f"a load that is drawn: {', '.join(_SHAPES)}"
    )
    parser.add_argument(
        "--policy",
        action="append",
        metavar="FILE|NAME",
        help="a configuration file of the scaler, `default`, or a baseline: "
        f"{', '.join(NAMES)}; may be given several times (default: default)",
    )
    parser.add_argument("--seed", type=int, default=0, help="same seed, same result (default 0)")
    parser.add_argument("--length", type=float, default=3600.0, help=_LENGTH_HELP)
    parser.add_argument(
        "--peak", type=float, metavar="RATE", help="jobs/s of a shape's load 1 (default: fits max)"
    )
    parser.add_argument(
        "--job-seconds",
        default="exponential:20",
        metavar="SPREAD",
        help="how long a job takes: SECONDS or KIND:MEAN[:SHAPE], KIND one of fixed, normal, "
        "exponential, lognormal, pareto (default exponential:20)",
    )
    parser.add_argument(
        "--boot-seconds",
        metavar="SPREAD",
        help="boot time, in the same words (default: the scenario's)",
    )
    parser.add_argument(
        "--scenario",
        default="boot30",
        metavar="NAME",
        help=f"boot times and faults: {', '.join(SCENARIOS)} (default boot30)",
    )
    parser.add_argument(
        "--slots", type=int, default=1, help="jobs at a time per domain (default 1)"
    )
    parser.add_argument("--min", type=int, help="fewest domains (default: the first policy file's)")
    parser.add_argument("--max", type=int, help="most domains (default: the first policy file's)")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the runs; .html or .png")
    return parser


def _trace(options: argparse.Namespace) -> Trace:
    if options.trace is not None:
        try:
            with options.trace.open(encoding="utf-8", newline="") as lines:
                return trace_file.parse(str(options.trace), lines)
        except OSError as error:
            raise ConfigError([f"--trace {options.trace}: {error.strerror}"]) from None
    if options.shape not in _SHAPES:
        raise ConfigError(
            [f"--shape {options.shape}: no such shape; choose one of {', '.join(_SHAPES)}"]
        )
    if not 60 <= options.length <= 366 * 86_400:
        raise ConfigError([f"--length {options.length:g}: must be 60 s to a year"])
    mean = _spread("--job-seconds", options.job_seconds).mean_seconds
    peak = options.peak
    if peak is None:
        peak = 0.65 * (options.max or ScalerConfig().max) * options.slots / mean
    if not 0 < peak <= 1e6:
        raise ConfigError([f"--peak {peak:g}: must be above 0 jobs/s and at most a million"])
    if options.shape == recorded.BANK_CALLS:
        text = recorded.bank_calls_text()
        if text is None:
            raise ConfigError([f"--shape {options.shape}: {recorded.HINT}"])
        day = recorded.bank_day(text, options.seed)
        return rescaled(day, peak=peak, length_seconds=options.length)
    return shaped(
        options.shape, length_seconds=options.length, peak=peak, random=Random(options.seed)
    )


def _spread(flag: str, text: str) -> Spread:
    try:
        return parse_spread(text)
    except ValueError as error:
        raise ConfigError([f"{flag} {error}"]) from None


def _scenario(options: argparse.Namespace) -> Scenario:
    if options.scenario not in SCENARIOS:
        names = ", ".join(SCENARIOS)
        raise ConfigError(
            [f"--scenario {options.scenario}: no such scenario; choose one of {names}"]
        )
    if not 1 <= options.slots <= 1000:
        raise ConfigError([f"--slots {options.slots}: must be 1 to 1000"])
    scenario = replace(SCENARIOS[options.scenario], slots=options.slots)
    if options.boot_seconds is not None:
        scenario = scenario.with_boot(_spread("--boot-seconds", options.boot_seconds))
    return scenario


def _policy(name: str) -> tuple[Settings, float, int, int] | None:
    """Settings, tick, min and max of a file; None: a baseline."""
    if name in NAMES:
        return None
    if name == DEFAULT:
        config = ScalerConfig()
    else:
        path = Path(name)
        if not path.exists():
            raise ConfigError(
                [f"--policy {name}: no such file, and no baseline; baselines: {', '.join(NAMES)}"]
            )
        configured = configuration.load(ScalerConfig, path=path, environ={}, prefix="", flags={})
        config = effective(configured)
    return pool_settings(config), config.tick_seconds, config.min, config.max


def _warn(policies: dict[str, tuple[Settings, float, int, int] | None], scenario: Scenario) -> None:
    """A deadline that boots cannot keep is a policy like any other, but rarely meant."""
    boot = scenario.boot.mean_seconds
    for name, policy in policies.items():
        if policy is not None and policy[0].timing.boot_deadline_seconds < 1.5 * boot:
            sys.stderr.write(
                f"note: --policy {name}: boots take {boot:g} s on average and fail after "
                f"timing.boot_deadline_seconds = {policy[0].timing.boot_deadline_seconds:g}\n"
            )


def _warn_of_load(trace: Trace, length: Spread, scenario: Scenario, bounds: Bounds) -> None:
    """Where all there is does not carry the load, waits tell of that alone."""
    peak = max(trace.rates) * length.mean_seconds / scenario.slots
    if peak > bounds.most:
        sys.stderr.write(
            f"note: at its peak the trace keeps {peak:,.1f} domains busy, with jobs of "
            f"{length.mean_seconds:g} s (--job-seconds) and max = {bounds.most} (--max): jobs "
            "will wait whatever a policy does\n"
        )


def _bounds(
    options: argparse.Namespace, policies: dict[str, tuple[Settings, float, int, int] | None]
) -> Bounds:
    default = ScalerConfig()
    first = next((one for one in policies.values() if one is not None), None)
    least = default.min if first is None else first[2]
    most = default.max if first is None else first[3]
    least = least if options.min is None else options.min
    most = most if options.max is None else options.max
    if not 0 <= least <= most <= 10_000 or most < 1:
        raise ConfigError([f"min = {least}, max = {most}: must be 0 <= min <= max <= 10000"])
    return Bounds(least, most)


def _row(name: str, run: Run) -> list[str]:
    values = asdict(run.scorecard)
    return [name, *(_shown(values[key]) for _, key in _COLUMNS[1:])]


def _shown(value: float | int | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def _text(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells]))
    return "\n".join(lines) + "\n"


def _document(
    options: argparse.Namespace, trace: Trace, bounds: Bounds, runs: dict[str, Run]
) -> dict[str, object]:
    return {
        "trace": trace.name,
        "length_seconds": trace.length_seconds,
        "scenario": options.scenario,
        "seed": options.seed,
        "min": bounds.least,
        "max": bounds.most,
        "policies": {name: _figures(run.scorecard) for name, run in runs.items()},
    }


def _figures(scorecard: Scorecard) -> dict[str, object]:
    return asdict(scorecard)


def _check_plot(path: Path | None) -> None:
    if path is None:
        return
    try:
        plot_file.check(path)
    except PlotError as error:
        raise ConfigError([str(error)]) from None


def _draw(path: Path, trace: Trace, runs: dict[str, Run], rows: list[list[str]]) -> int:
    length = trace.length_seconds
    # One scale for all: only then the eye can compare them.
    highest = max(plot.peak(run, length) for run in runs.values())
    courses = [plot.course(name, run, length, highest) for name, run in runs.items()]
    try:
        plot_file.write(path, trace.name, [Table(rows), *courses])
    except PlotError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stderr.write(f"drawn: {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
