"""`python -m collector`: libvirt domain statistics for Prometheus."""

import asyncio
import os
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry

from collector import flags
from collector.config import CollectorSettings
from collector.exporter import Exporter
from collector.exposition import Renderer
from collector.libvirt_source import LibvirtSource, event_loop
from collector.pages import Pages
from collector.targets import Targets
from collector.telemetry import WebMetrics, WebState
from collector.web import listeners
from collector.web.config_watch import ConfigWatch
from collector.web.guard import Guard
from collector.web.passwords import Passwords
from collector.web.server import WebServer
from servicekit import config, lifecycle, logs
from servicekit.clock import SystemClock
from servicekit.metrics import new_registry, service_version


def main() -> int:
    """Runs the collector; returns the exit code."""

    async def run(stop: lifecycle.Stop) -> int | None:
        arguments, values = flags.parse()
        settings = config.load(
            CollectorSettings,
            path=arguments.config,
            environ=os.environ,
            prefix=flags.ENVIRONMENT_PREFIX,
            flags=values,
        )
        if arguments.check_config:
            ConfigWatch(settings.web_config_file, SystemClock())
            sys.stdout.write("configuration OK\n")
            return lifecycle.EXIT_OK
        return await serve(settings, stop)

    code = lifecycle.run(run)
    if event_loop.is_started():
        # A call that is stuck in a daemon may return at any moment from now on.
        lifecycle.leave(code)
    return code


async def serve(settings: CollectorSettings, stop: lifecycle.Stop) -> int:
    """Answers scrapes until the stop is requested."""
    _configure_logs(settings)
    log = logs.get()
    clock = SystemClock()
    web_config = ConfigWatch(settings.web_config_file, clock)
    sockets = (
        listeners.handed_over(os.environ, process=os.getpid())
        if settings.systemd_socket
        else listeners.listen(settings.addresses)
    )
    registry = new_registry("collector")
    first, targets = _targets(settings, clock, registry)
    pages = Pages(
        targets,
        enabled=settings.groups,
        longest_seconds=settings.timeout_seconds,
        max_requests=settings.max_requests,
        ready=first.fault,
        version=service_version(),
    )
    passwords = Passwords()
    guard = Guard(web_config, clock, passwords)
    server = WebServer(pages, sockets, guard=guard, config=web_config)
    registry.register(
        WebMetrics(
            lambda: WebState(
                is_config_current=web_config.is_current,
                config_read_at=web_config.read_at,
                certificate_ends_at=web_config.current.not_after,
                connections=server.connections,
                scrapes=pages.scrapes_under_way,
                refusals=guard.refusals,
                evictions=server.evictions,
            )
        )
    )
    server.start()
    log.info("collector.started", targets=settings.uris, addresses=server.addresses)
    listeners.notify(os.environ, "READY=1")
    # The first reading opens the connection and learns every domain, which would make the first
    # scrape the slowest. libvirt may be down: the collector outlives it.
    first_reading = asyncio.create_task(asyncio.to_thread(first.scrape, settings.timeout_seconds))
    reason = await stop.wait()
    listeners.notify(os.environ, "STOPPING=1")
    await server.close()
    pages.close()
    passwords.close()
    await first_reading
    targets.close()
    log.info("collector.stopped", reason=reason)
    return lifecycle.EXIT_OK


def _targets(
    settings: CollectorSettings, clock: SystemClock, registry: CollectorRegistry
) -> tuple[Exporter, Targets]:
    """The exporter of /metrics, and all of them."""

    def exporter(uri: str) -> Exporter:
        source = LibvirtSource(
            uri,
            clock,
            hedge_after_seconds=settings.hedge_after_seconds,
            shards=settings.shards,
            include=settings.domain_include,
            exclude=settings.domain_exclude,
        )
        return Exporter(
            source,
            Renderer(settings.compat_names),
            clock,
            timeout_seconds=settings.timeout_seconds,
            registry=registry,
            groups=settings.groups,
        )

    configured = {name: exporter(uri) for name, uri in settings.uris.items()}
    first = next(iter(configured.values()))
    return first, Targets(configured, exporter, settings.probe_allow, clock)


def _configure_logs(settings: CollectorSettings) -> None:
    file: Path | None = settings.logfile
    try:
        logs.configure("collector", level=settings.loglevel, form=settings.logformat, file=file)
    except OSError as error:
        raise config.ConfigError([f"logfile = {file}: {error.strerror}"]) from None


if __name__ == "__main__":
    sys.exit(main())
