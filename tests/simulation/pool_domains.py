"""Simulated domains of one host: metadata that survives, guests that boot, work and power off.

Whoever changes one says who it is: checkers and the trace tell the scaler from everybody else.
"""

import asyncio

from tests.simulation.dispatch_world import SimulatedWorker
from tests.simulation.virtual_loop import pass_time

SCALER = "scaler"
OFF, RUNNING, PAUSED, CRASHED = "off", "running", "paused", "crashed"
_POWER_OFF_SECONDS = 6.0
NEVER = 1e9


class GuestWorker(SimulatedWorker):
    """The worker of one boot; its init starts it again while the guest runs."""

    def __init__(self, world, guest):
        self.guest = guest
        super().__init__(world, guest.domain.name, world.slots, world.prefetch)

    @property
    def instance_id(self):
        return f"{self.name}/{self._instances}"

    def restart(self):
        if self._instances == 0:
            self._instances = 1000 * self.world.next_boot()
        if self.guest.is_on and not self.guest.is_powering_off:
            super().restart()

    def _work(self):
        before = set(self._busy)
        super()._work()
        self.world.begun.update(lease.key for lease in self._busy.keys() - before)


class Guest:
    """From power on to power off. `boot_seconds` may be NEVER."""

    def __init__(self, world, domain, boot_seconds):
        self.world, self.domain = world, domain
        self.is_on = True
        self.is_powering_off = False
        self.is_deaf = False
        self.booted_at = None
        self.worker = None
        self._left = boot_seconds
        self._task = asyncio.ensure_future(self._boot())

    async def _boot(self):
        while self._left > 0:
            step = min(0.5, self._left)
            await pass_time(step)
            if self.domain.lifecycle == RUNNING:
                self._left -= step
        self.booted_at = self.world.clock.monotonic()
        self.world.note(f"{self.domain.name}: its guest has booted")
        self.worker = GuestWorker(self.world, self)

    def power_button(self):
        # A guest that boots does not hear it.
        if self.worker is None or self.is_deaf or self.is_powering_off:
            return
        self.is_powering_off = True
        self.worker.leave()
        self._task = asyncio.ensure_future(self._power_off())

    async def _power_off(self):
        began = self.world.clock.monotonic()
        while self.worker.is_alive and self.world.clock.monotonic() - began < _POWER_OFF_SECONDS:
            await pass_time(0.2)
        await pass_time(self.world.dice.choice((0.1, 0.5, 2.0)))
        if self.is_on and self.domain.lifecycle == RUNNING:
            self.world.host.go_off(self.domain, "shutdown")

    def freeze(self, on):
        if self.worker is not None and self.worker.is_alive:
            self.worker.freeze(on)

    def cut(self):
        self.is_on = False
        self._task.cancel()
        if self.worker is not None:
            self.worker.kill()


class Domain:
    def __init__(self, name, pool):
        self.name, self.pool = name, pool
        self.lifecycle, self.cause = OFF, ""
        self.operation = None
        """(kind, since, token) as the port wrote it."""
        self.token = 0
        self.guest = None
        self.started_at = None
        self.started_by = ""
        self.starting = asyncio.Lock()
        """libvirt carries out one start of a domain after another."""

    @property
    def worker(self):
        return None if self.guest is None else self.guest.worker


class Host:
    """What libvirtd would do, at once; slowness and errors are the port's business."""

    def __init__(self, world):
        self.world = world
        self.domains = {}

    def define(self, name, pool):
        self.domains[name] = Domain(name, pool)

    def undefine(self, name):
        """Somebody takes the domain away, running or not."""
        domain = self.domains.pop(name)
        self.world.note(f"{name}: undefined by somebody")
        if domain.guest is not None:
            self.go_off(domain, "destroyed")

    def start(self, name, by):
        domain = self.domains[name]
        if domain.lifecycle != OFF:
            return
        domain.lifecycle, domain.cause = RUNNING, ""
        domain.started_at, domain.started_by = self.world.clock.monotonic(), by
        seconds = self.world.boot_seconds(domain)
        self.world.note(f"{name}: started by {by}, boots for {seconds:.1f} s")
        domain.guest = Guest(self.world, domain, seconds)
        self.world.checks.started(domain, by)

    def press(self, name, by):
        domain = self.domains[name]
        if domain.lifecycle == OFF:
            return
        self.world.note(f"{name}: power button pressed by {by}")
        self.world.checks.stopping(domain, "shutdown", by)
        if domain.lifecycle == RUNNING:
            domain.guest.power_button()

    def destroy(self, name, by):
        domain = self.domains[name]
        if domain.lifecycle == OFF:
            return
        self.world.note(f"{name}: power cut by {by}")
        self.world.checks.stopping(domain, "destroy", by)
        self.go_off(domain, "destroyed")

    def crash(self, name):
        domain = self.domains[name]
        if domain.lifecycle == OFF:
            return
        self.world.note(f"{name}: QEMU killed")
        self.go_off(domain, "crashed")

    def panic(self, name):
        """A guest that crashes in place: the domain stays, and holds its memory."""
        domain = self.domains[name]
        if domain.lifecycle == RUNNING:
            self.world.note(f"{name}: guest panics")
            domain.lifecycle = CRASHED
            domain.guest.cut()

    def pause(self, name, on):
        domain = self.domains.get(name)
        if domain is None or domain.lifecycle != (RUNNING if on else PAUSED):
            return
        self.world.note(f"{name}: {'paused' if on else 'resumed'} by somebody")
        domain.lifecycle = PAUSED if on else RUNNING
        domain.guest.freeze(on)

    def go_off(self, domain, cause):
        domain.lifecycle, domain.cause = OFF, cause
        guest, domain.guest = domain.guest, None
        if guest is not None:
            guest.cut()
        self.world.note(f"{domain.name}: off ({cause})")
        self.world.checks.went_off(domain)

    def active(self, pool):
        return [one for one in self.domains.values() if one.pool == pool and one.lifecycle != OFF]
