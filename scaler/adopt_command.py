"""`python -m scaler adopt`: takes domains of the pool over from another scaler, or shows whose."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from scaler.config import ENVIRONMENT_PREFIX, ScalerConfig
from scaler.identity import known_identity
from scaler.pool import DomainRecord
from scaler.ports import HypervisorError
from servicekit import config as configuration
from servicekit.config import ConfigError
from servicekit.lifecycle import EXIT_FAILED, EXIT_OK, EXIT_USAGE, StartError


class AdoptingHypervisor(Protocol):
    """A hypervisor of this command's own."""

    async def list(self) -> tuple[DomainRecord, ...]:
        """The pool's domains."""
        ...

    async def adopt(self, name: str) -> None:
        """Takes a domain over."""
        ...

    def close(self) -> None:
        """Ends the connection."""
        ...


Connect = Callable[[ScalerConfig, str], AdoptingHypervisor]
"""For a scaler of this name."""


def main(arguments: Sequence[str], connect: Connect) -> int:
    """Returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        config = _load(options)
        scaler = known_identity(config.state_dir)
        if scaler is None:
            raise StartError(
                f"state_dir = {config.state_dir}: no scaler has started with it yet; start it "
                "first, or name the directory of the one that is to own the domains (--state-dir)"
            )
        hypervisor = connect(config, scaler)
        try:
            return asyncio.run(_adopt(hypervisor, scaler, options))
        finally:
            hypervisor.close()
    except ConfigError as error:
        for fault in error.faults:
            sys.stderr.write(f"error: {fault}\n")
        return EXIT_USAGE
    except (HypervisorError, StartError) as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_FAILED


async def _adopt(hypervisor: AdoptingHypervisor, scaler: str, options: argparse.Namespace) -> int:
    domains = {domain.name: domain for domain in await hypervisor.list()}
    unknown = sorted(set(options.domains) - domains.keys())
    if unknown:
        raise StartError(
            f"no domain of the pool is called {', '.join(unknown)}; "
            f"there are: {', '.join(sorted(domains)) or 'none'}"
        )
    foreign = {name: one.foreign_scaler for name, one in domains.items() if one.foreign_scaler}
    if not options.all and not options.domains:
        for name in sorted(domains):
            one = domains[name]
            owner = one.foreign_scaler or ("nobody" if one.is_unclaimed else f"{scaler} (we)")
            sys.stdout.write(f"{name}: {owner}\n")
        return EXIT_OK
    chosen = sorted(foreign) if options.all else [one for one in options.domains if one in foreign]
    for name in chosen:
        await hypervisor.adopt(name)
        sys.stdout.write(f"{name}: taken over from {foreign[name]}\n")
    if not chosen:
        sys.stdout.write("nothing to take over\n")
    return EXIT_OK


def _load(options: argparse.Namespace) -> ScalerConfig:
    return configuration.load(
        ScalerConfig,
        path=options.config,
        environ=os.environ,
        prefix=ENVIRONMENT_PREFIX,
        flags={
            "state_dir": options.state_dir,
            "pool": options.pool,
            "libvirt_uri": options.libvirt_uri,
        },
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="virtscale-scaler adopt",
        description="Takes domains of the pool over from another scaler, which must not run any "
        "more, or must let them go: it sees that they are no longer its own and leaves them alone. "
        "Without domains: shows whose they are.",
    )
    parser.add_argument("domains", nargs="*", metavar="DOMAIN", help="domains to take over")
    parser.add_argument("--all", action="store_true", help="every domain of another scaler")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the scaler's YAML file")
    parser.add_argument("--state-dir", type=Path, metavar="DIR", help="of the scaler that takes")
    parser.add_argument("--pool", help="pool of domains")
    parser.add_argument("--url", dest="libvirt_uri", metavar="URI", help="libvirt URI")
    return parser
