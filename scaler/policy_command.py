"""`python -m scaler policy check FILE` and `policy show`: policies without a running scaler."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import yaml

from scaler.config import ENVIRONMENT_PREFIX, ScalerConfig, signal_queries
from scaler.policy_file import document, effective
from scaler.ports import MetricsSource
from scaler.readings import Failed, describe, usable_value
from servicekit import config as configuration
from servicekit.config import ConfigError
from servicekit.lifecycle import EXIT_FAILED, EXIT_OK, EXIT_USAGE


class ClosableSource(MetricsSource, Protocol):
    """A source of this command's own."""

    def close(self) -> None:
        """Ends the connection."""
        ...


Connect = Callable[[ScalerConfig], ClosableSource]


def main(arguments: Sequence[str], connect: Connect) -> int:
    """Returns the exit code. `connect` makes the source that is asked, if one is to be."""
    options = _parser().parse_args(arguments)
    try:
        config = effective(_load(options))
    except ConfigError as error:
        for fault in error.faults:
            sys.stderr.write(f"error: {fault}\n")
        return EXIT_USAGE
    if options.command == "check":
        names = ", ".join(policy.name for policy in config.policies)
        sys.stdout.write(f"policies OK: {names}; {config.min} to {config.max} domains\n")
        if options.prometheus_url is not None:
            return asyncio.run(_ask(config, connect(config)))
    else:
        sys.stdout.write(yaml.safe_dump(document(config), sort_keys=False, allow_unicode=True))
    return EXIT_OK


async def _ask(config: ScalerConfig, source: ClosableSource) -> int:
    """Tells what every query answers; refused ones are faults, empty ones may be right."""
    try:
        readings = await source.read(signal_queries(config))
    finally:
        source.close()
    code = EXIT_OK
    for signal, reading in readings.items():
        if isinstance(reading, Failed):
            sys.stderr.write(f"error: signal {signal}: {reading.error}\n")
            code = EXIT_FAILED
        else:
            value = usable_value(reading)
            told = describe(reading)["kind"] if value is None else f"{value:g}"
            sys.stdout.write(f"signal {signal}: {told}\n")
    return code


def _load(options: argparse.Namespace) -> ScalerConfig:
    return configuration.load(
        ScalerConfig,
        path=options.config,
        environ=os.environ,
        prefix=ENVIRONMENT_PREFIX,
        flags={"policies_file": options.file, "prometheus_url": options.prometheus_url},
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="virtscale-scaler policy", description="Checks and shows policies."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="every fault of a policies file at once")
    check.add_argument("file", type=Path, metavar="FILE", help="policies file")
    show = commands.add_parser("show", help="all values in effect, as a policies file")
    show.add_argument("file", type=Path, metavar="FILE", nargs="?", help="policies file")
    check.add_argument("--prometheus-url", metavar="URL", help="also ask every query there")
    show.set_defaults(prometheus_url=None)
    for one in (check, show):
        one.add_argument("--config", type=Path, metavar="FILE", help="the scaler's configuration")
    return parser
