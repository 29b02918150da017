"""`python -m scaler report`: reads the store and Prometheus, writes the page and the charts."""

import argparse
import contextlib
import importlib.resources
import importlib.util
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from scaler.config import ScalerConfig, deciding
from scaler.entries import Entry, History, Page
from scaler.policy_file import effective
from scaler.report import asking, figures, lives, page, past, pictures, words
from scaler.report.asking import Measured, RangeSource
from scaler.report.charts import Axis
from scaler.report.past import Past
from scaler.times_of_day import LocalTimes, joined, moment
from servicekit import config as configuration
from servicekit import lifecycle
from servicekit.config import ConfigError
from servicekit.lifecycle import StartError
from servicekit.metrics import service_version

FILE_NAME = "decisions.db"
STANDARD_OUTPUT = "-"
_HOUR = 3_600.0
_LEAST_SECONDS = 1.0
_TURNS_HELD = 3.0
"""A turn holds for so many ticks, and a little, when no other follows."""
_LITTLE_SECONDS = 2.0
_MARKS = 8
_STARTS_SEARCHED = 1_000
_EXAMPLES = """examples:
  %(prog)s                                    the last run, or what there is of it
  %(prog)s --from 10:00 --to 12:00 --out monday.html
  %(prog)s --from -24h --price 0.04 --png charts
  %(prog)s --json                             the figures alone, for programs
"""


class ClosingSource(RangeSource, Protocol):
    """One that has a connection to end."""

    def close(self) -> None:
        """Ends the connection."""
        ...


class Sources(NamedTuple):
    """What there is to ask."""

    history: Callable[[Path], History]
    """The store in a file. May raise `StartError`."""
    prometheus: Callable[[ScalerConfig], ClosingSource]


class _Asked(NamedTuple):
    """What is to be reported."""

    since: float
    is_whole_run: bool
    """`since` is the start of a run, and was not given."""
    until: float
    history: History | None
    faults: list[str]
    """Why there is no history."""


def main(arguments: Sequence[str], sources: Sources, prefix: str) -> int:
    """Returns the exit code."""
    options = _parser().parse_args(joined(arguments))
    try:
        _check(options)
        config = effective(
            configuration.load(
                ScalerConfig,
                path=options.config,
                environ=os.environ,
                prefix=prefix,
                flags={
                    "state_dir": options.state_dir,
                    "pool": options.pool,
                    "prometheus_url": options.prometheus_url,
                },
            )
        )
        _run(options, config, sources, time.time())
    except ConfigError as error:
        return _refuse(error.faults, lifecycle.EXIT_USAGE)
    except StartError as error:
        return _refuse([str(error)], lifecycle.EXIT_FAILED)
    return lifecycle.EXIT_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="virtscale-scaler report",
        description="One HTML page of a run: load, CPU, machines, waiting times, every decision "
        "with its reason, elasticity, cost. It needs nothing else to be read.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--from", dest="since", default="", metavar="TIME",
        help="10:42, -5m, ISO time or Unix seconds; default: the start of the last run, or -1h",
    )  # fmt: skip
    parser.add_argument(
        "--to", dest="until", default="", metavar="TIME",
        help="the same; default: the last turn that was recorded",
    )  # fmt: skip
    parser.add_argument(
        "--out", metavar="FILE", help="the page; default: report-DATE-TIME.html here; - prints it"
    )
    parser.add_argument("--png", type=Path, metavar="DIR", help="the charts as images, too")
    parser.add_argument(
        "--price", type=float, metavar="PER_HOUR", help="what a machine costs in an hour"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the figures; a page only with --out"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="the scaler's YAML file")
    parser.add_argument("--state-dir", type=Path, metavar="DIR", help="where the store is")
    parser.add_argument("--pool", metavar="NAME", help="instead of that of the configuration")
    server = parser.add_mutually_exclusive_group()
    server.add_argument(
        "--prometheus-url", metavar="URL", help="instead of that of the configuration"
    )
    server.add_argument(
        "--no-prometheus", action="store_true", help="from the scaler's own record alone"
    )
    return parser


def _check(options: argparse.Namespace) -> None:
    faults = []
    price, out, png = options.price, options.out, options.png
    if price is not None and not (math.isfinite(price) and price >= 0):
        faults.append(f"--price {price:g}: must be a number of money that is 0 or more")
    if out not in (None, STANDARD_OUTPUT) and Path(out).suffix.lower() not in (".html", ".htm"):
        faults.append(f"--out {out}: a page is HTML; choose a name that ends in .html")
    if out == STANDARD_OUTPUT and options.json:
        faults.append("--out - and --json: only one of them can be printed; name a file")
    if png is not None and importlib.util.find_spec("PIL") is None:
        faults.append(
            f"--png {png}: images need the package pillow, which is not installed here: run "
            f"`{sys.executable} -m pip install pillow`, or leave --png out"
        )
    if faults:
        raise ConfigError(faults)


def _run(options: argparse.Namespace, config: ScalerConfig, sources: Sources, now: float) -> None:
    asked = _asked(options, config, sources, now)
    source = None if options.no_prometheus else sources.prometheus(config)
    with contextlib.nullcontext() if source is None else contextlib.closing(source):
        report = _report(_from_the_begin(asked, config, source), config, source, options, now)
    if not report.past.turns and not any(report.measured.series.values()):
        raise StartError(
            f"nothing is known of {report.full(asked.since)} to {report.clock(asked.until)}"
            + "".join(f"; {one}" for one in report.measured.faults)
        )
    _write(options, report)


def _asked(
    options: argparse.Namespace, config: ScalerConfig, sources: Sources, now: float
) -> _Asked:
    history, faults = None, []
    try:
        history = sources.history(config.state_dir / FILE_NAME)
    except StartError as error:
        faults.append(str(error))
    gap = _gap_seconds(config)
    since, until = _moment("--from", options.since, now), _moment("--to", options.until, now)
    if until is None:
        until = now if history is None else _last(history, now)
    begin = None
    if since is None:
        begin = None if history is None else _begin(history, until, gap)
        since = until - _HOUR if begin is None else begin
    if until - since < _LEAST_SECONDS:
        raise ConfigError(
            [f"--from {options.since or 'the start of the run'} must be before --to "
             f"{options.until or 'the last turn'}"]
        )  # fmt: skip
    return _Asked(since, since == begin, until, history, faults)


def _gap_seconds(config: ScalerConfig) -> float:
    """A silence so long means that the scaler did not run."""
    return 30.0 + 2 * config.tick_seconds


def _last(history: History, now: float) -> float:
    """The last turn: what comes after it is not recorded, or not yet."""
    newest = history.entries(Page(limit=1, until=now, kinds=("decision",)))
    return min(now, math.ceil(newest[0].last)) if newest else now


def _begin(history: History, until: float, gap_seconds: float) -> float | None:
    """The last start of a scaler that came after a silence; one killed and back is the same run."""
    starts = history.entries(Page(limit=_STARTS_SEARCHED, until=until, kinds=("config",)))
    for start in reversed(starts):
        if start.body.get("started"):
            before, _ = history.around(start.first - 0.001)
            if before is None or start.first - before.last > gap_seconds:
                return math.floor(start.first)
    oldest = starts[0].first if starts else -math.inf
    return math.floor(oldest) if oldest > until - _HOUR else None


def _report(
    asked: _Asked,
    config: ScalerConfig,
    source: RangeSource | None,
    options: argparse.Namespace,
    now: float,
) -> page.Report:
    since, until = asked.since, asked.until
    recorded = _past(asked, config)
    measured = _measured(asked, config, source)
    rules = recorded.config or deciding(config)
    course = figures.courses(recorded, measured, least=_least(rules), slots=recorded.slots or 1.0)
    found_acts = lives.acts(recorded)
    found = figures.figures(
        recorded, measured, course, lives.lives(recorded), found_acts, price_per_hour=options.price
    )
    times = LocalTimes(since, until)
    axis = Axis(since, until, times.marks(_MARKS))
    return page.Report(
        pool=config.pool,
        past=recorded,
        measured=measured,
        courses=course,
        figures=found,
        acts=found_acts,
        shown=pictures.pictures(recorded, measured, course, axis, _cpu_target(rules)),
        axis=axis,
        clock=times.clock,
        full=times.full,
        made_at=now,
        version=service_version(),
    )


def _from_the_begin(asked: _Asked, config: ScalerConfig, source: RangeSource | None) -> _Asked:
    """A run begins with its dispatcher, which may be there a moment before the scaler."""
    if source is None or not asked.is_whole_run:
        return asked
    gap = _gap_seconds(config)
    openings = asking.openings(source, asked.since, min(asked.until, asked.since + gap))
    before = [one for one in openings if 0 < asked.since - one <= gap]
    return asked._replace(since=math.floor(before[0])) if before else asked


def _measured(asked: _Asked, config: ScalerConfig, source: RangeSource | None) -> Measured:
    if source is not None:
        found = asking.ask(
            source,
            config.pool,
            asked.since,
            asked.until,
            fresh_seconds=math.ceil(config.stale_after_seconds),
        )
    else:
        found = Measured(asking.step_of(asked.since, asked.until), asked.since)
        found.faults.append("Prometheus was not asked: load, CPU and jobs are not known")
    found.faults[:0] = asked.faults
    return found


def _past(asked: _Asked, config: ScalerConfig) -> Past:
    history = asked.history
    entries: Iterable[Entry] = ()
    if history is not None:
        entries = history.stream(asked.since, asked.until)
    found = past.gather(
        entries,
        asked.since,
        asked.until,
        gap_seconds=_gap_seconds(config),
        held_seconds=_TURNS_HELD * config.tick_seconds + _LITTLE_SECONDS,
    )
    if history is not None and not found.config:
        newest = history.entries(Page(limit=1, until=asked.until, kinds=("config",)))
        found.config = (newest[0].body.get("settings") or {}) if newest else {}
    return found


def _least(rules: Mapping[str, Any]) -> int:
    found = rules.get("min")
    return found if isinstance(found, int) else 0


def _cpu_target(rules: Mapping[str, Any]) -> float | None:
    """That of the reference policy, if there is one."""
    for policy in rules.get("policies") or ():
        if policy.get("kind") == "reference":
            return float(policy["target_ratio"]) if "target_ratio" in policy else None
    return None


def _write(options: argparse.Namespace, report: page.Report) -> None:
    style = importlib.resources.files("scaler.report").joinpath("style.css").read_text("utf-8")
    if options.out == STANDARD_OUTPUT:
        sys.stdout.write(page.render(report, style))
    elif options.out is not None or not options.json:
        path = Path(options.out or time.strftime(_NAME, time.localtime(report.figures.since)))
        _save(path, page.render(report, style).encode())
        sys.stderr.write(f"report of the run: {path}\n")
    if options.png is not None:
        _draw(options.png, report)
    if options.json:
        sys.stdout.write(json.dumps(_data(report), indent=2) + "\n")
    elif options.out != STANDARD_OUTPUT:
        sys.stdout.write("\n".join(words.summary(report.figures, report.courses)) + "\n")
        for one in _unknowns(report):
            sys.stderr.write(f"note: {one}\n")


_NAME = "report-%Y%m%d-%H%M.html"


def _unknowns(report: page.Report) -> list[str]:
    return words.unknowns(
        report.past, report.measured, report.courses, report.figures, report.clock
    )


def _data(report: page.Report) -> dict[str, Any]:
    return {"pool": report.pool, **report.figures.as_data(), "unknown": _unknowns(report)}


def _draw(directory: Path, report: page.Report) -> None:
    from scaler.simulator import png

    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"--png {directory}: {error.strerror}") from None
    for one in report.shown:
        _save(directory / f"{one.key}.png", png.render(one.heading, [one.picture]))
    sys.stderr.write(f"charts: {directory}\n")


def _save(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise StartError(f"{path}: cannot be written: {error.strerror}") from None


def _moment(option: str, text: str, now: float) -> float | None:
    try:
        return moment(text, now=now) if text else None
    except ValueError as error:
        raise ConfigError([f"{option} {error}"]) from None


def _refuse(sentences: Sequence[str], code: int) -> int:
    for one in sentences:
        sys.stderr.write(f"error: {one}\n")
    return code
