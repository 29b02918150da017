"""The dispatcher's process: reads configuration, wires adapters to the loop, runs until stopped."""

import argparse
import asyncio
import gc
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from dispatcher import config, offline, scrubbing
from dispatcher.config import DispatcherSettings
from dispatcher.fleet import Fleet
from dispatcher.grpc_api.server import Server
from dispatcher.idleness import WatchedLoop, idle_at
from dispatcher.jobs import JobNames
from dispatcher.leases import Terms
from dispatcher.ledger import Ledger
from dispatcher.memory_store import MemoryStore
from dispatcher.pepper_file import PepperFile
from dispatcher.plates import NumberFormats
from dispatcher.ports import JobStore, Recovered
from dispatcher.pump import Pump
from dispatcher.retention import Retention
from dispatcher.sqlite_store import SqliteStore, StoreOpenError
from dispatcher.store_health import StoreHealth
from dispatcher.store_metrics import StoreMetrics
from dispatcher.submissions import Submissions
from dispatcher.telemetry import Snapshot, Telemetry
from dispatcher.upkeep import Upkeep
from servicekit import lifecycle, logs, metrics
from servicekit.clock import SystemClock
from servicekit.config import ConfigError, load
from servicekit.lifecycle import StartError, Stop
from servicekit.tls import server_credentials

_SNAPSHOT_SECONDS = 2.0


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script."""
    flags = vars(_parser().parse_args(arguments))
    path, check_only = flags.pop("config"), flags.pop("check_config")
    wanted = {name: flags.pop(name) for name in ("backup", "restore", "check_store")}
    force, as_json = flags.pop("force"), flags.pop("json")
    try:
        settings = load(
            DispatcherSettings, path=path, environ=os.environ, prefix=config.ENV_PREFIX, flags=flags
        )
        config.read_keyring(settings.pepper_file)
        scrubbed = scrubbing.environment(os.environ) if settings.scrub_memory else None
        if settings.join_key_file is not None:
            config.read_join_key(settings.join_key_file)
    except ConfigError as error:
        for fault in error.faults:
            sys.stderr.write(f"error: {fault}\n")
        return lifecycle.EXIT_USAGE
    if check_only:
        sys.stdout.write("configuration OK\n")
        return lifecycle.EXIT_OK
    if scrubbed is not None:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], scrubbed)
    if any(wanted.values()):
        return _work_offline(settings.database, wanted, force=force, as_json=as_json)
    logs.configure(
        "dispatcher", level=settings.loglevel, form=settings.logformat, file=settings.logfile
    )
    return lifecycle.run(lambda stop: _serve(settings, stop), loop_factory=WatchedLoop)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="virtscale-dispatcher",
        description="Accepts licence numbers durably and hands them out to workers.",
        epilog="Every setting can also stand in the file (listen: ...) or in the environment "
        f"({config.ENV_PREFIX}LISTEN=...); flags win.",
    )
    add = parser.add_argument
    add("--config", type=Path, metavar="FILE", help="YAML file")
    add("--check-config", action="store_true", help="check the configuration and exit")
    alone = parser.add_mutually_exclusive_group()
    alone.add_argument(
        *("--backup",), type=Path, metavar="FILE", help="copy the store, also while it is in use"
    )
    alone.add_argument(
        *("--restore",), type=Path, metavar="FILE", help="put a copy in the store's place"
    )
    alone.add_argument("--check-store", action="store_true", help="look the whole store over")
    add("--force", action="store_true", help="with --backup: overwrite FILE")
    add("--json", action="store_true", help="with these three: one JSON object a line")
    add("--listen", metavar="HOST:PORT", help="gRPC listener (127.0.0.1:50051)")
    add("--listen-address", metavar="HOST:PORT", help="/metrics (127.0.0.1:9181)")
    add("--database", type=Path, metavar="FILE", help="the store; :memory: keeps nothing")
    add("--join-key-file", type=Path, metavar="FILE", help="key of the workers' join tokens")
    add("--pepper-file", type=Path, metavar="FILE", help="keys of the keyed profiles")
    add("--insecure", action="store_true", default=None, help="no TLS off loopback")
    add("--loglevel", choices=["debug", "info", "warning", "error"])
    add("--logfile", type=Path, metavar="FILE")
    add("--logformat", choices=["json", "text"])
    return parser


def _work_offline(database: Path, wanted: dict[str, Any], *, force: bool, as_json: bool) -> int:
    report = offline.Report(as_json=as_json)
    if wanted["backup"]:
        return offline.back_up(database, wanted["backup"], force=force, report=report)
    if wanted["restore"]:
        return offline.restore(database, wanted["restore"], report=report)
    return offline.check_store(database, report=report)


async def _serve(settings: DispatcherSettings, stop: Stop) -> None:
    registry = metrics.new_registry("dispatcher")
    store = _store(settings, registry)
    try:
        join_key = _join_key(settings)
        pepper = PepperFile(settings.pepper_file)
        recovered = store.open()
        clock = SystemClock()
        ledger = _ledger(settings, recovered, clock.monotonic())
    except StoreOpenError as error:
        raise StartError(str(error)) from None
    _tune_interpreter()
    try:
        telemetry = Telemetry(registry)
        health = StoreHealth(telemetry)
        pump = Pump(
            ledger=ledger,
            store=store,
            clock=clock,
            telemetry=telemetry,
            health=health,
            join_key=join_key,
            cost=settings.cost,
        )
        fleet = Fleet(pump=pump, store=store, clock=clock)
        telemetry.show(_snapshots(fleet, asyncio.get_running_loop()))
        names = JobNames(recovered.store_id, recovered.former)
        clients = Submissions(
            pump=pump,
            store=store,
            clock=clock,
            telemetry=telemetry,
            names=names,
            pepper=pepper,
            formats=NumberFormats(settings.number_formats),
            profile=settings.profile,
            cost=settings.cost,
            max_unfinished=settings.max_unfinished_jobs,
            idle_at=idle_at,
        )
        server = Server(
            clients=clients,
            workers=pump,
            fleet=fleet,
            names=names,
            cost=settings.cost,
            heartbeat_interval=settings.heartbeat_interval_seconds,
            lease_ttl=settings.lease_ttl_seconds,
            registry=registry,
        )
        upkeep = Upkeep(
            store=store,
            clock=clock,
            telemetry=telemetry,
            health=health,
            retention=Retention(settings.results_kept_seconds, settings.results_kept_count),
        )
        watching = asyncio.ensure_future(pepper.watch(clock))
        try:
            await _listen(settings, registry, server, pump, upkeep, stop)
        finally:
            watching.cancel()
    finally:
        await store.close()


async def _listen(
    settings: DispatcherSettings,
    registry: CollectorRegistry,
    server: Server,
    pump: Pump,
    upkeep: Upkeep,
    stop: Stop,
) -> None:
    """Serves until the stop; then lets go of workers without draining them: they come back."""
    log = logs.get()
    host, port = config.split_address(settings.listen)
    metrics_host, metrics_port = config.split_address(settings.listen_address)
    credentials = server_credentials(settings.tls) if settings.tls.is_set else None
    scrapes = metrics.MetricsServer(
        registry, service="dispatcher", host=metrics_host, port=metrics_port
    )
    scrapes.start()
    pumping = asyncio.ensure_future(pump.run())
    stopping = asyncio.ensure_future(stop.wait())
    beside = [
        asyncio.ensure_future(upkeep.run()),
        asyncio.ensure_future(_refuse_when_damaged(server, pump)),
    ]
    try:
        bound = await server.start(host, port, credentials)
        counts = pump.ledger.counts
        log.info(
            "dispatcher.started",
            listen=f"{host}:{bound}",
            metrics=f"{metrics_host}:{scrapes.port}",
            database=str(settings.database),
            ready=counts.ready,
            done=counts.done,
            tls=credentials is not None,
        )
        running = {pumping, stopping, *beside[:1]}
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in running - {stopping}:
            if task.done():
                task.result()
        log.info("dispatcher.stopping", reason=stop.reason)
        pump.is_stopping = True
        await server.stop()
    finally:
        pump.is_stopping = True
        tasks = (pumping, stopping, *beside)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(scrapes.close)


async def _refuse_when_damaged(server: Server, pump: Pump) -> None:
    await pump.health.wait_damaged()
    await server.refuse()


def _store(settings: DispatcherSettings, registry: CollectorRegistry) -> JobStore:
    is_kept = settings.database != config.IN_MEMORY
    written = StoreMetrics(registry, settings.database if is_kept else None)
    if not is_kept:
        return MemoryStore()
    return SqliteStore(
        settings.database,
        reserve_bytes=settings.disk_reserve_mib << 20,
        on_commit=written.committed,
    )


def _tune_interpreter() -> None:
    """Fewer, shorter pauses: the interpreter's defaults are made for scripts.

    By default every 700 new objects start a search for cycles, and the modules are searched again
    and again: a fifth of the time per job. What waits in queues here is in no cycle. And while the
    loop is busy, the writing thread, back from the disk, waits for the interpreter's lock as long
    as the switch interval says: at the default of 5 ms that is longer than the writing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
    sys.setswitchinterval(0.001)


def _ledger(settings: DispatcherSettings, recovered: Recovered, now: float) -> Ledger:
    return Ledger(
        Terms(
            lease_ttl=settings.lease_ttl_seconds,
            reconnect_grace=settings.reconnect_grace_seconds,
            max_attempts=settings.max_attempts,
            alive_within=1.5 * settings.heartbeat_interval_seconds,
        ),
        # A new generation's epochs are above all of the older ones'.
        first_epoch=recovered.generation << 32,
        counts=recovered.counts,
        unfinished=recovered.unfinished,
        cordons=recovered.cordons,
        absent=recovered.connected,
        former=recovered.former,
        absent_until=now + settings.restart_grace_seconds,
    )


def _snapshots(fleet: Fleet, loop: asyncio.AbstractEventLoop) -> Callable[[], Snapshot]:
    """Takes snapshots in the loop's thread: between two events the counts always add up."""

    async def take() -> Snapshot:
        backlog = fleet.backlog()
        return Snapshot(backlog.counts, backlog.oldest_ready_age or 0.0, tuple(fleet.workers()))

    def snapshot() -> Snapshot:
        return asyncio.run_coroutine_threadsafe(take(), loop).result(_SNAPSHOT_SECONDS)

    return snapshot


def _join_key(settings: DispatcherSettings) -> bytes:
    if settings.join_key_file is not None:
        return config.read_join_key(settings.join_key_file)
    if settings.database == config.IN_MEMORY:
        return os.urandom(32)
    try:
        return config.make_join_key(settings.database.with_name("join.key"))
    except OSError as error:
        raise StartError(f"{error.filename}: {error.strerror}") from None


if __name__ == "__main__":
    sys.exit(main())
