"""A small world on virtual time: domains that boot, workers, jobs, metrics, and faults.

The scaler in it is the real one, loop and executor included; only the ports are in memory.
"""

import asyncio
import json
import math
import random
from collections import deque
from dataclasses import dataclass, field, replace

from scaler.decision import Settings
from scaler.lessons import Lessons, from_record, to_record
from scaler.overrides import Override, OverrideKind
from scaler.pool import Lifecycle
from scaler.ports import ErrorKind, HypervisorError, SignalQuery
from scaler.readings import Failed
from scaler.recommendation import CPU, DEMAND, DEMAND_AVERAGE
from scaler.reconciler import Ports, Reconciler
from scaler.records import decision_record, fingerprint
from tests.simulation.clock import VirtualClock
from tests.simulation.fleet_fake import FakeFleet
from tests.simulation.hypervisor_fake import FakeHypervisor
from tests.simulation.metrics_fake import MetricsFake

QUERIES = tuple(SignalQuery(name, name) for name in (CPU, DEMAND, DEMAND_AVERAGE))
_STEP_SECONDS = 0.5


@dataclass
class Worker:
    name: str
    is_connected: bool = False
    connected_at: float = 0.0
    is_cordoned: bool = False
    leases: dict = field(default_factory=dict)
    """job -> when it was leased"""
    left: dict = field(default_factory=dict)
    """job -> seconds of service left"""


@dataclass
class Faults:
    """Probabilities and switches; a test sets what it wants to suffer."""

    boot_never_finishes: float = 0.0
    start_fails: float = 0.0
    power_button_lost: float = 0.0
    broken_generations: frozenset = frozenset()
    wake_never_finishes: float = 0.0
    wake_fails: float = 0.0


class WorldMetrics(MetricsFake):
    """The world's signals; `outage` replaces every reading."""

    def __init__(self):
        super().__init__()
        self.outage = None

    def _reading(self, query):
        return self.outage or super()._reading(query)


class LogFake:
    def __init__(self):
        self.records = []
        self.told = ()

    def turned(self, turn):
        record = decision_record(turn.decision, turn.wall)
        news = (fingerprint(record), record["actions"])
        if news != self.told:
            self.records.append(record)
        self.told = news

    def append(self, record):
        self.records.append(dict(record))


class HoldFake:
    """An `OverrideStore`: one pause (`hold`), and what a test puts into `overrides`."""

    def __init__(self):
        self.hold = None
        self.overrides = []

    def active(self):
        if self.hold is None:
            return tuple(self.overrides)
        pause = Override("p", OverrideKind.PAUSE, self.hold.author, self.hold.reason, 0.0)
        return (*self.overrides, pause)


class LessonsFake:
    """A `LessonStore`: what a file would hold."""

    def __init__(self):
        self.record = None

    def recall(self, offset, now, max_backoff_seconds):
        if self.record is None:
            return Lessons()
        record = json.loads(json.dumps(self.record))
        return from_record(record, offset, now, max_backoff_seconds)

    def remember(self, learned, offset):
        self.record = to_record(learned, offset)


class World:
    def __init__(self, seed=0, *, domains=6, settings=None, slots=1, boot_seconds=8.0):
        self.random = random.Random(seed)
        self.clock = VirtualClock()
        self.settings = settings or Settings()
        self.slots = slots
        self.boot_seconds = boot_seconds
        self.faults = Faults()
        self.hypervisor = FakeHypervisor(scaler="world")
        self.hypervisor.on_start = self._boot
        self.hypervisor.on_off = self._lose_worker
        self.hypervisor.on_shutdown = self._press_power_button
        self.hypervisor.on_freeze = self._freeze
        self.hypervisor.on_wake = self._wake
        self.fleet = FakeFleet(self)
        self.metrics = WorldMetrics()
        self.log = LogFake()
        self.holds = HoldFake()
        self.alerts = None
        self.lessons = LessonsFake()
        self.workers = {}
        self._boots = {}
        self._going_off = {}
        for number in range(domains):
            self.hypervisor.define(f"domain-{number}")
        self.ready = deque()
        self.service_seconds = {}
        self.done = []
        self.samples = deque(maxlen=60)
        self.arrivals_per_second = 0.0
        self.job_seconds = 1.0
        self._owed = 0.0
        self.peak_active = 0
        self.starts = 0
        self.wakes = 0
        self.frozen = 0
        self.leases_cut = []
        """Jobs that a domain held when the scaler, and no fault, took its power."""
        self._is_fault = False
        self.scaler = self._new_scaler()

    def _new_scaler(self):
        ports = Ports(self.metrics, self.hypervisor, self.fleet, self.log, self.holds, self.clock)
        ports = replace(ports, alerts=self.alerts, lessons=self.lessons)
        return Reconciler(self.settings, QUERIES, ports)

    # What a test does.

    async def run(self, seconds):
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            await self.step()

    async def step(self):
        self.clock.advance(_STEP_SECONDS)
        self._live(_STEP_SECONDS)
        self.fleet.step()
        await self._settle()
        decision = await self.scaler.turn()
        await self._settle()
        self.check()
        return decision

    async def kill_scaler(self):
        """As kill -9: calls under way end with the connection; nothing is tidied up."""
        await self.scaler._executor.stop()
        self.scaler = self._new_scaler()

    def redefine(self, generation):
        """A new image for all domains; those that run go on with theirs."""
        for name in self.hypervisor.domains:
            self.hypervisor.define(name, generation=generation)

    def crash(self, name):
        self._is_fault = True
        self.hypervisor.crash(name)
        self._is_fault = False

    async def end(self):
        await self.scaler._executor.stop()

    # What tests look at.

    @property
    def active(self):
        return sorted(
            one.name
            for one in self.hypervisor.domains.values()
            if one.lifecycle is not Lifecycle.OFF
        )

    @property
    def serving(self):
        return sorted(
            one.name for one in self.workers.values() if one.is_connected and not one.is_cordoned
        )

    def generations(self, *names):
        """What runs in these domains, or in all that serve."""
        return {self.hypervisor.domains[name].generation for name in names or self.serving}

    def worker(self, name):
        return self.workers.setdefault(name, Worker(name))

    def demand(self):
        leased = sum(len(worker.leases) for worker in self.workers.values())
        ready = len(self.ready)
        return leased + min(ready, math.ceil(ready * self.job_seconds / 5))

    def check(self):
        """What must hold at every moment."""
        active = len(self.active)
        self.peak_active = max(self.peak_active, active)
        assert active <= self.settings.limits.max, f"{active} domains: {self.active}"
        leased = [job for worker in self.workers.values() for job in worker.leases]
        accepted = [*self.ready, *leased, *self.done]
        assert len(set(accepted)) == len(accepted) == len(self.service_seconds), "jobs lost"
        assert not self.leases_cut, f"power taken from {self.leases_cut}"

    # How the world lives.

    def submit(self, count):
        for _ in range(count):
            job = len(self.service_seconds)
            self.service_seconds[job] = self.job_seconds
            self.ready.append(job)

    def take_back(self, worker):
        for job in list(worker.leases):
            self.ready.appendleft(job)
        worker.leases.clear()
        worker.left.clear()

    def _live(self, seconds):
        now = self.clock.wall()
        self._owed += self.arrivals_per_second * seconds
        count, self._owed = int(self._owed), self._owed % 1
        self.submit(count)
        for name, at in list(self._boots.items()):
            if now >= at:
                del self._boots[name]
                worker = self.worker(name)
                worker.is_connected, worker.connected_at = True, now
        for name, at in list(self._going_off.items()):
            if now >= at:
                del self._going_off[name]
                if self.hypervisor.domains[name].lifecycle is not Lifecycle.OFF:
                    self.hypervisor.power_off(name, "shutdown")
        busy = [self._work(worker, seconds, now) for worker in self.workers.values()]
        connected = [ratio for ratio in busy if ratio is not None]
        ratio = sum(connected) / len(connected) if connected else None
        self.samples.append((now, self.demand(), ratio))
        recent = [demand for _, demand, _ in self.samples][-20:]
        ratios = [ratio for _, _, ratio in self.samples if ratio is not None]
        self.metrics.series = {
            DEMAND: [self.demand()],
            DEMAND_AVERAGE: [sum(recent) / len(recent)],
            CPU: [sum(ratios) / len(ratios)] if ratios else [],
        }

    def _work(self, worker, seconds, now):
        if not worker.is_connected:
            return None
        for job in list(worker.left):
            worker.left[job] -= seconds
            if worker.left[job] <= 0:
                del worker.left[job], worker.leases[job]
                self.done.append(job)
        while self.ready and not worker.is_cordoned and len(worker.leases) < self.slots:
            job = self.ready.popleft()
            worker.leases[job] = now
            worker.left[job] = self.service_seconds[job]
        return len(worker.leases) / self.slots

    def _boot(self, name):
        self.starts += 1
        if self.random.random() < self.faults.boot_never_finishes:
            return
        if self.hypervisor.domains[name].generation in self.faults.broken_generations:
            return
        length = self.boot_seconds * self.random.uniform(0.7, 1.3)
        self._boots[name] = self.clock.wall() + length

    def _freeze(self, name):
        worker = self.workers.get(name)
        assert worker is None or not worker.leases, f"{name} is frozen with {worker.leases}"
        self.frozen += 1
        if worker is not None:
            worker.is_connected = False

    def _wake(self, name):
        self.wakes += 1
        if self.random.random() >= self.faults.wake_never_finishes:
            self._boots[name] = self.clock.wall() + self.random.uniform(0.05, 0.6)

    def _press_power_button(self, name):
        worker = self.workers.get(name)
        if worker is not None and worker.leases:
            self.leases_cut.extend(worker.leases)
        # A guest that boots does not hear it.
        if name in self._boots or self.random.random() < self.faults.power_button_lost:
            return
        self._going_off.setdefault(name, self.clock.wall() + 1.5)

    def _lose_worker(self, name):
        self._boots.pop(name, None)
        self._going_off.pop(name, None)
        worker = self.workers.get(name)
        if worker is None:
            return
        if worker.leases and not self._is_fault:
            self.leases_cut.extend(worker.leases)
        self.take_back(worker)
        worker.is_connected = False

    async def _settle(self):
        for _ in range(10):
            await asyncio.sleep(0)
        failing = self.random.random() < self.faults.start_fails
        error = HypervisorError(ErrorKind.FATAL, "start refused") if failing else None
        failing = self.random.random() < self.faults.wake_fails
        wake_error = HypervisorError(ErrorKind.FATAL, "wake refused") if failing else None
        for domain in self.hypervisor.domains.values():
            domain.start_error = error
            domain.wake_error = wake_error


OUTAGE = Failed("cannot connect")
