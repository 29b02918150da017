"""A pool on a virtual clock: domains that boot, work and go off, and the dispatcher's jobs.

Events are ordered by time, then by when they were planned, so a run depends on its seed alone.
"""

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from scaler.pool import (
    DomainRecord,
    Lifecycle,
    Operation,
    OperationKind,
    WorkerRecord,
    WorkerState,
)
from scaler.simulator.scenario import Scenario
from scaler.simulator.scorecard import Ledger
from scaler.simulator.workload import Workload

CLOCK_START_SECONDS = 1000.0
"""Where the virtual clock begins: a moment that no code takes for "never"."""

_BOOT_STEP_SECONDS = 0.25


@dataclass(slots=True, eq=False)
class SimulatedDomain:
    """One domain, its worker and what is under way with it."""

    name: str
    index: int
    free_slots: int
    lifecycle: Lifecycle = Lifecycle.OFF
    cause: str = ""
    operation: OperationKind | None = None
    operation_wall: float = 0.0
    operation_since: float | None = None
    """When it began, on the scaler's clock; None while the scaler knows it from metadata alone."""
    token: int = 0
    is_connected: bool = False
    is_cordoned: bool = False
    is_draining: bool = False
    connected_since: float = 0.0
    started_at: float = 0.0
    served: int = 0
    life: int = 0
    """Counts changes that make events and free slots planned before them void."""
    leases: dict[int, float] | None = None
    """job -> when it was leased; None while the domain has never served."""
    ahead: deque[int] = field(default_factory=deque)
    """Leased jobs that wait in the worker, because its slots are busy."""


class SimulatedPool:
    """Domains, dispatcher and jobs. Drivers start and stop domains; nothing else changes them."""

    def __init__(
        self,
        workload: Workload,
        scenario: Scenario,
        *,
        count: int,
        random: Random,
        ledger: Ledger,
        warm_up_seconds: float,
    ) -> None:
        self.now = CLOCK_START_SECONDS
        self.trace_start = CLOCK_START_SECONDS + warm_up_seconds
        self.trace_end = self.trace_start + workload.trace.length_seconds
        self.scenario = scenario
        self.random = random
        self.ledger = ledger
        self.wall_offset = 1_700_000_000.0
        self.hypervisor_away = self.host_full = False
        self.queue: deque[int] = deque()
        self.busy_slots = 0
        self.taking_busy_slots = 0
        """Those of workers that take jobs: a demand that a drain has to serve is nobody else's."""
        self.taking_ahead = 0
        """Jobs that wait in workers that take jobs."""
        self.service_seconds_done = 0.0
        self.on_change: Callable[[SimulatedDomain], None] = lambda domain: None
        """Told of every change of a domain or its worker."""
        self.on_drained: Callable[[SimulatedDomain], None] = lambda domain: None
        """Told when a cordoned worker holds nothing any more."""
        self._workload = workload
        self._slots = scenario.slots
        width = len(str(count - 1))
        self.domains = [
            SimulatedDomain(f"domain-{number:0{width}}", number, 0) for number in range(count)
        ]
        self._free: deque[tuple[SimulatedDomain, int]] = deque()
        self._room: deque[tuple[SimulatedDomain, int]] = deque()
        """Places for jobs that are leased ahead, as `_free` of slots."""
        self._events: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._planned = 0
        self._next_job = 0
        self._booting = 0
        """Domains that boot, where the host's CPUs are counted."""
        if workload.arrivals:
            self.at(self.trace_start + workload.arrivals[0], self._arrive, None)

    # Time.

    def at(self, moment: float, event: Callable[[Any], None], subject: Any) -> None:
        """Plans an event."""
        self._planned += 1
        heapq.heappush(self._events, (moment, self._planned, event, subject))

    def run_until(self, moment: float) -> None:
        """Lives until `moment`, or until nothing is planned any more."""
        events, pop = self._events, heapq.heappop
        while events and events[0][0] <= moment:
            self.now, _, event, subject = pop(events)
            event(subject)
        self.now = moment

    @property
    def wall(self) -> float:
        """The wall clock, which may be set while a run goes on."""
        return self.now + self.wall_offset

    def dated(self, wall: float) -> float:
        """A wall time on the scaler's clock; what lies ahead, left by a clock set back, is now."""
        return min(self.now, wall - self.wall_offset)

    @property
    def unfinished(self) -> int:
        """Jobs that have not arrived yet, wait, or are being served."""
        return len(self._workload.arrivals) - self.ledger.done

    # Jobs.

    def _arrive(self, _: None) -> None:
        job = self._next_job
        self._next_job += 1
        self.ledger.arrived += 1
        self.queue.append(job)
        arrivals = self._workload.arrivals
        if self._next_job < len(arrivals):
            self.at(self.trace_start + arrivals[self._next_job], self._arrive, None)
        if self._free or self._room:
            self.lease_out()

    def lease_out(self) -> None:
        """Gives waiting jobs to free slots; the slot that is free for longest is first.

        Once every slot is filled, a job each waits behind them in the worker, as it does with the
        real one's credit: it goes to no other domain any more, and a drain has to wait for it.
        """
        queue, free, room = self.queue, self._free, self._room
        while queue and free:
            domain, life = free.popleft()
            if domain.life == life:
                job = self._lease(domain)
                domain.free_slots -= 1
                self._begin(domain, job)
                self.on_change(domain)
        while queue and room:
            domain, life = room.popleft()
            if domain.life == life:
                domain.ahead.append(self._lease(domain))
                self.taking_ahead += 1
                self.on_change(domain)

    def _lease(self, domain: SimulatedDomain) -> int:
        job = self.queue.popleft()
        assert domain.leases is not None
        domain.leases[job] = self.now
        return job

    def _begin(self, domain: SimulatedDomain, job: int) -> None:
        """The job fills a slot."""
        assert domain.leases is not None
        self._count_busy(domain, 1)
        done_at = self.now + self._workload.lengths[job]
        self.at(done_at, self._finish, (domain, job, domain.leases[job], self.now))

    def _finish(self, subject: tuple[SimulatedDomain, int, float, float]) -> None:
        domain, job, leased_at, begun_at = subject
        leases = domain.leases
        if leases is None or leases.get(job) != leased_at:
            return
        del leases[job]
        self._count_busy(domain, -1)
        domain.served += 1
        arrived = self.trace_start + self._workload.arrivals[job]
        self.ledger.finished(self.now, begun_at - arrived)
        self.service_seconds_done += self.now - begun_at
        self.on_change(domain)
        if domain.ahead:
            self._begin(domain, domain.ahead.popleft())
            place = self._room
            self.taking_ahead -= not domain.is_cordoned
        else:
            domain.free_slots += 1
            place = self._free
        if not domain.is_cordoned:
            place.append((domain, domain.life))
            self.lease_out()
        elif not leases:
            self.on_drained(domain)

    def _count_busy(self, domain: SimulatedDomain, difference: int) -> None:
        self.ledger.advance(self.now)
        self.busy_slots += difference
        self.ledger.busy_slots = self.busy_slots
        if not domain.is_cordoned:
            self.taking_busy_slots += difference

    def take_back(self, domain: SimulatedDomain, *, by_scale_in: bool) -> None:
        """The worker's jobs wait again, before all others; what was done of them is lost."""
        if not domain.leases:
            return
        jobs = sorted(domain.leases, reverse=True)
        begun = self._slots - domain.free_slots
        self.queue.extendleft(jobs)
        domain.leases.clear()
        self._count_busy(domain, -begun)
        self.taking_ahead -= 0 if domain.is_cordoned else len(domain.ahead)
        domain.ahead.clear()
        domain.free_slots = self._slots
        self.ledger.cut(begun, by_scale_in=by_scale_in)

    # Workers.

    def cordon(self, domain: SimulatedDomain) -> None:
        """From now on the worker gets no job."""
        if domain.is_cordoned:
            return
        self._count_supply(domain, cordon=True)
        domain.is_cordoned = True
        self._count_taking(domain, -1)
        self._renew(domain)

    def uncordon(self, domain: SimulatedDomain) -> None:
        """The worker gets jobs again."""
        if not domain.is_cordoned:
            return
        domain.is_cordoned = domain.is_draining = False
        self._count_taking(domain, 1)
        self._count_supply(domain, cordon=False)
        self._renew(domain)
        self._offer_slots(domain)

    def _count_supply(self, domain: SimulatedDomain, *, cordon: bool) -> None:
        if domain.is_connected:
            self.ledger.supply_changed(self.now, -1 if cordon else 1)

    def _count_taking(self, domain: SimulatedDomain, sign: int) -> None:
        if domain.is_connected:
            self.taking_busy_slots += sign * (self._slots - domain.free_slots)
            self.taking_ahead += sign * len(domain.ahead)

    def _renew(self, domain: SimulatedDomain) -> None:
        # Leases stay valid: they are recognised by when they were given.
        domain.life += 1
        self.on_change(domain)

    def _offer_slots(self, domain: SimulatedDomain) -> None:
        if domain.is_connected and not domain.is_cordoned:
            self._free.extend([(domain, domain.life)] * domain.free_slots)
            room = self._slots * self.scenario.jobs_ahead - len(domain.ahead)
            self._room.extend([(domain, domain.life)] * room)
            self.lease_out()

    # Domains.

    def start(self, domain: SimulatedDomain) -> None:
        """Powers on; the worker says Hello after a boot, or never."""
        if domain.lifecycle is not Lifecycle.OFF:
            return
        domain.lifecycle, domain.cause = Lifecycle.RUNNING, ""
        domain.started_at, domain.served = self.now, 0
        domain.leases = {}
        domain.ahead.clear()
        domain.free_slots = self._slots
        self.ledger.started(self.now)
        self._renew(domain)
        random, faults = self.random, self.scenario.faults
        # Both are drawn at every start, so that a failure does not shift the draws of others.
        fails = random.random() < faults.boot_failure_ratio
        seconds = self.scenario.boot.draw(random)
        lives = random.expovariate(1.0)
        if not fails:
            self._boot(domain, seconds)
        if faults.losses_per_domain_hour > 0:
            lost = self.now + 3600 * lives / faults.losses_per_domain_hour
            self.at(lost, self._crash, (domain, domain.started_at))

    def _boot(self, domain: SimulatedDomain, seconds: float) -> None:
        """Says Hello after so many seconds with a CPU of its own, later on a crowded host."""
        if self.scenario.cores is None:
            self.at(self.now + seconds, self._say_hello, (domain, domain.started_at))
            return
        self._booting += 1
        self._go_on_booting((domain, domain.started_at, seconds, 0.0))

    def _go_on_booting(self, subject: tuple[SimulatedDomain, float, float, float]) -> None:
        domain, started_at, seconds, done = subject
        cores = self.scenario.cores
        assert cores is not None
        seconds -= done
        if seconds <= 1e-9 or not self._is_same_start(domain, started_at):
            self._booting -= 1
            self._say_hello((domain, started_at))
            return
        share = min(1.0, cores / max(1, self.busy_slots + self._booting))
        passed = min(_BOOT_STEP_SECONDS, seconds / share)
        rest = (domain, started_at, seconds, passed * share)
        self.at(self.now + passed, self._go_on_booting, rest)

    def _is_same_start(self, domain: SimulatedDomain, started_at: float) -> bool:
        return domain.lifecycle is not Lifecycle.OFF and domain.started_at == started_at

    def _say_hello(self, subject: tuple[SimulatedDomain, float]) -> None:
        domain, started_at = subject
        if not self._is_same_start(domain, started_at) or domain.is_connected:
            return
        domain.is_connected, domain.connected_since = True, self.now
        self.ledger.connected(self.now, self._slots, is_supply=not domain.is_cordoned)
        self._renew(domain)
        self._offer_slots(domain)

    def _crash(self, subject: tuple[SimulatedDomain, float]) -> None:
        domain, started_at = subject
        if self._is_same_start(domain, started_at):
            self.power_off(domain, "crashed", by_scale_in=False)

    def press_power(self, domain: SimulatedDomain) -> None:
        """Asks the guest to power off. One that boots does not hear it."""
        if domain.lifecycle is Lifecycle.OFF or not domain.is_connected:
            return
        seconds = self.scenario.shutdown.draw(self.random)
        self.at(self.now + seconds, self._reach_off, (domain, domain.started_at))

    def _reach_off(self, subject: tuple[SimulatedDomain, float]) -> None:
        domain, started_at = subject
        if self._is_same_start(domain, started_at):
            self.power_off(domain, "shutdown", by_scale_in=True)

    def power_off(self, domain: SimulatedDomain, cause: str, *, by_scale_in: bool) -> None:
        """Off at once; what its worker held waits again."""
        if domain.lifecycle is Lifecycle.OFF:
            return
        self.take_back(domain, by_scale_in=by_scale_in)
        self.ledger.stopped(
            self.now,
            self._slots if domain.is_connected else 0,
            is_supply=domain.is_connected and not domain.is_cordoned,
            was_wasted=domain.served == 0,
        )
        domain.lifecycle, domain.cause = Lifecycle.OFF, cause
        domain.is_connected = domain.is_draining = False
        self._renew(domain)
        self.lease_out()

    # What the adapters of the scaler would answer.

    def record(self, domain: SimulatedDomain) -> DomainRecord:
        """The domain as libvirt tells it."""
        operation = None
        if domain.operation is not None:
            if domain.operation_since is None:
                # As `scaler.moments.date`: once, so that a clock that jumps ends no deadline early.
                domain.operation_since = self.dated(domain.operation_wall)
            operation = Operation(domain.operation, domain.operation_since, domain.token)
        return DomainRecord(domain.name, domain.lifecycle, domain.cause, operation, domain.token)

    def worker(self, domain: SimulatedDomain) -> WorkerRecord | None:
        """The worker as the dispatcher tells it; None when it knows of none."""
        if not domain.is_connected:
            if not domain.is_cordoned:
                return None
            return WorkerRecord(domain.name, WorkerState.DISCONNECTED, self._slots)
        state = WorkerState.READY
        if domain.is_cordoned:
            state = WorkerState.DRAINING if domain.is_draining else WorkerState.CORDONED
        leases = domain.leases
        held = len(leases) if leases else 0
        oldest = min(leases.values()) if leases else None
        return WorkerRecord(
            domain.name, state, self._slots, held, held, domain.connected_since, oldest
        )
