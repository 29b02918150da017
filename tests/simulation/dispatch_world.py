"""A dispatcher, workers and a client in one process, on virtual time and a network that breaks.

Real: ledger, pump, submissions, the workers' gRPC service and the worker's session. Made up: the
network between them, the disk, the hashing's duration. Every choice comes from one seed.
"""

import asyncio
import contextlib
import hashlib
import itertools
import random
from collections import Counter, defaultdict

import grpc
from prometheus_client import CollectorRegistry

from dispatcher import hashing
from dispatcher.effects import DrainOutcome
from dispatcher.fleet import Fleet
from dispatcher.gate import Refusals
from dispatcher.grpc_api.worker_service import WorkerServicer
from dispatcher.hashing import Cost, Keyring
from dispatcher.jobs import Busy, JobNames, JobSpec, JobState, Profile
from dispatcher.leases import Terms
from dispatcher.ledger import Ledger
from dispatcher.memory_store import MemoryDisk, MemoryStore
from dispatcher.plates import NumberFormats
from dispatcher.ports import StoreFullError, StoreUnavailableError
from dispatcher.pump import Pump
from dispatcher.submissions import Submissions
from dispatcher.telemetry import Telemetry
from guest_worker import values
from guest_worker.reconnect import Backoff
from guest_worker.session import Identity, Session
from guest_worker.transport import decode, encode
from tests.simulation.virtual_loop import LoopClock, pass_time

JOIN_KEY = b"j" * 32
LEASE_TTL, HEARTBEAT, RECONNECT_GRACE, RESTART_GRACE = 10.0, 2.0, 1.0, 5.0
KEEPALIVE = 15.0
_MAX_ATTEMPTS = 1000
LIGHT_CPU_SECONDS = 2e-5


class Disk(MemoryStore):
    """A store whose writes take a moment; a crash in it leaves the write done or not done."""

    def __init__(self, disk, dice):
        super().__init__(disk)
        self._dice = dice
        self._one_writer = asyncio.Lock()
        self.is_dead = False

    async def _commit(self, write):
        pauses = [0.0, self._dice.choice((0.0, 0.001, 0.02))]
        self._dice.shuffle(pauses)
        async with self._one_writer:
            await self._alive(pauses[0])
            answer = await write()
            await self._alive(pauses[1])
        return answer

    async def _alive(self, seconds):
        """Nothing of a dead process goes on, also not what nobody can cancel."""
        await pass_time(seconds)
        if self.is_dead:
            await asyncio.Event().wait()

    async def submit(self, *args):
        return await self._commit(lambda: MemoryStore.submit(self, *args))

    async def settle(self, *args):
        return await self._commit(lambda: MemoryStore.settle(self, *args))

    async def set_cordon(self, *args):
        return await self._commit(lambda: MemoryStore.set_cordon(self, *args))

    async def payloads(self, keys):
        await pass_time(self._dice.choice((0.0, 0.002, 0.05)))
        return await super().payloads(keys)


class Link:
    """One stream. Each direction keeps its order; either may be held back; a cut loses the rest."""

    def __init__(self, world, worker):
        self._world = world
        self._worker = worker
        self.up = asyncio.Queue()
        self.open = {"up": asyncio.Event(), "down": asyncio.Event()}
        for event in self.open.values():
            event.set()
        self._down = asyncio.Queue()
        self._sent = asyncio.Queue()
        self.is_cut = False
        self.serving = None
        self._tasks = [
            asyncio.ensure_future(self._carry("up", self._sent, self.up.put_nowait)),
            asyncio.ensure_future(self._carry("down", self._down, self._arrived)),
        ]

    def send(self, message):
        self._sent.put_nowait(message)

    async def write(self, message):
        """What the servicer's context does; blocks when much is under way, as HTTP/2 does."""
        while self._down.qsize() > 20 and not self.is_cut:
            await pass_time(0.05)
        if self.is_cut:
            await asyncio.Event().wait()  # gRPC cancels the handler instead
        self._down.put_nowait(message)

    async def _carry(self, direction, queue, deliver):
        while True:
            message = await queue.get()
            await pass_time(self._world.dice.choice((0.0, 0.0, 0.001, 0.03)))
            await self.open[direction].wait()
            deliver(message)

    def _arrived(self, message):
        self._worker.arrived(self, message)

    def cut(self, seen_after=0.0):
        """The connection is gone; each side notices in its own time."""
        if self.is_cut:
            return
        self.is_cut = True
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        loop = asyncio.get_running_loop()
        loop.call_later(self._world.dice.choice((0.0, 0.01, seen_after)), self._dispatcher_sees)
        delay = self._world.dice.choice((0.0, 0.01, seen_after))
        loop.call_later(delay, self._arrived, values.Lost("cut", False))

    def _dispatcher_sees(self):
        if self.serving is not None:
            self.serving.cancel()

    async def requests(self):
        while (message := await self.up.get()) is not None:
            yield message


class Context:
    """As much of grpc.aio's context as the servicer uses."""

    def __init__(self, link):
        self._link = link

    async def write(self, message):
        await self._link.write(message)

    async def abort(self, code, details="", *_):
        raise AbortedError(code, details)

    def auth_context(self):
        return {}  # as in plain text: the join token is the proof

    def peer(self):
        return "simulated"

    def excuse_silence(self, while_true):
        """Nobody listens for signs of life here: links end when the world cuts them."""


class AbortedError(Exception):
    pass


class NoPepper:
    keyring = Keyring()


class Node:
    """One dispatcher process: everything in it is gone when it is killed."""

    def __init__(self, world):
        self.clock = world.clock
        self.store = Disk(world.disk, world.dice)
        recovered = self.store.open()
        now = self.clock.monotonic()
        self.ledger = Ledger(
            Terms(LEASE_TTL, RECONNECT_GRACE, _MAX_ATTEMPTS),
            first_epoch=recovered.generation << 32,
            counts=recovered.counts,
            unfinished=recovered.unfinished,
            cordons=recovered.cordons,
            absent=sorted(recovered.connected),  # in order, for the seed
            absent_until=now + RESTART_GRACE,
        )
        telemetry = Telemetry(CollectorRegistry())
        names = JobNames(recovered.store_id)
        cost = Cost(64, 1, 1)
        self.pump = Pump(
            ledger=self.ledger,
            store=self.store,
            clock=self.clock,
            telemetry=telemetry,
            join_key=JOIN_KEY,
            cost=cost,
        )
        self.fleet = Fleet(pump=self.pump, store=self.store, clock=self.clock)
        self.clients = Submissions(
            pump=self.pump,
            store=self.store,
            clock=self.clock,
            telemetry=telemetry,
            names=names,
            pepper=NoPepper(),
            formats=NumberFormats(("in",)),
            profile=Profile.LEGACY_SHA256,
            cost=cost,
            max_unfinished=100_000,
        )
        self._servicer = WorkerServicer(
            self.pump,
            names=names,
            cost=cost,
            heartbeat_interval=HEARTBEAT,
            lease_ttl=LEASE_TTL,
            refusals=Refusals(telemetry, self.clock),
        )
        self.links = {}
        self._tasks = {asyncio.ensure_future(self.pump.run()): None}  # in order, for the seed

    def serve(self, link):
        link.serving = asyncio.ensure_future(self._serve(link))
        self._tasks[link.serving] = None
        self.links[link] = None

    async def _serve(self, link):
        lost = values.Lost("the dispatcher ended the stream", False)
        try:
            await self._servicer.Work(link.requests(), Context(link))
        except AbortedError as error:
            code = error.args[0]
            is_rejected = code in (grpc.StatusCode.ABORTED, grpc.StatusCode.UNAUTHENTICATED)
            lost = values.Lost(str(code), is_rejected)
        finally:
            self.links.pop(link, None)
            if not link.is_cut:
                link._down.put_nowait(lost)

    def spawn(self, coroutine):
        """A call of a client: dies with the process."""
        task = asyncio.ensure_future(coroutine)
        self._tasks[task] = None
        task.add_done_callback(lambda over: self._tasks.pop(over, None))
        return task

    async def kill(self):
        self.store.is_dead = True
        for link in list(self.links):
            link.serving = None
            link.cut()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class SimulatedWorker:
    """The worker's loop around the real session. `freeze` stops it as SIGSTOP does."""

    def __init__(self, world, name, slots, prefetch):
        self.world, self.name = world, name
        self._slots, self._prefetch = slots, prefetch
        self._instances = 0
        self.is_frozen = False
        self.restart()

    def restart(self):
        """A new process: what the old one held is forgotten."""
        self._instances += 1
        identity = Identity(
            *(self.name, f"{self.name}/{self._instances}"),
            *(hashing.join_token(JOIN_KEY, self.name), self._slots, "0", ""),
            (values.LEGACY_SHA256,),
        )
        self.session = Session(identity, self._prefetch)
        self.is_alive = True
        self.is_leaving = False
        self._backoff = Backoff()
        self._link = None
        self._timer = None
        self._late = []
        self._queue = []
        self._busy = {}
        self._connect()

    def kill(self):
        """kill -9; the kernel closes the connection."""
        self.is_alive = False
        self.is_frozen = False
        for handle in self._busy.values():
            handle.cancel()
        if self._timer is not None:
            self._timer.cancel()
        if self._link is not None:
            self._link.cut(self.world.dice.choice((0.0, 0.0, KEEPALIVE)))

    def freeze(self, on):
        self.is_frozen = on
        if not on:
            late, self._late = self._late, []
            for act in late:
                self._do(act)

    def leave(self):
        self.is_leaving = True
        self._do(lambda: self._obey(self.session.leave("SIGTERM", self._now())))

    def arrived(self, link, message):
        self._do(lambda: self._receive(link, message))

    @property
    def link(self):
        return self._link

    def _now(self):
        return self.world.clock.monotonic()

    def _do(self, act):
        """Everything that happens in the process, in its own order, once it runs."""
        if self.is_frozen:
            self._late.append(act)
        elif self.is_alive:
            act()
            self._arm()

    def _arm(self):
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.session.wake_at
        if due is not None and self.is_alive:
            loop = asyncio.get_running_loop()
            session = self.session
            self._timer = loop.call_at(
                max(due, self._now()), lambda: self._do(lambda: self._tick(session))
            )

    def _tick(self, session):
        if session is self.session:
            self._obey(session.tick(self._now()))

    def _connect(self):
        if not self.is_alive or self.world.node is None:
            self._retry(False)
            return
        self._link = Link(self.world, self)
        self.world.node.serve(self._link)
        self._obey(self.session.connected(self._now(), None))
        self._arm()

    def _retry(self, is_rejected):
        delay = self._backoff.failed(rejected=is_rejected, fraction=self.world.dice.random())
        instance = self._instances
        asyncio.get_running_loop().call_later(
            max(delay, 0.001), lambda: self._do(lambda: self._connect_if(instance))
        )

    def _connect_if(self, instance):
        if instance == self._instances and self.is_alive:
            self._connect()

    def _receive(self, link, message):
        if link is not self._link:
            return
        if isinstance(message, values.Lost):
            self._link = None
            link.cut()
            self._obey(self.session.disconnected())
            if self.is_alive:
                self._retry(message.rejected)
            return
        value = decode(message)
        if isinstance(value, values.Welcome):
            self._backoff.succeeded()
        self._obey(self.session.receive(value, self._now()))

    def _obey(self, outputs):
        for output in outputs:
            if isinstance(output, values.Start):
                self.world.started(output.assignments)
                self._queue += output.assignments
            elif isinstance(output, values.Cancel):
                self._queue = [each for each in self._queue if each.lease not in output.leases]
                for lease in output.leases:
                    if handle := self._busy.pop(lease, None):
                        handle.cancel()
            elif isinstance(output, values.Exit):
                self.is_alive = False
                if self._link is not None:
                    self._link.cut()
                asyncio.get_running_loop().call_later(0.5, self.restart)
            elif isinstance(output, values.Reconnect):
                link, self._link = self._link, None
                link.cut()
                self._obey(self.session.disconnected())
                self._retry(False)
            elif self._link is not None:
                if isinstance(output, values.Release):
                    self.world.released.update(lease.key for lease in output.leases)
                self._link.send(encode(output))
        self._work()

    def _work(self):
        while self._queue and len(self._busy) < self._slots and self.is_alive:
            assignment = self._queue.pop(0)
            seconds = self.world.dice.choice(self.world.light_seconds)
            if not assignment.is_light:
                seconds = assignment.load.seconds
            session = self.session
            self._busy[assignment.lease] = asyncio.get_running_loop().call_later(
                seconds, lambda a=assignment, s=session: self._do(lambda: self._finish(a, s))
            )

    def _finish(self, assignment, session):
        if session is not self.session or self._busy.pop(assignment.lease, None) is None:
            return
        salt = f"{self.world.dice.getrandbits(128):032x}"
        digest = hashlib.sha256(salt.encode() + assignment.input).hexdigest()
        spent = LIGHT_CPU_SECONDS if assignment.is_light else assignment.load.seconds
        outcome = values.Outcome(assignment.lease, f"{digest}:{salt}", spent)
        self._obey(session.finished([outcome]))


class World:
    """All of it, and what must be true of it at every moment."""

    def __init__(self, seed, *, workers=3, slots=(1, 2), prefetches=(0, 1, 8, None)):
        self.dice = random.Random(seed)
        self.clock = LoopClock()
        self.disk = MemoryDisk()
        self.node = Node(self)
        self.accepted = {}
        self.results = {}
        self.cancelled = set()
        self.runs = Counter()
        self.released = Counter()
        self.light_seconds = (0.0, 0.001, 0.05, 0.5, 3.0)
        self.lost_calls = 0
        self._requests = 0
        self._fleet_locks = defaultdict(asyncio.Lock)
        self.workers = [
            SimulatedWorker(
                self, f"w{place}", self.dice.choice(slots), self.dice.choice(prefetches)
            )
            for place in range(workers)
        ]

    def started(self, assignments):
        self.runs.update(assignment.lease.key for assignment in assignments)

    # -- what a client does ----------------------------------------------------------------------

    async def submit(self, count, heavy_seconds=None):
        self._requests += 1
        request = f"request-{self._requests}"
        load = None if heavy_seconds is None else Busy(heavy_seconds)
        specs = [JobSpec(f"KA-47-UT-{1 + place:04d}", load=load) for place in range(count)]
        keys = await self.answered(lambda node: node.clients.submit(request, specs))
        assert self.accepted.setdefault(request, keys) == keys
        assert len(keys) == count
        if self.dice.random() < 0.2:
            again = await self.answered(lambda node: node.clients.submit(request, specs))
            assert again == keys, "a repeated request made new jobs"
        return keys

    async def answered(self, call):
        """Repeats a call until a dispatcher that lives answers it."""
        while True:
            node = self.node
            if node is not None:
                try:
                    return await node.spawn(call(node))
                except StoreUnavailableError:
                    self.lost_calls += 1
                except asyncio.CancelledError:
                    if self.node is node or asyncio.current_task().cancelling():
                        raise
                    self.lost_calls += 1
            await pass_time(0.1)

    async def drain(self, name, seconds, cancel_after=None):
        """A drain, cancelled or not; what it promises is checked. One at a time per worker."""
        async with self._fleet_locks[name]:
            try:
                return await self._drain(name, seconds, cancel_after)
            finally:
                await self.answered(lambda node: node.fleet.uncordon(name))

    async def _drain(self, name, seconds, cancel_after):
        node = self.node
        if node is None:
            return None
        try:
            await node.spawn(node.fleet.cordon(name, "test", None))
        except (asyncio.CancelledError, StoreUnavailableError):
            return None
        # What it holds when the drain begins; no new lease can come from now on.
        before = {
            key
            for session in node.ledger._sessions.values()
            if session.worker_id == name
            for key in session.leases
        }
        ending = node.spawn(node.fleet.drain(name, "test", seconds))
        if cancel_after is not None:
            await pass_time(cancel_after)
            await self.answered(lambda node: node.fleet.uncordon(name))
        try:
            outcome, _ = await ending
        except (asyncio.CancelledError, StoreUnavailableError):
            outcome = None
        is_cordoned = cancel_after is None and self.node is node
        if outcome is DrainOutcome.DRAINED and is_cordoned:
            views = [each for each in node.ledger.workers(0.0) if each.worker_id == name]
            assert all(view.leases == 0 for view in views), "drained, and holds a lease"
            for key in before:
                is_over = self.disk.jobs[key].state.is_final or key in self.cancelled
                assert is_over or self.released[key], "drained, and a job of it will run again"
        return outcome

    # -- faults ----------------------------------------------------------------------------------

    async def crash(self, seconds):
        node, self.node = self.node, None
        if node is None:
            return
        await node.kill()
        await pass_time(seconds)
        self.node = Node(self)

    async def fault(self):
        """One random fault, start to end."""
        dice = self.dice
        worker = dice.choice(self.workers)
        link = worker.link
        seconds = dice.choice((0.05, 0.5, 3.0, 12.0))
        match dice.randrange(10):
            case 0:
                await self.crash(dice.choice((0.0, 0.3, 2.0)))
            case 1:
                worker.kill()
                await pass_time(seconds / 4)
                if not worker.is_alive:
                    worker.restart()
            case 2:
                worker.freeze(True)
                await pass_time(seconds)
                worker.freeze(False)
            case 3 if link is not None:
                link.cut(dice.choice((0.0, KEEPALIVE)))
            case 4 if link is not None:
                await self.hold(link, seconds)
            case 5 if not worker.is_leaving and worker.is_alive:
                worker.leave()
            case 6 if self.node is not None:
                await self.sick_disk(seconds)
            case 7:
                await self.drain(worker.name, dice.choice((0.0, 1.0, 30.0)))
            case 8:
                await self.drain(worker.name, 30.0, cancel_after=dice.choice((0.0, 0.01, 0.5)))
            case _:
                keys = dice.choice(list(self.accepted.values()) or [[]])
                await self.cancel(keys)
                self.clock.step += dice.choice((-90000.0, 3600.0))

    async def sick_disk(self, seconds):
        store = self.node.store
        store.fault = self.dice.choice((StoreFullError("full"), StoreUnavailableError("sick")))
        await pass_time(seconds)
        store.fault = None

    async def hold(self, link, seconds):
        """A black hole, or a half-open connection."""
        held = self.dice.choice((("up",), ("down",), ("up", "down")))
        for direction in held:
            link.open[direction].clear()
        await pass_time(seconds)
        for direction in held:
            link.open[direction].set()

    async def cancel(self, keys):
        if keys:
            self.cancelled.update(keys)
            with contextlib.suppress(StoreUnavailableError):
                await self.answered(lambda node: node.clients.cancel(keys))

    # -- what must be true -----------------------------------------------------------------------

    def check(self):
        if self.node is not None:
            counts = self.node.ledger.counts
            assert counts.is_balanced(), counts
            assert counts.ready >= 0
            assert counts.leased >= 0
        for key, _ in itertools.islice(self.disk.results.values(), len(self.results), None):
            assert key not in self.results, "a result stored twice"
            self.results[key] = self.disk.jobs[key]
        for keys in self.accepted.values():
            assert all(key in self.disk.jobs for key in keys), "an acknowledged job is missing"

    def check_whole(self):
        """At the end, with the faults over and everything done."""
        self.check()
        for key, job in self.results.items():
            assert self.disk.jobs[key] == job, "a stored result changed"
        for job in self.disk.jobs.values():
            assert job.state in (JobState.DONE, JobState.CANCELLED), job.state
        for worker in self.workers:
            (session,) = (
                each
                for each in self.node.ledger._sessions.values()
                if each.worker_id == worker.name
            )
            assert not session.leases
            assert session.credit == worker.session.credit, "credit has leaked away: a ghost"
            assert session.credit >= worker._slots, "a worker that will never get a job"

    @property
    def is_idle(self):
        """Whether every job is final, every worker connected, and nothing is under way."""
        if self.node is None or self.node.ledger.counts.unfinished:
            return False
        if any(not job.state.is_final for job in self.disk.jobs.values()):
            return False
        connected = {each.worker_id for each in self.node.ledger.workers(0.0) if each.takes_jobs}
        return connected == {worker.name for worker in self.workers} and all(
            worker.session.is_open and not worker.session.held for worker in self.workers
        )
