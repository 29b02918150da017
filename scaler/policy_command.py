"""`python -m scaler policy check FILE` and `policy show`: a policies file without a service."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from scaler.config import ENVIRONMENT_PREFIX, ScalerConfig
from scaler.policy_file import document, effective
from servicekit import config as configuration
from servicekit.config import ConfigError
from servicekit.lifecycle import EXIT_OK, EXIT_USAGE


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code."""
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
    else:
        sys.stdout.write(yaml.safe_dump(document(config), sort_keys=False, allow_unicode=True))
    return EXIT_OK


def _load(options: argparse.Namespace) -> ScalerConfig:
    return configuration.load(
        ScalerConfig,
        path=options.config,
        environ=os.environ,
        prefix=ENVIRONMENT_PREFIX,
        flags={"policies_file": options.file},
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="virtscale-scaler policy", description="Checks and shows policies. Connects nowhere."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="every fault of a policies file at once")
    check.add_argument("file", type=Path, metavar="FILE", help="policies file")
    show = commands.add_parser("show", help="all values in effect, as a policies file")
    show.add_argument("file", type=Path, metavar="FILE", nargs="?", help="policies file")
    for one in (check, show):
        one.add_argument("--config", type=Path, metavar="FILE", help="the scaler's configuration")
    return parser
