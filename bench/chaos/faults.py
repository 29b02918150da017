"""What each kind of fault does. Every one ends by itself and leaves the processes running."""

import asyncio
import math
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable

import grpc
from google.protobuf.duration_pb2 import Duration
from virtscale.v1 import fleet_pb2, license_pb2

from bench.chaos.book import CANCELLED, DONE, FAILED
from bench.chaos.client import Client
from bench.chaos.disk import Disk
from bench.chaos.processes import LEASE_SECONDS, Dispatcher, Worker
from bench.chaos.proxy import DOWN, UP, Gate
from bench.chaos.schedule import Fault
from bench.chaos.shim import Shim

_LOOK_SECONDS = 0.02
_DRAIN_SECONDS = 8.0
_LIFE_SECONDS = 6.0
_PATIENCE_SECONDS = 10.0


class Faults:
    """Does faults to a running system, and measures how fast it recovers."""

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        workers: list[Worker],
        gates: list[Gate],
        client_gate: Gate,
        client: Client,
        disk: Disk,
        dispatcher_shim: Shim,
        worker_shims: list[Shim],
        take: Callable[[], tuple[int, int, int]],
    ) -> None:
        self._dispatcher = dispatcher
        self._workers = workers
        self._gates = gates
        self._client_gate = client_gate
        self._client = client
        self._disk = disk
        self._dispatcher_shim = dispatcher_shim
        self._worker_shims = worker_shims
        self._take = take
        self._fleet_locks = [asyncio.Lock() for _ in workers]
        self.done: Counter[str] = Counter()
        self.missed: Counter[str] = Counter()
        """Faults that met nothing to break, such as a cut without a connection."""
        self.recoveries: dict[str, list[float]] = defaultdict(list)
        self.answers: Counter[str] = Counter()
        self._acts: dict[str, Callable[[Fault], Awaitable[bool]]] = {
            "worker_kill": self._worker_kill,
            "worker_stop": self._worker_stop,
            "worker_term": self._worker_term,
            "worker_replace": self._worker_replace,
            "dispatcher_kill": self._dispatcher_end,
            "dispatcher_term": self._dispatcher_end,
            "dispatcher_stop": self._dispatcher_stop,
            "cut": self._cut,
            "half_open": self._half_open,
            "black_hole": self._black_hole,
            "delay": self._delay,
            "disk_full": self._disk_full,
            "disk_read_only": self._disk_fault,
            "disk_error": self._disk_fault,
            "clock_step": self._clock_step,
            "drain": self._drain,
            "drain_cancel": self._drain_cancel,
            "cordon": self._cordon,
            "cancel_jobs": self._cancel_jobs,
            "stream_cut": self._stream_cut,
            "repeat_request": self._repeat_request,
        }

    async def do(self, fault: Fault) -> None:
        """Does one fault, start to end."""
        happened = await self._acts[fault.kind](fault)
        (self.done if happened else self.missed)[fault.kind] += 1

    # -- workers ---------------------------------------------------------------------------------

    async def _worker_kill(self, fault: Fault) -> bool:
        worker = self._workers[fault.victim]
        async with worker.lock:
            held = await self._held(worker)
            began = time.monotonic()
            await worker.end(signal.SIGKILL)
            await self._given_back("worker_kill", worker, held, began)
            worker.start()
        return True

    async def _worker_stop(self, fault: Fault) -> bool:
        worker = self._workers[fault.victim]
        async with worker.lock:
            held = await self._held(worker)
            began = time.monotonic()
            worker.send(signal.SIGSTOP)
            if fault.seconds > LEASE_SECONDS:
                await self._given_back("worker_stop", worker, held, began)
            await asyncio.sleep(max(0.0, began + fault.seconds - time.monotonic()))
            worker.send(signal.SIGCONT)
        return True

    async def _worker_term(self, fault: Fault) -> bool:
        worker = self._workers[fault.victim]
        async with worker.lock:
            code = await worker.end(signal.SIGTERM)
            self.answers[f"SIGTERM: worker left with {code}"] += 1
            worker.start()
        return True

    async def _worker_replace(self, fault: Fault) -> bool:
        """A second process under the same name, as when a domain is started twice."""
        worker = self._workers[fault.victim]
        async with worker.lock:
            worker.start()
            await asyncio.sleep(fault.seconds)
            await worker.end_replaced()
        return True

    async def _held(self, worker: Worker) -> str:
        """The instance that holds leases now; empty when nobody does."""
        listed = await self._client.workers()
        shown = (listed or {}).get(worker.name)
        return shown.instance_id if shown is not None and shown.leases else ""

    async def _given_back(self, kind: str, worker: Worker, instance: str, began: float) -> None:
        """Measures until that instance's leases are out of its hands: leased again or ready."""
        if not instance:
            return
        starts = self._dispatcher.starts
        while time.monotonic() - began < LEASE_SECONDS + 5.0:
            listed = await self._client.workers()
            if self._dispatcher.starts != starts:
                return  # another fault came in between: the figure would be its own
            if listed is not None:
                shown = listed.get(worker.name)
                if shown is None or shown.instance_id != instance or not shown.leases:
                    self.recoveries[kind].append(time.monotonic() - began)
                    return
            await asyncio.sleep(_LOOK_SECONDS)

    # -- the dispatcher --------------------------------------------------------------------------

    async def _dispatcher_end(self, fault: Fault) -> bool:
        number = signal.SIGKILL if fault.kind == "dispatcher_kill" else signal.SIGTERM
        async with self._dispatcher.lock:
            began = time.monotonic()
            code = await self._dispatcher.end(number)
            if number == signal.SIGTERM and code != 0:
                self.answers[f"SIGTERM: dispatcher ended with {code}"] += 1
            await self._dispatcher.start()
            self.recoveries[fault.kind].append(time.monotonic() - began)
            await self._lives()
        return True

    async def _lives(self) -> None:
        """Lets the process come to work before the next fault of its kind."""
        book = self._client.book
        finals, until = len(book.finals), time.monotonic() + _LIFE_SECONDS
        while len(book.finals) == finals and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_SECONDS)

    async def _dispatcher_stop(self, fault: Fault) -> bool:
        async with self._dispatcher.lock:
            self._dispatcher.send(signal.SIGSTOP)
            await asyncio.sleep(fault.seconds)
            self._dispatcher.send(signal.SIGCONT)
            await self._lives()
        return True

    # -- the network -----------------------------------------------------------------------------

    def _gate(self, fault: Fault) -> Gate:
        """One in four network faults hits the client."""
        return self._client_gate if fault.dice < 0.25 else self._gates[fault.victim]

    async def _cut(self, fault: Fault) -> bool:
        gate = self._gate(fault)
        return await _soon(lambda: gate.cut(reset=fault.seconds > 1.0) > 0)

    async def _half_open(self, fault: Fault) -> bool:
        gate = self._gate(fault)
        direction = UP if fault.dice * 8 % 1 < 0.5 else DOWN
        gate.hold(direction)
        await asyncio.sleep(fault.seconds)
        if fault.dice * 16 % 1 < 0.5:
            gate.cut(reset=True)
        gate.release(direction)
        return True

    async def _black_hole(self, fault: Fault) -> bool:
        gate = self._gate(fault)
        worker = None if gate is self._client_gate else self._workers[fault.victim]
        held = await self._held(worker) if worker is not None else ""
        began = time.monotonic()
        gate.hold(UP, DOWN)
        if worker is not None and fault.seconds > LEASE_SECONDS:
            await self._given_back("black_hole", worker, held, began)
        await asyncio.sleep(max(0.0, began + fault.seconds - time.monotonic()))
        if fault.dice * 16 % 1 < 0.5:
            gate.cut(reset=True)
        gate.release(UP, DOWN)
        return True

    async def _delay(self, fault: Fault) -> bool:
        gate = self._gate(fault)
        gate.delay = 0.02 + 0.1 * fault.dice
        await asyncio.sleep(fault.seconds)
        gate.delay = 0.0
        return True

    # -- disk and clock --------------------------------------------------------------------------

    async def _disk_full(self, fault: Fault) -> bool:
        if self._disk.can_fill:
            await self._disk.fill()
            await asyncio.sleep(fault.seconds)
            await self._disk.free()
            return True
        return await self._disk_fault(fault)

    async def _disk_fault(self, fault: Fault) -> bool:
        if not self._dispatcher_shim.works:
            return False
        with self._dispatcher_shim.disk(fault.kind):
            await asyncio.sleep(fault.seconds)
        return True

    async def _clock_step(self, fault: Fault) -> bool:
        """Up to three days either way; it stays, as when somebody sets the clock."""
        shims = [self._dispatcher_shim, *self._worker_shims]
        shim = shims[fault.place % len(shims)]
        if not shim.works:
            return False
        days = math.copysign(3.0, fault.dice - 0.5) * fault.seconds / 6.0
        shim.step(days * 86400)
        return True

    # -- the fleet -------------------------------------------------------------------------------

    async def _drain(self, fault: Fault) -> bool:
        worker = self._workers[fault.victim]
        async with self._fleet_locks[fault.victim]:
            try:
                request = fleet_pb2.DrainWorkerRequest(
                    worker_id=worker.name, reason="chaos", deadline=_duration(_DRAIN_SECONDS)
                )
                answer = await self._client.fleet.DrainWorker(request, timeout=_DRAIN_SECONDS + 4)
                outcome = fleet_pb2.DrainOutcome.Name(answer.outcome)
                self.answers[outcome.replace("_OUTCOME", "")] += 1
                if answer.outcome == fleet_pb2.DRAIN_OUTCOME_DRAINED:
                    await self._holds_nothing(worker)
            except grpc.aio.AioRpcError as error:
                self.answers[f"DRAIN call {error.code().name}"] += 1
            finally:
                await self._client.uncordon(worker.name)
        return True

    async def _holds_nothing(self, worker: Worker) -> None:
        """A drained worker stays empty: that is when its machine may be stopped."""
        for _ in range(5):
            listed = await self._client.workers()
            shown = (listed or {}).get(worker.name)
            if shown is not None and shown.leases:
                self._client.book.broke("drained worker holds jobs", f"{shown.leases} leases")
                return
            await asyncio.sleep(_LOOK_SECONDS)

    async def _drain_cancel(self, fault: Fault) -> bool:
        worker = self._workers[fault.victim]
        async with self._fleet_locks[fault.victim]:
            request = fleet_pb2.DrainWorkerRequest(
                worker_id=worker.name, reason="chaos", deadline=_duration(60.0)
            )
            draining = self._client.fleet.DrainWorker(request, timeout=20.0)
            await asyncio.sleep(fault.seconds / 20)
            await self._client.uncordon(worker.name)
            try:
                answer = await draining
                outcome = fleet_pb2.DrainOutcome.Name(answer.outcome)
                self.answers[outcome.replace("_OUTCOME", "")] += 1
            except grpc.aio.AioRpcError as error:
                self.answers[f"DRAIN call {error.code().name}"] += 1
                if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                    await self._client.uncordon(worker.name)
        return True

    async def _cordon(self, fault: Fault) -> bool:
        """`max_leases = 0`: granted only to an idle worker, which then must stay idle."""
        worker = self._workers[fault.victim]
        async with self._fleet_locks[fault.victim]:
            limit = 0 if fault.dice < 0.5 else None
            request = fleet_pb2.CordonWorkerRequest(
                worker_id=worker.name, reason="chaos", max_leases=limit
            )
            try:
                answer = await self._client.fleet.CordonWorker(request, timeout=4.0)
                self.answers[f"cordon {'granted' if answer.granted else 'refused'}"] += 1
                if answer.granted and limit == 0:
                    await self._holds_nothing(worker)
                await asyncio.sleep(fault.seconds)
            except grpc.aio.AioRpcError as error:
                self.answers[f"cordon call {error.code().name}"] += 1
            finally:
                await self._client.uncordon(worker.name)
        return True

    # -- the client ------------------------------------------------------------------------------

    async def _cancel_jobs(self, fault: Fault) -> bool:
        """Submits a batch and withdraws part of it at once, while it is being worked on."""
        batch, first, count = self._take()
        if count <= 0:
            return False
        await self._client.submit(batch, first, count)
        book = self._client.book
        indices = range(first, first + count, 1 + int(fault.dice * 4))
        book.may_be_cancelled.update(indices)
        request = license_pb2.CancelJobsRequest(job_ids=[book.ids[index] for index in indices])
        # Without an answer they may be withdrawn or not: repeated, it must say which.
        answer = await self._client.until_answered(self._client.licenses.CancelJobs, request)
        for job in answer.jobs:
            book.seen(job)
            if job.state not in (DONE, FAILED, CANCELLED):
                book.broke("cancelled job is not final", job.job_id)
        return True

    async def _stream_cut(self, fault: Fault) -> bool:
        return await _soon(self._client.cut_stream)

    async def _repeat_request(self, fault: Fault) -> bool:
        recent = self._client.recent
        if not recent:
            return False
        await self._client.submit(*recent[int(fault.dice * len(recent))])
        return True


async def _soon(act: Callable[[], bool]) -> bool:
    """Does it as soon as there is something to do it to; whether there was."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while not (happened := act()) and time.monotonic() < until:  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_SECONDS)
    return happened


def _duration(seconds: float) -> Duration:
    made = Duration()
    made.FromMicroseconds(int(seconds * 1e6))
    return made
