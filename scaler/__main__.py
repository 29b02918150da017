"""`python -m scaler` runs one pool; `eval`, `explain` and `replay` tell of its decisions."""

import argparse
import asyncio
import concurrent.futures
import contextlib
import fcntl
import functools
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc

from scaler import adopt_command, alert_listing, history_commands, listener, policy_command
from scaler.alert_desk import AlertDesk
from scaler.alert_telemetry import AlertTelemetry
from scaler.api import Api
from scaler.config import (
    ENVIRONMENT_PREFIX,
    ScalerConfig,
    deciding,
    digest,
    pool_settings,
    pool_shadows,
    signal_queries,
)
from scaler.decision import Settings
from scaler.decision_store import FILE_NAME, DecisionFile, DecisionStore
from scaler.dispatcher_fleet import DispatcherFleet
from scaler.entries import History
from scaler.history_metrics import HistoryMetrics
from scaler.identity import known_identity, own_identity
from scaler.kept_definitions import KeptDefinitions
from scaler.lessons_file import LessonsFile
from scaler.libvirt_hypervisor import LibvirtHypervisor
from scaler.override_file import OverrideFile
from scaler.paced_source import PacedSource
from scaler.policy_file import effective
from scaler.policy_reload import PolicyReload
from scaler.ports import FleetError
from scaler.prometheus_history import PrometheusHistory
from scaler.prometheus_source import PrometheusSource
from scaler.reconciler import Ports, Reconciler
from scaler.records import config_record, decision_record
from scaler.report import command as report_command
from scaler.shadows import Shadows
from scaler.status_page.feed import TurnBell
from scaler.status_page.gathering import Sources
from scaler.status_page.load import Backlog, LoadError
from scaler.status_page.load_watch import LoadWatch
from scaler.status_page.outage_watch import OutageWatch
from scaler.status_page.prometheus_load import PrometheusLoad
from scaler.status_page.view import ShownAlert
from scaler.telemetry import ServiceLog, Telemetry
from servicekit import config as configuration
from servicekit import lifecycle, logs
from servicekit.clock import SystemClock
from servicekit.config import ConfigError
from servicekit.lifecycle import StartError, Stop
from servicekit.metrics import Application, new_registry
from servicekit.tls import TokenFile, channel_credentials

_READY_TURN_SECONDS = 30.0
_BACKLOG_SECONDS = 3.0
_HISTORY_TIMEOUT_SECONDS = 20.0
"""A query over days of samples may take longer than a turn; it is asked beside the turns."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["policy"]:
        return policy_command.main(words[1:], _patient_source)
    if words[:1] == ["adopt"]:
        return adopt_command.main(words[1:], _hypervisor)
    if words[:1] == ["report"]:
        return report_command.main(words[1:], _REPORT_SOURCES, ENVIRONMENT_PREFIX)
    if words and words[0] in history_commands.COMMANDS:
        return history_commands.main(words, _SOURCES, ENVIRONMENT_PREFIX)
    options = _parser().parse_args(words)
    try:
        configured = _load(options)
        config = effective(configured)
        if options.check_config:
            _dispatcher_credentials(config)
            listener.Credentials(config)
            sys.stdout.write("configuration OK\n")
            return lifecycle.EXIT_OK
        is_eval = options.command == "eval"
        _configure_logs(config, quiet=is_eval)
    except ConfigError as error:
        for fault in error.faults:
            sys.stderr.write(f"error: {fault}\n")
        return lifecycle.EXIT_USAGE
    if is_eval:
        return lifecycle.run(lambda _stop: _evaluate(config))
    reload = PolicyReload(configured)
    code = lifecycle.run(
        lambda stop: _serve(config, stop, reload),
        on_hangup=None if config.policies_file is None else reload,
    )
    # A call that is stuck in libvirtd may return, and fail, at any moment from now on: libvirt
    # would tell the error handler of an interpreter that has ended, a segmentation fault.
    lifecycle.leave(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="virtscale-scaler",
        description="Starts and stops the domains of a pool with the load.",
        epilog="Also: policy check and show; explain, replay and report, of what was recorded; "
        "adopt; each with --help. A policy can be tried with python -m scaler.simulator.",
    )
    parser.add_argument(
        "command",
        nargs="?",
        choices=["run", "eval"],
        default="run",
        help="run (default); eval: one observation, prints the decision and why, does nothing",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file")
    parser.add_argument("--check-config", action="store_true", help="validate and exit")
    parser.add_argument("--pool", help="pool of domains to scale")
    parser.add_argument("--min", type=int, help="fewest domains that serve")
    parser.add_argument("--max", type=int, help="most domains in any state but off")
    parser.add_argument("--url", dest="libvirt_uri", metavar="URI", help="libvirt URI")
    parser.add_argument("--prometheus-url", metavar="URL", help="Prometheus server")
    parser.add_argument("--dispatcher", metavar="HOST:PORT", help="dispatcher's gRPC API")
    parser.add_argument("--policies-file", type=Path, metavar="FILE", help="read again at SIGHUP")
    parser.add_argument("--state-dir", type=Path, metavar="DIR", help="decision store, overrides")
    parser.add_argument("--dry-run", action="store_true", default=None, help="decide, do nothing")
    parser.add_argument("--listen-address", metavar="HOST:PORT", help="metrics and API")
    parser.add_argument("--loglevel", choices=["debug", "info", "warning", "error"])
    parser.add_argument("--logfile", type=Path, metavar="PATH", help="default: standard error")
    parser.add_argument("--logformat", choices=["json", "text"])
    return parser


def _load(options: argparse.Namespace) -> ScalerConfig:
    flags = dict(vars(options))
    path = flags.pop("config")
    del flags["command"], flags["check_config"]
    return configuration.load(
        ScalerConfig, path=path, environ=os.environ, prefix=ENVIRONMENT_PREFIX, flags=flags
    )


def _configure_logs(config: ScalerConfig, *, quiet: bool) -> None:
    level = "error" if quiet else config.loglevel
    try:
        logs.configure("scaler", level=level, form=config.logformat, file=config.logfile)
    except OSError as error:
        raise ConfigError([f"logfile = {config.logfile}: {error.strerror}"]) from None


def _dispatcher_credentials(
    config: ScalerConfig,
) -> tuple[grpc.ChannelCredentials | None, TokenFile | None]:
    """What the dispatcher is shown.

    Raises:
        ConfigError: a file cannot be used.

    """
    tls, token = config.dispatcher_tls, config.dispatcher_token_file
    return (
        None if tls is None else channel_credentials(tls, "dispatcher_tls"),
        None if token is None else TokenFile(token),
    )


def _patient_source(config: ScalerConfig) -> PrometheusSource:
    return PrometheusSource(
        config.prometheus_url,
        stale_after_seconds=config.stale_after_seconds,
        timeout_seconds=max(_HISTORY_TIMEOUT_SECONDS, config.metrics_timeout_seconds),
    )


def _hypervisor(config: ScalerConfig, scaler: str) -> LibvirtHypervisor:
    return LibvirtHypervisor(
        config.libvirt_uri,
        config.pool,
        clock=SystemClock(),
        timeout_seconds=config.libvirt_timeout_seconds,
        kept=KeptDefinitions(config.state_dir / "definitions"),
        save_directory=config.host.save_directory,
        scaler=scaler,
    )


@contextlib.asynccontextmanager
async def _adapters(
    config: ScalerConfig, log: DecisionStore, holds: OverrideFile, scaler: str
) -> AsyncIterator[tuple[Ports, DispatcherFleet]]:
    clock = SystemClock()
    credentials, token = _dispatcher_credentials(config)
    source = PrometheusSource(
        config.prometheus_url,
        stale_after_seconds=config.stale_after_seconds,
        timeout_seconds=config.metrics_timeout_seconds,
    )
    history = _patient_source(config)
    metrics = PacedSource(source, history, clock)
    hypervisor = _hypervisor(config, scaler)
    fleet = DispatcherFleet(config.dispatcher, credentials=credentials, token=token)
    try:
        yield Ports(metrics, hypervisor, fleet, log, holds, clock), fleet
    finally:
        await fleet.close()
        hypervisor.close()
        await metrics.close()
        history.close()
        source.close()


def _open_history(path: Path) -> History:
    file = DecisionFile(path)
    file.check()
    return file


_SOURCES = history_commands.Sources(_open_history, PrometheusHistory)


def _ranges(config: ScalerConfig) -> PrometheusHistory:
    return PrometheusHistory(config.prometheus_url, config.pool)


_REPORT_SOURCES = report_command.Sources(_open_history, _ranges)


def _store(config: ScalerConfig) -> DecisionStore:
    """The decision store, which knows from its first entry on by what is decided."""
    store = DecisionStore(
        config.state_dir / FILE_NAME,
        kept_seconds=config.decision_kept_seconds,
        max_bytes=config.decision_log_bytes,
    )
    _note(store, config, is_start=True)
    return store


def _note(store: DecisionStore, config: ScalerConfig, *, is_start: bool) -> None:
    store.append(config_record(digest(config), deciding(config), time.time(), is_start=is_start))


def _desk(config: ScalerConfig, settings: Settings) -> AlertDesk:
    return AlertDesk(
        settings.alert_rules,
        ttl_seconds=config.alert_source.ttl_seconds,
        monotonic=SystemClock().monotonic,
        path=config.state_dir / "alerts.json" if config.alerts else None,
    )


def _api(
    config: ScalerConfig,
    telemetry: Telemetry,
    log: DecisionStore,
    holds: OverrideFile,
    credentials: listener.Credentials,
    wake: Callable[[], None],
) -> Api:
    return Api(
        telemetry.status,
        log,
        holds,
        wake,
        is_remote_control=config.remote_control,
        token=credentials.control,
        page_hosts=config.page_hosts,
        gap_seconds=history_commands.gap_seconds(config),
    )


async def _serve(config: ScalerConfig, stop: Stop, reload: PolicyReload) -> int:
    with _exclusive(config.state_dir), contextlib.closing(_store(config)) as log:
        holds = OverrideFile(config.state_dir / "overrides.json")
        registry = new_registry("scaler")
        telemetry = Telemetry(config.pool, registry)
        alert_telemetry = AlertTelemetry(config.pool, registry)
        outages = OutageWatch()
        HistoryMetrics(registry, lambda: log.state)
        credentials = listener.Credentials(config)
        settings = pool_settings(config)
        desk = _desk(config, settings)
        lessons = LessonsFile(config.state_dir / "lessons.json")
        loop = asyncio.get_running_loop()
        scaler = own_identity(config.state_dir)
        async with _adapters(config, log, holds, scaler) as (ports, fleet):
            page, feed = listener.status_page(
                config,
                _page_sources(config, telemetry, log, holds, desk, outages, reload),
                _load_watch(config, loop, fleet),
            )
            reconciler = Reconciler(
                settings,
                signal_queries(config),
                replace(ports, alerts=desk, lessons=lessons),
                [
                    *(telemetry, outages, TurnBell(feed)),
                    ServiceLog(config.pool, is_dry_run=config.dry_run),
                ],
                tick_seconds=config.tick_seconds,
                is_dry_run=config.dry_run,
                shadows=Shadows(pool_shadows(config), telemetry.judged),
            )

            def take(new: ScalerConfig) -> None:
                _note(log, new, is_start=False)
                reconciler.reconfigure(pool_settings(new), signal_queries(new), pool_shadows(new))

            reload.begin(config, take, telemetry.policies_read)
            wake = functools.partial(_wake, loop, reconciler)
            routes: dict[str, Application] = {
                **_api(config, telemetry, log, holds, credentials, wake).routes(),
                **listener.override_routes(
                    config,
                    holds,
                    credentials,
                    telemetry.status,
                    lambda: pool_settings(reload.current).limits,
                    wake,
                ),
                **listener.alert_routes(desk, credentials, alert_telemetry, wake),
                **listener.policy_routes(
                    config, credentials, reload.status, lambda: _run_in(loop, reload())
                ),
                **page.routes(),
            }
            server = listener.server(
                config, registry, credentials, lambda: _unready(telemetry), routes, page.document
            )
            server.start()
            logs.get().info("scaler.started", pool=config.pool, port=server.port, scaler=scaler)
            listing = asyncio.create_task(_list_alerts(config, desk, alert_telemetry, wake, stop))
            try:
                await reconciler.run(stop)
            finally:
                listing.cancel()
                feed.close()
                server.close()
    logs.get().info("scaler.stopped", reason=stop.reason)
    return lifecycle.EXIT_OK


def _run_in(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> None:
    asyncio.run_coroutine_threadsafe(work, loop).result(_READY_TURN_SECONDS)


def _page_sources(
    config: ScalerConfig,
    telemetry: Telemetry,
    log: DecisionStore,
    holds: OverrideFile,
    desk: AlertDesk,
    outages: OutageWatch,
    reload: PolicyReload,
) -> Sources:
    return Sources(
        pool=config.pool,
        status=telemetry.status,
        history=log,
        overrides=holds.active,
        alerts=functools.partial(_shown_alerts, desk),
        outages=lambda: outages.outages,
        limits=lambda: pool_settings(reload.current).limits,
        policy_faults=lambda: reload.status()["faults"],
        is_store_failing=lambda: log.state.is_failing,
        is_dry_run=config.dry_run,
        needs_token=config.control_token_file is not None,
    )


def _load_watch(
    config: ScalerConfig, loop: asyncio.AbstractEventLoop, fleet: DispatcherFleet
) -> LoadWatch:
    source = PrometheusLoad(
        config.prometheus_url, config.pool, timeout_seconds=config.metrics_timeout_seconds
    )
    return LoadWatch(source, functools.partial(_backlog, loop, fleet))


def _backlog(loop: asyncio.AbstractEventLoop, fleet: DispatcherFleet) -> Backlog:
    """For the threads of the page; the call itself is the loop's, like all of gRPC."""
    asking = asyncio.run_coroutine_threadsafe(fleet.backlog(), loop)
    try:
        return asking.result(_BACKLOG_SECONDS)
    except (FleetError, TimeoutError, concurrent.futures.CancelledError) as error:
        raise LoadError(str(error).removeprefix("dispatcher: ") or "no answer in time") from None


def _shown_alerts(desk: AlertDesk) -> list[ShownAlert]:
    return [
        ShownAlert(one.labels.get("alertname", "alert without a name"), one.labels, one.starts_at)
        for one in desk.standings()
    ]


async def _list_alerts(
    config: ScalerConfig,
    desk: AlertDesk,
    telemetry: AlertTelemetry,
    wake: Callable[[], None],
    stop: Stop,
) -> None:
    """Asks for the alerts that fire, where somebody is configured to be asked."""
    source = config.alert_source
    if not config.alerts or not source.is_asking:
        return
    servers = []
    if source.alertmanager_url is not None:
        servers.append(alert_listing.alertmanager(source.alertmanager_url))
    if source.ask_prometheus:
        servers.append(alert_listing.prometheus(config.prometheus_url))
    resynchronisation = alert_listing.Resynchronisation(
        servers,
        desk,
        SystemClock(),
        seconds=source.resync_seconds,
        timeout_seconds=config.metrics_timeout_seconds,
        changed=wake,
        count=telemetry.asked,
    )
    try:
        await resynchronisation.run(stop)
    finally:
        resynchronisation.close()


def _wake(loop: asyncio.AbstractEventLoop, reconciler: Reconciler) -> None:
    loop.call_soon_threadsafe(reconciler.wake)


async def _evaluate(config: ScalerConfig) -> int:
    holds = OverrideFile(config.state_dir / "overrides.json", is_read_only=True)
    # One that has never run owns nothing.
    scaler = known_identity(config.state_dir) or "nobody"
    async with _adapters(config, DecisionStore(None), holds, scaler) as (ports, _):
        ports = replace(ports, lessons=LessonsFile(config.state_dir / "lessons.json"))
        reconciler = Reconciler(pool_settings(config), signal_queries(config), ports)
        decision = await reconciler.evaluate()
    sys.stdout.write(json.dumps(decision_record(decision, time.time()), indent=2) + "\n")
    return lifecycle.EXIT_OK if decision.desired is not None else lifecycle.EXIT_FAILED


@contextlib.contextmanager
def _exclusive(state_dir: Path) -> Iterator[None]:
    """Two scalers with one memory would undo each other's work."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        lock = (state_dir / "lock").open("w")
    except OSError as error:
        raise StartError(
            f"state_dir = {state_dir}: {error.strerror}; choose a writable one (--state-dir)"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StartError(
                f"state_dir = {state_dir}: another scaler runs with it; "
                "stop that one or choose another directory (--state-dir)"
            ) from None
        yield


def _unready(telemetry: Telemetry) -> str | None:
    status = telemetry.status()
    if status is None:
        return "no turn is finished yet"
    age = time.time() - status["time"]
    if age > _READY_TURN_SECONDS:
        return f"the last turn was {age:.0f} s ago"
    if status["desired"] is None:
        return "; ".join(status["decision"]["errors"]) or "the hypervisor does not answer"
    return None


if __name__ == "__main__":
    sys.exit(main())
