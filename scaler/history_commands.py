"""`python -m scaler explain` and `replay`: questions to the record, also that of a dead scaler."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from scaler import inquiry, replay
from scaler.config import ScalerConfig, pool_settings, signal_queries
from scaler.entries import History
from scaler.explanation import UnknownDomainError
from scaler.inquiry import Inquiry, NotRecordedError
from scaler.policy_file import effective, on_trial
from scaler.ports import SignalQuery
from scaler.replay import Situation
from scaler.sentences import count, sentence
from scaler.simulator import plot, plot_file
from scaler.simulator.drawing import Paragraphs
from scaler.simulator.plot_file import PlotError
from scaler.times_of_day import clock_text, duration, joined, moment, span
from servicekit import config as configuration
from servicekit import lifecycle
from servicekit.config import ConfigError
from servicekit.lifecycle import StartError

COMMANDS = ("explain", "replay")
_FILE_NAME = "decisions.db"
_DIFFERENCES_SHOWN = 50
_WARM_UP_SECONDS = 60.0
_OPEN_LOOP = (
    "Open loop: the pool and its signals are the recorded ones. This tells what the policy would "
    "have wanted in each situation that occurred, not what would have come of it; for that, "
    "simulate."
)

Opener = Callable[[Path], History]


class SituationSource(Protocol):
    """Knows situations of the past from elsewhere."""

    def situations(
        self, queries: Sequence[SignalQuery], since: float, until: float
    ) -> Iterator[Situation]:
        """Oldest first. May raise `StartError`."""
        ...

    def close(self) -> None:
        """Ends the connection."""
        ...


class Sources(NamedTuple):
    """What there is to ask; each is opened when it is needed."""

    history: Opener
    """The store in a file. May raise `StartError`."""
    prometheus: Callable[[str, str], SituationSource]
    """A server by its URL, for a pool."""


def main(arguments: Sequence[str], sources: Sources, prefix: str) -> int:
    """Runs one of `COMMANDS`; returns the exit code."""
    options = _parser().parse_args(joined(arguments))
    try:
        config = effective(
            configuration.load(
                ScalerConfig,
                path=options.config,
                environ=os.environ,
                prefix=prefix,
                flags={"state_dir": options.state_dir},
            )
        )
        now = time.time()
        ask = _explain if options.command == "explain" else _replay
        sys.stdout.write(ask(options, config, sources, now) + "\n")
    except ConfigError as error:
        return _refuse(error.faults, lifecycle.EXIT_USAGE)
    except (NotRecordedError, UnknownDomainError, StartError) as error:
        return _refuse([str(error)], lifecycle.EXIT_FAILED)
    return lifecycle.EXIT_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="virtscale-scaler")
    commands = parser.add_subparsers(dest="command", required=True)
    explain = commands.add_parser(
        "explain", help="why the pool was as big as it was, from the decision store"
    )
    explain.add_argument("--at", default="", metavar="TIME", help="10:42, -5m, ISO time; now")
    explain.add_argument("--domain", metavar="NAME", help="why this one was, or was not, chosen")
    explain.add_argument(
        "--last", metavar="DURATION", help="everything that happened in it, e.g. 1h"
    )
    explain.add_argument("--actions", type=int, default=10, metavar="N", help="last actions listed")
    again = commands.add_parser(
        "replay", help="what another policy would have wanted of the recorded situations"
    )
    again.add_argument("--from", dest="since", default="-1h", metavar="TIME", help="default: -1h")
    again.add_argument("--to", dest="until", default="", metavar="TIME", help="default: now")
    again.add_argument(
        "--policy",
        type=Path,
        metavar="FILE",
        help="YAML as of the scaler: policies, min, max, scale_out, scale_in, headroom, "
        "saturation; what it leaves out is as in force now",
    )
    again.add_argument(
        "--prometheus",
        action="store_true",
        help="from the history of the configured Prometheus instead of the scaler's record",
    )
    again.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw what both wanted; .html or .png"
    )
    for command in (explain, again):
        command.add_argument("--config", type=Path, metavar="FILE", help="the scaler's YAML file")
        command.add_argument("--state-dir", type=Path, metavar="DIR", help="where the store is")
        command.add_argument("--json", action="store_true", help="for programs")
    return parser


def _explain(
    options: argparse.Namespace, config: ScalerConfig, sources: Sources, now: float
) -> str:
    at = _moment("--at", options.at, now)
    asked = Inquiry(_history(config, sources), gap_seconds=gap_seconds(config))
    if options.last:
        try:
            seconds = duration(options.last)
        except ValueError as error:
            raise ConfigError([f"--last {error}"]) from None
        period = asked.period(at - seconds, at, now=now)
        return json.dumps(period, indent=2) if options.json else "\n".join(period["lines"])
    answer = asked.explain(
        at,
        now=now,
        within=span(options.at),
        domain=options.domain,
        actions=max(0, options.actions),
    )
    return json.dumps(answer, indent=2) if options.json else inquiry.text(answer)


def _replay(options: argparse.Namespace, config: ScalerConfig, sources: Sources, now: float) -> str:
    since = _moment("--from", options.since, now)
    until = _moment("--to", options.until, now)
    if since >= until:
        raise ConfigError([f"--from {options.since} must be before --to {options.until or 'now'}"])
    if options.plot is not None:
        try:
            plot_file.check(options.plot)
        except PlotError as error:
            raise ConfigError([str(error)]) from None
    rules = config if options.policy is None else on_trial(config, options.policy)
    settings = pool_settings(rules)
    limits = settings.limits
    warm_up = max(limits.in_window_seconds, limits.out_window_seconds) + _WARM_UP_SECONDS
    if options.prometheus:
        found = _from_prometheus(rules, config, sources, (since - warm_up, since, until))
    else:
        entries = _history(config, sources).stream(since - warm_up, until)
        past = (one for one in replay.situations(entries) if one.at <= until)
        found = replay.compare(past, settings, since)
    if found.turns == 0:
        raise NotRecordedError("nothing is recorded between --from and --to")
    if options.plot is not None:
        _draw(options.plot, found, now)
    if options.json:
        return json.dumps({"since": since, "until": until, "note": _OPEN_LOOP, **found.as_data()})
    return "\n".join(_report(found, now))


def _from_prometheus(
    rules: ScalerConfig,
    config: ScalerConfig,
    sources: Sources,
    moments: tuple[float, float, float],
) -> replay.Comparison:
    begin, since, until = moments
    asked = sources.prometheus(config.prometheus_url, config.pool)
    try:
        past = asked.situations(signal_queries(rules), begin, until)
        return replay.compare(past, pool_settings(rules), since)
    finally:
        asked.close()


def _draw(path: Path, found: replay.Comparison, now: float) -> None:
    begin = found.course[0].at

    def points(wish: Callable[[replay.Point], int | None]) -> list[tuple[float, int]]:
        wishes = ((one.at - begin, wish(one)) for one in found.course)
        return [(moment, count) for moment, count in wishes if count is not None]

    series = (
        ("in fact", "#999999", points(lambda one: one.active)),
        ("wanted then", "#bf8f1f", points(lambda one: one.recorded)),
        ("this policy", "#1f5fbf", points(lambda one: one.replayed)),
    )
    highest = max(count for *_, drawn in series for _, count in drawn)
    name = f"domains, from {clock_text(begin, now=now)} on"
    course = plot.steps(name, series, max(1.0, found.seconds), max(1, highest))
    words = Paragraphs((*_report(found, now)[:4], _OPEN_LOOP))
    try:
        plot_file.write(path, "Replay", [course, words])
    except PlotError as error:
        raise StartError(str(error)) from None


def gap_seconds(config: ScalerConfig) -> float:
    """A silence so long means that the scaler did not run."""
    return 30.0 + 2 * config.tick_seconds


def _history(config: ScalerConfig, sources: Sources) -> History:
    return sources.history(config.state_dir / _FILE_NAME)


def _moment(option: str, text: str, now: float) -> float:
    try:
        return moment(text, now=now) if text else now
    except ValueError as error:
        raise ConfigError([f"{option} {error}"]) from None


def _report(found: replay.Comparison, now: float) -> list[str]:
    def row(name: str, tally: replay.Tally) -> str:
        hours = tally.domain_seconds / 3600
        return f"  {name}  {hours:10.2f} machine-hours  {tally.rises:5} starts  peak {tally.peak}"

    hours = found.active_domain_seconds / 3600
    told = [
        f"{found.turns} turns, {found.seconds / 3600:.2f} h, of which "
        f"{found.seconds_apart / 3600:.2f} h with another wish",
        row("wanted then   ", found.recorded),
        row("this policy   ", found.replayed),
        f"  in fact         {hours:10.2f} machine-hours  {found.starts:5} starts",
    ]
    if found.unknown_signals:
        told.append(
            f"note: never known, so their policies had no wish: "
            f"{', '.join(sorted(found.unknown_signals))}"
        )
    told += [
        f"  {clock_text(one.since, now=now)} - {clock_text(one.until, now=now)}  "
        f"{count(one.recorded)} -> {count(one.replayed)}: {sentence(one.reason.value)}"
        for one in found.differences[:_DIFFERENCES_SHOWN]
    ]
    more = len(found.differences) - _DIFFERENCES_SHOWN
    if more > 0:
        told.append(f"  and {more} more; all of them with --json")
    return [*told, _OPEN_LOOP]


def _refuse(sentences: Sequence[str], code: int) -> int:
    for one in sentences:
        sys.stderr.write(f"error: {one}\n")
    return code
