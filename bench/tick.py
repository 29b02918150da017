"""CPU time of a whole turn of the scaler's service, by the number of domains.

Real are the scaler (loop, adapters, decision, store on disk, metrics, log) and a private libvirtd
with so many domains; a dispatcher and a Prometheus are made up (`tick_services`). Half of the
domains are told to run, since a machine that could run thousands is not at hand: that answer, and
no other, is changed on its way from the adapter. Counted is the CPU time of all threads of this
process, not that of libvirtd, which is shown beside it.
"""

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from bench.libvirtd import Daemon
from bench.rig import Rig, wait_until
from bench.tick_services import worker_name
from bench.usage import cpu_seconds
from scaler.config import ScalerConfig, pool_settings, signal_queries
from scaler.decision_store import DecisionStore
from scaler.dispatcher_fleet import DispatcherFleet
from scaler.override_file import OverrideFile
from scaler.pool import DomainRecord, Lifecycle
from scaler.prometheus_source import PrometheusSource
from scaler.reconciler import Ports, Reconciler
from scaler.telemetry import ServiceLog, Telemetry
from servicekit import logs
from servicekit.clock import SystemClock

_FLUSH_TURNS = 5
"""The store writes what has grown once in five seconds, and what is new within a second."""
_DOMAIN = """
<domain type='qemu'>
  <name>{name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <metadata><v:domain xmlns:v='urn:virtscale:domain:1' pool='default' tier='cold'
    owner='virtscale' generation=''/></metadata>
</domain>
"""


class SteppedClock(SystemClock):
    """Each turn is a second later than the one before, without waiting for it."""

    turn = 0

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return super().monotonic() + self.turn

    def wall(self) -> float:
        """See `Clock.wall`."""
        return super().wall() + self.turn


class _Definitions(Daemon):
    """A libvirtd with domains that are never started."""

    _defined = 0

    def define(self, count: int) -> None:
        """Defines domains until there are so many."""
        with self.connection() as connection:
            while self._defined < count:
                connection.defineXML(_DOMAIN.format(name=worker_name(self._defined)))
                self._defined += 1


class _HalfRunning:
    """A `Hypervisor` of which the first domains are told to run."""

    def __init__(self, hypervisor: Any, running: int) -> None:
        self._hypervisor = hypervisor
        self._last = worker_name(2 * running - 1)
        self._running = frozenset(map(worker_name, range(running)))
        self._told: dict[str, tuple[DomainRecord, DomainRecord]] = {}

        self._moved = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hypervisor, name)

    def move(self, number: int) -> None:
        """From now on, one domain that is off has been shut down in another way."""
        self._moved = number

    async def list(self) -> tuple[DomainRecord, ...]:
        """The real answer, changed where it must be, and the same object for the same."""
        told = []
        for record in await self._hypervisor.list():
            if record.name not in self._running:
                is_moved = self._moved and record.name == self._last
                told.append(replace(record, cause=f"{self._moved}") if is_moved else record)
                continue
            known = self._told.get(record.name)
            if known is None or known[0] is not record:
                known = record, replace(record, lifecycle=Lifecycle.RUNNING, cause="")
                self._told[record.name] = known
            told.append(known[1])
        return tuple(told)


@dataclass(frozen=True)
class Point:
    """CPU milliseconds of a turn, per part; `wall` is time, not CPU."""

    size: int
    quiet: float
    """Mean; a tenth of the workers took or finished a job, nothing else changed."""
    moving: float
    """Mean; as `quiet`, and a domain changed in each turn, so that each is kept in full."""
    slowest: float
    """The costliest of the quiet turns."""
    wall: float
    libvirtd: float
    render: float
    """Of an answer to `/metrics`, which is no part of a turn."""
    parts: dict[str, float]


class _World:
    """One scaler with everything it asks."""

    def __init__(self, rig: Rig, daemon: _Definitions, size: int) -> None:
        from scaler.libvirt_hypervisor import LibvirtHypervisor

        running = size // 2
        ports = _services(rig, running, size)
        folder = Path(tempfile.mkdtemp(prefix="scaler-", dir=rig.directory))
        logs.configure("scaler", level="info", form="json", file=folder / "scaler.log")
        config = ScalerConfig(min=1, max=size)
        self.clock = SteppedClock()
        self._libvirt = LibvirtHypervisor(
            daemon.uri, "default", clock=self.clock, timeout_seconds=120.0
        )
        self.hypervisor = _HalfRunning(self._libvirt, running)
        self.fleet = DispatcherFleet(f"127.0.0.1:{ports['fleet']}", timeout_seconds=10.0)
        self.metrics = PrometheusSource(f"http://127.0.0.1:{ports['prometheus']}")
        self.store = DecisionStore(folder / "decisions.db")
        self.registry = CollectorRegistry()
        self.queries = signal_queries(config)
        self.reconciler = Reconciler(
            pool_settings(config),
            self.queries,
            Ports(
                *(self.metrics, self.hypervisor, self.fleet, self.store),
                *(OverrideFile(folder / "overrides.json"), self.clock),
            ),
            [Telemetry("default", self.registry), ServiceLog("default")],
            is_dry_run=True,
        )

    async def close(self) -> None:
        """Ends what was begun."""
        await self.fleet.close()
        self._libvirt.close()
        self.metrics.close()
        self.store.close()

    async def turn(self, number: int, *, is_news: bool, may_be_blind: bool = False) -> None:
        """A turn, and its share of writing the store."""
        self.clock.turn += 1
        decision = await self.reconciler.turn()
        if decision.errors and not may_be_blind:
            raise SystemExit(f"a turn without sight: {decision.errors}")
        if is_news or number % _FLUSH_TURNS == 0:
            self.store.flush()


def _services(rig: Rig, running: int, size: int) -> dict[str, int]:
    found = rig.directory / f"services-{size}.json"
    rig.python(f"services-{size}", "-m", "bench.tick_services", str(running), found)
    wait_until(found.exists, "the made-up services listen")
    ports: dict[str, int] = json.loads(found.read_text())
    return ports


@contextlib.contextmanager
def _daemon() -> Iterator[_Definitions]:
    daemon = _Definitions()
    try:
        yield daemon
    finally:
        daemon.close()


def measure(sizes: tuple[int, ...], turns: int) -> Iterator[Point]:
    """One point per size, the smallest first, as domains are added to one libvirtd."""
    with Rig() as rig, _daemon() as daemon:
        for size in sorted(sizes):
            daemon.define(size)
            yield asyncio.run(_point(rig, daemon, size, turns))


async def _point(rig: Rig, daemon: _Definitions, size: int, turns: int) -> Point:
    world = _World(rig, daemon, size)
    try:
        for number in range(45):
            # Long enough for the windows to fill. The first look of many takes several turns.
            await world.turn(number, is_news=False, may_be_blind=True)
        began, busy = time.monotonic(), cpu_seconds([daemon.pid])
        quiet = await _rounds(world, turns, is_moving=False)
        wall = (time.monotonic() - began) / turns * 1000
        libvirtd = (cpu_seconds([daemon.pid]) - busy) / turns * 1000
        moving = await _rounds(world, turns, is_moving=True)
        parts = {
            "libvirt": await _each(world, world.hypervisor.list, turns),
            "dispatcher": await _each(world, world.fleet.workers, turns),
            "signals": await _each(world, lambda: world.metrics.read(world.queries), turns),
        }
        render = await _each(world, lambda: asyncio.to_thread(generate_latest, world.registry), 5)
    finally:
        await world.close()
    return Point(size, _mean(quiet), _mean(moving), max(quiet), wall, libvirtd, render, parts)


async def _rounds(world: _World, turns: int, *, is_moving: bool) -> list[float]:
    spent = []
    for number in range(turns):
        if is_moving:
            world.hypervisor.move(number)
        began = time.process_time()
        await world.turn(number, is_news=is_moving)
        spent.append((time.process_time() - began) * 1000)
    return spent


async def _each(world: _World, call: Callable[[], Awaitable[object]], times: int) -> float:
    began = time.process_time()
    for _ in range(times):
        world.clock.turn += 1
        await call()
    return (time.process_time() - began) * 1000 / times


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
