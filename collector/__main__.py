"""`python -m collector`: libvirt domain statistics for Prometheus."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from collector.config import CollectorSettings
from collector.exporter import Exporter
from collector.libvirt_source import LibvirtSource
from servicekit import config, lifecycle, logs
from servicekit.clock import SystemClock
from servicekit.metrics import MetricsServer, new_registry

_PREFIX = "VIRTSCALE_COLLECTOR_"


def main() -> int:
    """Runs the collector; returns the exit code."""
    arguments = vars(_parser().parse_args())
    path, only_check = arguments.pop("config"), arguments.pop("check_config")

    async def run(stop: lifecycle.Stop) -> int | None:
        settings = config.load(
            CollectorSettings, path=path, environ=os.environ, prefix=_PREFIX, flags=arguments
        )
        if only_check:
            sys.stdout.write("configuration OK\n")
            return lifecycle.EXIT_OK
        return await serve(settings, stop)

    return lifecycle.run(run)


async def serve(settings: CollectorSettings, stop: lifecycle.Stop) -> int:
    """Answers scrapes until the stop is requested."""
    try:
        logs.configure(
            "collector",
            level=settings.loglevel,
            form=settings.logformat,
            file=settings.logfile,
        )
    except OSError as error:
        raise config.ConfigError([f"logfile = {settings.logfile}: {error.strerror}"]) from None
    log = logs.get()
    clock = SystemClock()
    source = LibvirtSource(settings.url, clock, hedge_after_seconds=settings.hedge_after_seconds)
    registry = new_registry("collector")
    exporter = Exporter(source, clock, timeout_seconds=settings.timeout_seconds, registry=registry)
    server = MetricsServer(
        registry,
        service="collector",
        host=settings.host,
        port=settings.port,
        ready=exporter.fault,
        routes={"/metrics": exporter.application},
    )
    server.start()
    log.info("collector.started", url=settings.url, host=settings.host, port=server.port)
    # The first reading opens the connection and learns every domain, which would make the first
    # scrape the slowest. libvirt may be down: the collector outlives it.
    await asyncio.to_thread(exporter.scrape, settings.timeout_seconds)
    reason = await stop.wait()
    server.close()
    log.info("collector.stopped", reason=reason)
    return lifecycle.EXIT_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="virtscale-collector",
        description="Exports statistics of libvirt domains to Prometheus, read-only.",
        epilog="Every key of the file is also an environment variable: "
        f"{_PREFIX}URL=qemu:///system",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file")
    parser.add_argument(
        "--check-config", action="store_true", help="check the configuration and exit"
    )
    parser.add_argument("--url", help="libvirt URI (default: qemu:///system)")
    parser.add_argument(
        "--listen-address", metavar="HOST:PORT", help="of /metrics (default: 127.0.0.1:9177)"
    )
    parser.add_argument(
        "--timeout-seconds", metavar="SECONDS", help="longest reading of libvirt (default: 5)"
    )
    parser.add_argument(
        "--hedge-after-seconds",
        metavar="SECONDS",
        help="ask again on another connection after this time (default: 0.3)",
    )
    parser.add_argument("--loglevel", choices=["debug", "info", "warning", "error"])
    parser.add_argument("--logfile", type=Path, metavar="FILE")
    parser.add_argument("--logformat", choices=["json", "text"])
    return parser


if __name__ == "__main__":
    sys.exit(main())
