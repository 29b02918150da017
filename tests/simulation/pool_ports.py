"""The scaler's ports on the simulated world: late, lost, repeated, hung, and dead after kill -9.

A request once sent takes effect by itself: its caller may have given up, or be dead, by then.
"""

import asyncio
import contextlib

from dispatcher.grpc_api import translation
from dispatcher.ports import StoreUnavailableError
from scaler.dispatcher_fleet import _record as worker_record
from scaler.host_room import HostRoom
from scaler.pool import DomainRecord, Lifecycle, Operation, OperationKind
from scaler.ports import DrainEnd, ErrorKind, FleetError, HypervisorError
from scaler.readings import Empty, Failed, Known, NotANumber, Partial, Stale
from scaler.recommendation import CPU
from tests.simulation.pool_domains import OFF, SCALER
from tests.simulation.virtual_loop import pass_time

FLEET_SECONDS = 2.0
HYPERVISOR_SECONDS = 20.0
LIST_SECONDS = 5.0


class Life:
    """One scaler process. `dies_at`: the await, counted from its start, at which it is killed."""

    def __init__(self, world, dies_at=None):
        self._world = world
        self._dies_at = dies_at
        self._awaits = 0
        self.is_over = False
        # In the order of asking: a set of tasks has the order of their addresses.
        self.pending = {}

    async def pause(self):
        """An await of the process: it may die here, and nothing of it goes on then."""
        self._awaits += 1
        if self._awaits == self._dies_at and not self.is_over:
            self._world.kill_scaler(f"at its await {self._awaits}")
        if self.is_over:
            await asyncio.Event().wait()

    async def ask(self, act, seconds, lost):
        """Sends a request and waits for its answer; `lost` is raised when none comes in time."""
        await self.pause()
        running = self._world.spawn(self._kept(act))
        self.pending[running] = None
        running.add_done_callback(self.pending.pop)
        try:
            async with asyncio.timeout(seconds):
                answer, error = await asyncio.shield(running)
        except TimeoutError:
            await self.pause()
            raise lost from None
        await self.pause()
        if error is not None:
            raise error
        return answer

    async def _kept(self, act):
        try:
            return await act(), None
        except (FleetError, HypervisorError) as error:
            return None, error


class Unasked:
    """A call that begins when it is awaited: a killed process may never have come to it."""

    def __init__(self, call):
        self._call = call

    def __await__(self):
        return self._call().__await__()


class FleetPort:
    """To the dispatcher's real fleet logic, through messages that travel."""

    def __init__(self, world, life):
        self._world, self._life = world, life

    def workers(self):
        return Unasked(self._workers)

    async def _workers(self):
        def ask(node):
            wall = node.fleet.wall()
            messages = [translation.worker_message(one, wall) for one in node.fleet.workers()]
            return tuple(worker_record(message) for message in messages)

        return await self._call(ask)

    async def cordon(self, worker_id, *, reason, max_leases):
        answer = await self._call(lambda node: node.fleet.cordon(worker_id, reason, max_leases))
        return answer.is_granted

    async def drain(self, worker_id, *, reason, deadline_seconds):
        outcome, _ = await self._call(
            lambda node: node.fleet.drain(worker_id, reason, deadline_seconds),
            deadline_seconds + 5.0,
        )
        return DrainEnd(outcome.value)

    async def uncordon(self, worker_id):
        await self._call(lambda node: node.fleet.uncordon(worker_id))

    async def _call(self, ask, seconds=FLEET_SECONDS):
        lost = FleetError("dispatcher: DEADLINE_EXCEEDED")
        return await self._life.ask(lambda: self._travel(ask), seconds, lost)

    async def _travel(self, ask):
        faults, dice = self._world.faults, self._world.dice
        await pass_time(dice.choice((0.0, 0.001, 0.01)))
        if faults.fleet:
            await pass_time(dice.choice((0.0, 0.2, 1.0, 4.0)))
            if dice.random() < 0.2:
                raise FleetError("dispatcher: UNAVAILABLE: the request was lost")
            if dice.random() < 0.2:
                self._world.spawn(self._again(ask, dice.choice((0.0, 0.5, 3.0))))
        answer = await self._carry_out(ask)
        if faults.fleet and dice.random() < 0.2:
            raise FleetError("dispatcher: UNAVAILABLE: the answer was lost")
        await pass_time(dice.choice((0.0, 0.001, 0.01)))
        return answer

    async def _again(self, ask, seconds):
        await pass_time(seconds)
        with contextlib.suppress(FleetError):
            await self._carry_out(ask)

    async def _carry_out(self, ask):
        node = self._world.node
        if node is None:
            raise FleetError("dispatcher: UNAVAILABLE")
        answer = ask(node)
        if not asyncio.iscoroutine(answer):
            return answer
        try:
            return await node.spawn(answer)
        except StoreUnavailableError as error:
            raise FleetError(f"dispatcher: UNAVAILABLE: {error}") from None
        except asyncio.CancelledError:
            if self._world.node is node:
                raise
            raise FleetError("dispatcher: UNAVAILABLE: connection closed") from None


class HypervisorPort:
    """As the real adapter: by name, with deadlines, and what hangs goes on in its thread."""

    def __init__(self, world, life, pool):
        self._world, self._life, self._pool = world, life, pool

    def list(self):
        return Unasked(lambda: self._call(self._list, LIST_SECONDS))

    def _list(self):
        return tuple(
            DomainRecord(
                one.name,
                Lifecycle(one.lifecycle),
                one.cause,
                None
                if one.operation is None
                else Operation(OperationKind(one.operation[0]), *one.operation[1:]),
                one.token,
            )
            for one in self._world.host.domains.values()
            if one.pool == self._pool
        )

    def room(self):
        """A host that does not tell: starts go on."""
        return Unasked(lambda: self._call(HostRoom, LIST_SECONDS))

    async def start(self, name):
        def act(domain):
            if domain.lifecycle != OFF:
                return
            if self._world.dice.random() < self._world.faults.start_fails:
                domain.cause = "failed"
                self._world.note(f"{name}: the start is refused")
                raise HypervisorError(ErrorKind.FATAL, "start refused")
            self._world.host.start(name, SCALER)

        hang = self._world.dice.choice(self._world.faults.start_hangs)
        await self._change(name, act, hang + 1e-6)

    async def shutdown(self, name):
        await self._change(name, lambda domain: self._world.host.press(domain.name, SCALER))

    async def destroy(self, name):
        await self._change(name, lambda domain: self._world.host.destroy(domain.name, SCALER))

    async def set_operation(self, name, operation):
        def act(domain):
            if operation is None:
                domain.operation = None
            else:
                domain.operation = (operation.kind.value, operation.since, operation.token)
                domain.token = operation.token
            self._world.checks.recorded(domain)

        await self._change(name, act)

    async def _change(self, name, act, hang=0.0):
        """A call on one domain: looked up first, and perhaps another one's name by its effect."""
        gone = HypervisorError(ErrorKind.GONE, f"no domain {name} of pool {self._pool}")
        domains = self._world.host.domains
        found = domains.get(name)

        def change():
            if found is None or found.pool != self._pool or domains.get(name) is not found:
                raise gone
            return act(found)

        await self._call(change, HYPERVISOR_SECONDS, found if hang else None, hang)

    async def _call(self, act, seconds, starting=None, hang=0.0):
        lost = HypervisorError(ErrorKind.RETRYABLE, "libvirt did not answer")
        if starting is None:
            return await self._life.ask(lambda: self._travel(act), seconds, lost)
        return await self._life.ask(lambda: self._start(act, starting, hang), seconds, lost)

    async def _start(self, act, domain, hang):
        async with domain.starting:
            await pass_time(hang)
            return await self._travel(act)

    async def _travel(self, act):
        faults, dice = self._world.faults, self._world.dice
        await pass_time(dice.choice((0.0, 0.001, 0.03)))
        fault = faults.hypervisor
        if fault == "hangs":
            await faults.hypervisor_back.wait()
            await pass_time(dice.uniform(0.0, 0.2))
        elif fault == "away":
            raise HypervisorError(ErrorKind.RETRYABLE, "cannot connect")
        elif fault == "restarts" and dice.random() < 0.5:
            # The connection ends before the call, or after it and before its answer.
            if dice.random() < 0.5:
                act()
            raise HypervisorError(ErrorKind.RETRYABLE, "end of file while reading data")
        return act()


class MetricsPort:
    """Prometheus over the world's own history, late as scrapes and rules are."""

    def __init__(self, world, life):
        self._world, self._life = world, life

    async def read(self, queries):
        await self._life.pause()
        dice, kind = self._world.dice, self._world.faults.metrics
        seconds = dice.choice((0.0, 0.002, 0.05))
        if kind == "slow":
            seconds = dice.choice((0.5, 2.0, 4.0))
        await pass_time(seconds)
        await self._life.pause()
        return {query.signal: self._reading(query.signal, kind) for query in queries}

    def _reading(self, signal, kind):
        if kind == "mixed":
            kind = self._world.dice.choice((None, "stale", "empty", "nan", "partial", "error"))
        elif kind == "cpu_only":
            kind = None if signal == CPU else "empty"
        elif kind == "demand_only":
            kind = "stale" if signal == CPU else None
        value, age = self._world.signal(signal)
        if kind == "error" or (kind == "slow" and self._world.dice.random() < 0.5):
            return Failed("cannot connect")
        if kind == "nan":
            return NotANumber()
        if kind == "empty" or value is None:
            return Empty()
        if kind == "stale" or age > 10.0:
            return Stale(max(age, 60.0))
        if kind == "partial":
            return Partial(value, age, "a warning")
        return Known(value, age)
