"""A hypervisor in memory. It passes the same contract suite as libvirt with QEMU."""

import asyncio
from dataclasses import dataclass

from scaler.host_room import HostRoom
from scaler.pool import DomainRecord, Lifecycle, Operation
from scaler.ports import ErrorKind, HypervisorError


@dataclass
class FakeDomain:
    name: str
    pool: str | None
    lifecycle: Lifecycle = Lifecycle.OFF
    cause: str = ""
    operation: Operation | None = None
    token: int = 0
    start_error: HypervisorError | None = None
    hears_the_power_button: bool = False
    shutdown_requests: int = 0
    generation: str = ""
    defined_generation: str = ""
    kept_generation: str = ""
    has_saved_image: bool = False
    memory_bytes: int = 64 * 1024 * 1024
    wake_error: HypervisorError | None = None
    scaler: str = ""


class FakeHypervisor:
    """`on_start`, `on_shutdown` and `on_off` let a simulated world react."""

    def __init__(self, pool="default", scaler=None):
        self.pool = pool
        self.scaler = scaler
        self.domains = {}
        self.is_away = False
        self.on_start = lambda name: None
        self.on_shutdown = lambda name: None
        self.on_off = lambda name: None
        self.on_freeze = lambda name: None
        self.on_wake = lambda name: None
        self.host_room = HostRoom()

    def define(self, name, pool="default", generation=""):
        """A new domain, or a new definition of one that goes on running as it is."""
        domain = self.domains.setdefault(name, FakeDomain(name, pool))
        domain.pool, domain.defined_generation = pool, generation
        if domain.lifecycle is Lifecycle.OFF and not domain.has_saved_image:
            domain.generation = generation

    async def list(self):
        await self._answer()
        return tuple(
            DomainRecord(
                one.name,
                one.lifecycle,
                one.cause,
                one.operation,
                one.token,
                one.generation,
                one.defined_generation,
                one.kept_generation,
                has_saved_image=one.has_saved_image and one.lifecycle is Lifecycle.OFF,
                memory_bytes=one.memory_bytes,
                foreign_scaler=one.scaler if self._is_foreign(one) else "",
                is_unclaimed=self.scaler is not None and one.scaler == "",
            )
            for one in self.domains.values()
            if one.pool == self.pool
        )

    async def start(self, name):
        domain = await self._find(name)
        if domain.lifecycle is not Lifecycle.OFF:
            return
        if domain.start_error is not None:
            domain.cause = "failed"
            raise domain.start_error
        domain.lifecycle, domain.cause = Lifecycle.RUNNING, ""
        domain.shutdown_requests = 0
        domain.has_saved_image = False
        domain.generation = domain.defined_generation
        self.on_start(name)

    async def suspend(self, name):
        domain = await self._find(name)
        if domain.lifecycle is Lifecycle.OFF:
            raise HypervisorError(ErrorKind.FATAL, f"domain {name} is not running")
        if domain.lifecycle is Lifecycle.RUNNING:
            domain.lifecycle = Lifecycle.PAUSED
            self.on_freeze(name)

    async def resume(self, name):
        domain = await self._find(name)
        if domain.lifecycle is Lifecycle.OFF:
            raise HypervisorError(ErrorKind.FATAL, f"domain {name} is not running")
        if domain.lifecycle is Lifecycle.PAUSED:
            if domain.wake_error is not None:
                raise domain.wake_error
            domain.lifecycle = Lifecycle.RUNNING
            self.on_wake(name)

    async def save(self, name):
        domain = await self._find(name)
        if domain.lifecycle is Lifecycle.OFF:
            return
        self.on_freeze(name)
        domain.has_saved_image = True
        domain.lifecycle, domain.cause = Lifecycle.OFF, "saved"

    async def restore(self, name):
        domain = await self._find(name)
        if domain.lifecycle is not Lifecycle.OFF:
            return
        if not domain.has_saved_image:
            raise HypervisorError(ErrorKind.FATAL, f"domain {name} has no saved image")
        if domain.wake_error is not None:
            raise domain.wake_error
        domain.has_saved_image = False
        domain.lifecycle, domain.cause = Lifecycle.RUNNING, ""
        self.on_wake(name)

    async def discard(self, name):
        domain = await self._find(name)
        domain.has_saved_image = False
        if domain.lifecycle is Lifecycle.OFF:
            domain.generation = domain.defined_generation

    async def room(self):
        await self._answer()
        return self.host_room

    async def shutdown(self, name):
        domain = await self._find(name)
        if domain.lifecycle is Lifecycle.OFF:
            return
        domain.shutdown_requests += 1
        self.on_shutdown(name)
        if domain.hears_the_power_button:
            self.power_off(name, "shutdown")

    async def destroy(self, name):
        domain = await self._find(name)
        if domain.lifecycle is not Lifecycle.OFF:
            self.power_off(name, "destroyed")

    async def set_operation(self, name, operation):
        domain = await self._find(name)
        domain.operation = operation
        if operation is not None:
            domain.token = operation.token
        await self.claim(name)

    async def claim(self, name):
        domain = await self._find(name)
        if self.scaler is not None:
            domain.scaler = self.scaler

    async def adopt(self, name):
        self.domains[name].scaler, self.domains[name].token = self.scaler, 0

    async def keep_definition(self, name):
        domain = await self._find(name)
        if domain.generation == domain.defined_generation:
            domain.kept_generation = domain.generation

    async def roll_back(self, name):
        domain = await self._find(name)
        if not domain.kept_generation:
            raise HypervisorError(ErrorKind.GONE, f"no copy of {name}'s definition is kept")
        self.define(name, domain.pool, domain.kept_generation)

    def power_off(self, name, cause):
        domain = self.domains[name]
        domain.lifecycle, domain.cause = Lifecycle.OFF, cause
        domain.generation = domain.defined_generation
        self.on_off(name)

    def crash(self, name):
        self.power_off(name, "crashed")

    def pause(self, name):
        self.domains[name].lifecycle = Lifecycle.PAUSED

    async def _answer(self):
        await asyncio.sleep(0)
        if self.is_away:
            raise HypervisorError(ErrorKind.RETRYABLE, "cannot connect")

    async def _find(self, name):
        await self._answer()
        if name not in self.domains or self.domains[name].pool != self.pool:
            raise HypervisorError(ErrorKind.GONE, f"no domain {name} of pool {self.pool}")
        if self._is_foreign(self.domains[name]):
            raise HypervisorError(ErrorKind.GONE, f"domain {name} belongs to another scaler")
        return self.domains[name]

    def _is_foreign(self, domain):
        return self.scaler is not None and domain.scaler not in ("", self.scaler)
