"""The dispatcher's process: reads configuration, wires adapters to the loop, runs until stopped."""

import argparse
import asyncio
import contextlib
import gc
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from dispatcher import config, offline, scrubbing
from dispatcher.access import Token
from dispatcher.config import DispatcherSettings
from dispatcher.database import PostgresqlUrl
from dispatcher.fleet import Fleet
from dispatcher.gate import Gate, Refusals, read_tokens
from dispatcher.grpc_api.server import Address, Server
from dispatcher.jobs import JobNames
from dispatcher.leases import Terms
from dispatcher.ledger import Ledger
from dispatcher.memory_store import MemoryStore
from dispatcher.opening import Opening, end_at_once
from dispatcher.pepper_file import PepperFile
from dispatcher.plates import NumberFormats
from dispatcher.ports import JobStore, Recovered, StoreOpenError
from dispatcher.pump import Pump
from dispatcher.retention import Retention
from dispatcher.rotation import Rotation
from dispatcher.sqlite_store import SqliteStore
from dispatcher.store_health import StoreHealth
from dispatcher.store_metrics import StoreMetrics, file_sizes
from dispatcher.submissions import Submissions
from dispatcher.telemetry import Snapshot, Telemetry
from dispatcher.upkeep import Upkeep
from servicekit import lifecycle, logs, metrics
from servicekit.clock import Clock, SystemClock
from servicekit.config import ConfigError, load
from servicekit.lifecycle import StartError, Stop
from servicekit.tls import ServerTls, TlsFiles

_SNAPSHOT_SECONDS = 2.0
_ALONE = ("backup", "restore", "check_store", "begin_era")


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script."""
    flags = vars(_parser().parse_args(arguments))
    path, check_only = flags.pop("config"), flags.pop("check_config")
    wanted = {name: flags.pop(name) for name in _ALONE}
    force, as_json = flags.pop("force"), flags.pop("json")
    try:
        settings = load(
            DispatcherSettings, path=path, environ=os.environ, prefix=config.ENV_PREFIX, flags=flags
        )
        config.read_keyring(settings.pepper_file)
        scrubbed = scrubbing.environment(os.environ) if settings.scrub_memory else None
        if settings.join_key_file is not None:
            config.read_join_key(settings.join_key_file)
        if settings.database_password_file is not None:
            config.read_password(settings.database_password_file)
        credentials = _credentials(settings)
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
        return _work_offline(settings, wanted, force=force, as_json=as_json)
    logs.configure(
        "dispatcher", level=settings.loglevel, form=settings.logformat, file=settings.logfile
    )
    return lifecycle.run(lambda stop: _serve(settings, credentials, stop))


@dataclass(frozen=True)
class _Credentials:
    """What the listeners show and ask for, as it was on disk at the start."""

    tls: ServerTls | None
    worker_tls: ServerTls | None
    tokens: tuple[Token, ...] | None

    @property
    def by_listener(self) -> list[tuple[str, ServerTls]]:
        """The listeners that have a certificate."""
        pairs = (("clients", self.tls), ("workers", self.worker_tls))
        return [(name, tls) for name, tls in pairs if tls is not None]


def _credentials(settings: DispatcherSettings) -> _Credentials:
    """Reads all files of certificates and tokens.

    Raises:
        ConfigError: with every fault of all of them.

    """
    faults: list[str] = []

    def tls(files: TlsFiles, name: str) -> ServerTls | None:
        try:
            return ServerTls(files, name, now=time.time()) if files.is_set else None
        except ConfigError as error:
            faults.extend(error.faults)
            return None

    found = tls(settings.tls, "tls"), tls(settings.worker_tls, "worker_tls")
    tokens = None
    try:
        if settings.tokens_file is not None:
            tokens = read_tokens(settings.tokens_file)
    except ConfigError as error:
        faults.extend(error.faults)
    if faults:
        raise ConfigError(faults)
    return _Credentials(*found, tokens)


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
    alone.add_argument(
        *("--begin-era",), action="store_true", help="after pg_restore: new names for what follows"
    )
    add("--force", action="store_true", help="with --backup: overwrite FILE")
    add("--json", action="store_true", help="with these four: one JSON object a line")
    add("--listen", metavar="HOST:PORT", help="gRPC listener for clients (127.0.0.1:15051)")
    add("--listen-workers", metavar="HOST:PORT", help="gRPC for workers; default: as --listen")
    add("--listen-address", metavar="HOST:PORT", help="/metrics (127.0.0.1:9181)")
    add("--database", metavar="FILE|URL", help="the store; :memory: keeps nothing")
    add("--database-password-file", type=Path, metavar="FILE", help="for a postgresql:// URL")
    add("--join-key-file", type=Path, metavar="FILE", help="key of the workers' join tokens")
    add("--pepper-file", type=Path, metavar="FILE", help="keys of the keyed profiles")
    add("--tokens-file", type=Path, metavar="FILE", help="the clients' tokens and their roles")
    add("--insecure", action="store_true", default=None, help="open listeners off loopback")
    add("--loglevel", choices=["debug", "info", "warning", "error"])
    add("--logfile", type=Path, metavar="FILE")
    add("--logformat", choices=["json", "text"])
    return parser


def _work_offline(
    settings: DispatcherSettings, wanted: dict[str, Any], *, force: bool, as_json: bool
) -> int:
    report, database = offline.Report(as_json=as_json), settings.database
    if isinstance(database, PostgresqlUrl):
        (name,) = (name for name, value in wanted.items() if value)
        password_file = settings.database_password_file
        return offline.work_on_postgresql(database, password_file, name, report=report)
    if wanted["begin_era"]:
        sys.stderr.write("error: --begin-era is for a PostgreSQL database; --restore does it\n")
        return lifecycle.EXIT_USAGE
    if wanted["backup"]:
        return offline.back_up(database, wanted["backup"], force=force, report=report)
    if wanted["restore"]:
        return offline.restore(database, wanted["restore"], report=report)
    return offline.check_store(database, report=report)


async def _serve(settings: DispatcherSettings, credentials: _Credentials, stop: Stop) -> None:
    registry = metrics.new_registry("dispatcher")
    written = StoreMetrics(registry)
    is_shared = isinstance(settings.database, PostgresqlUrl)
    opening = Opening(_store(settings, written), written, is_shared=is_shared)
    try:
        join_key = _join_key(settings)
        recovered = opening.at_once()
        async with _metrics_served(settings, registry, opening) as address:
            recovered = recovered or await opening.turn(stop)
            if recovered is not None:
                work = (registry, opening.store, recovered, join_key)
                await _work(settings, credentials, stop, address, *work)
    except StoreOpenError as error:
        raise StartError(str(error)) from None
    finally:
        await opening.store.close()


@contextlib.asynccontextmanager
async def _metrics_served(
    settings: DispatcherSettings, registry: CollectorRegistry, opening: Opening
) -> AsyncIterator[str]:
    host, port = config.split_address(settings.listen_address)
    scrapes = metrics.MetricsServer(
        registry, service="dispatcher", host=host, port=port, ready=opening.why_not_ready
    )
    scrapes.start()
    try:
        yield f"{host}:{scrapes.port}"
    finally:
        await asyncio.to_thread(scrapes.close)


async def _work(
    settings: DispatcherSettings,
    credentials: _Credentials,
    stop: Stop,
    metrics_address: str,
    registry: CollectorRegistry,
    store: JobStore,
    recovered: Recovered,
    join_key: bytes,
) -> None:
    """Does the work of the active dispatcher, on an open store."""
    pepper = PepperFile(settings.pepper_file)
    clock = SystemClock()
    ledger = _ledger(settings, recovered, clock.monotonic())
    _tune_interpreter()
    telemetry = Telemetry(registry)
    telemetry.store.opened(ledger.counts, clock.wall())
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
    )
    gate, rotation = _access(settings, credentials, telemetry, clock)
    server = Server(
        clients=clients,
        workers=pump,
        fleet=fleet,
        names=names,
        cost=settings.cost,
        heartbeat_interval=settings.heartbeat_interval_seconds,
        lease_ttl=settings.lease_ttl_seconds,
        gate=gate,
        has_worker_listener=settings.listen_workers is not None,
        registry=registry,
        telemetry=telemetry,
    )
    upkeep = Upkeep(
        store=store,
        clock=clock,
        telemetry=telemetry,
        health=health,
        retention=Retention(settings.results_kept_seconds, settings.results_kept_count),
    )
    listeners = _listeners(settings, credentials)
    watching = asyncio.ensure_future(pepper.watch(clock))
    try:
        loops = (pump, upkeep, rotation)
        await _listen(settings, metrics_address, server, listeners, loops, stop)
    finally:
        watching.cancel()


def _access(
    settings: DispatcherSettings, credentials: _Credentials, telemetry: Telemetry, clock: Clock
) -> tuple[Gate, Rotation]:
    """Who may do what, and what keeps that in step with its files."""
    gate = Gate(
        tokens=credentials.tokens,
        has_certificates=settings.tls.is_mutual,
        refusals=Refusals(telemetry, clock),
        clock=clock,
    )
    rotation = Rotation(
        listeners=credentials.by_listener,
        gate=gate,
        tokens_file=settings.tokens_file,
        clock=clock,
        telemetry=telemetry,
    )
    return gate, rotation


def _listeners(
    settings: DispatcherSettings, credentials: _Credentials
) -> tuple[Address, Address | None]:
    """Where clients and workers are served."""

    def listener(address: str, tls: ServerTls | None, option: str) -> Address:
        host, port = config.split_address(address)
        return Address(host, port, tls, option)

    clients = listener(settings.listen, credentials.tls, "--listen")
    if settings.listen_workers is None:
        return clients, None
    return clients, listener(settings.listen_workers, credentials.worker_tls, "--listen-workers")


async def _listen(
    settings: DispatcherSettings,
    metrics_address: str,
    server: Server,
    listeners: tuple[Address, Address | None],
    loops: tuple[Pump, Upkeep, Rotation],
    stop: Stop,
) -> None:
    """Serves until the stop; then lets go of workers without draining them: they come back."""
    log = logs.get()
    pump, upkeep, rotation = loops
    pumping = asyncio.ensure_future(pump.run())
    keeping = asyncio.ensure_future(upkeep.run())
    rotating = asyncio.ensure_future(rotation.run())
    stopping = asyncio.ensure_future(stop.wait())
    damaged = asyncio.ensure_future(_refuse_when_damaged(server, pump))
    endless = (pumping, keeping, rotating)
    tasks = (*endless, stopping, damaged)
    try:
        bound = await server.start(*listeners)
        _tell(settings, listeners, bound, metrics_address, pump)
        await asyncio.wait((*endless, stopping), return_when=asyncio.FIRST_COMPLETED)
        for loop in endless:
            if loop.done():
                loop.result()
        log.info("dispatcher.stopping", reason=stop.reason)
        pump.is_stopping = True
        await server.stop()
    finally:
        pump.is_stopping = True
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _refuse_when_damaged(server: Server, pump: Pump) -> None:
    await pump.health.wait_damaged()
    await server.refuse()


def _store(settings: DispatcherSettings, written: StoreMetrics) -> JobStore:
    database = settings.database
    if isinstance(database, PostgresqlUrl):
        # Whoever keeps jobs in a file needs no client of PostgreSQL in memory.
        from dispatcher.postgresql_store import PostgresqlStore

        shared = PostgresqlStore(
            database,
            password_file=settings.database_password_file,
            on_commit=written.committed,
            on_fenced=end_at_once,
        )
        written.show_sizes(shared.sizes)
        return shared
    if database == config.IN_MEMORY:
        return MemoryStore()
    written.show_sizes(lambda: file_sizes(database))
    return SqliteStore(
        database, reserve_bytes=settings.disk_reserve_mib << 20, on_commit=written.committed
    )


def _tell(
    settings: DispatcherSettings,
    listeners: tuple[Address, Address | None],
    bound: tuple[int, int | None],
    metrics_address: str,
    pump: Pump,
) -> None:
    """Logs what is served where, and what is open to everybody."""
    log = logs.get()
    clients, workers = listeners
    counts = pump.ledger.counts
    log.info(
        "dispatcher.started",
        listen=f"{clients.host}:{bound[0]}",
        listen_workers=None if workers is None else f"{workers.host}:{bound[1]}",
        metrics=metrics_address,
        database=str(settings.database),
        ready=counts.ready,
        done=counts.done,
        tls=clients.tls is not None,
        worker_tls=workers is not None and workers.tls is not None,
    )
    if settings.tokens_file is None and not settings.tls.is_mutual:
        log.warning(
            "access.open",
            listen=f"{clients.host}:{bound[0]}",
            consequence="whoever reaches this address may submit, read and administrate",
            fix="set tokens_file; virtscale certs token makes one",
        )


def _tune_interpreter() -> None:
    """Fewer, shorter pauses: the interpreter's defaults are made for scripts.

    By default every 700 new objects start a search for cycles, and the modules are searched again
    and again: a fifth of the time per job. What waits in queues here is in no cycle. And while the
    loop is busy, the writing thread waits for the interpreter's lock behind every statement, as
    long as the switch interval says: at the default of 5 ms that is much longer than the writing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
    sys.setswitchinterval(0.0001)


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
        return config.make_join_key(settings.made_join_key_file)
    except OSError as error:
        raise StartError(f"{error.filename}: {error.strerror}") from None


if __name__ == "__main__":
    sys.exit(main())
