"""Workers' streams."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc
from virtscale.v1 import worker_pb2, worker_pb2_grpc

from dispatcher import access, hashing, plates
from dispatcher.access import Refusal
from dispatcher.effects import EndReason
from dispatcher.gate import Refusals
from dispatcher.grpc_api import errors, translation
from dispatcher.grpc_api.access_control import has_certificate, peer_names
from dispatcher.jobs import JobNames, Lease
from dispatcher.numbers import InvalidRequestError, Violation
from dispatcher.ports import StoreUnavailableError, WorkDesk
from dispatcher.sessions import Hello, SessionKey

_HELLO_SECONDS = 10.0
_MAX_BATCH = 512
_ACK_SECONDS = 0.01
_END_CODES = {
    EndReason.FENCED: grpc.StatusCode.ABORTED,
    EndReason.STALLED: grpc.StatusCode.UNAVAILABLE,
}


class WorkerServicer(worker_pb2_grpc.WorkerServiceServicer):
    """One call per worker; its coroutine reads, a task of its own writes."""

    def __init__(
        self,
        desk: WorkDesk,
        *,
        names: JobNames,
        cost: hashing.Cost,
        heartbeat_interval: float,
        lease_ttl: float,
        refusals: Refusals,
    ) -> None:
        self._desk = desk
        self._refusals = refusals
        self._names = names
        self._cost = cost
        self._heartbeat_interval = heartbeat_interval
        self._lease_ttl = lease_ttl

    async def Work(  # type: ignore[override]
        self, request_iterator: AsyncIterator[worker_pb2.WorkRequest], context: Any
    ) -> None:
        """One session, from Hello to the stream's end."""
        try:
            first = await self._first(request_iterator, context)
            hello = translation.hello(first, self._names)
        except InvalidRequestError as error:
            await errors.abort(context, error)
        line = _Line(self)
        session = await self._admit(hello, first.join_token, line, context)
        line.session = session
        worker_id = hello.worker_id
        context.excuse_silence(lambda: self._desk.may_be_silent(worker_id))
        writing = asyncio.ensure_future(line.write(context))
        reading = asyncio.ensure_future(self._read(session, line, request_iterator))
        try:
            done, _ = await asyncio.wait({writing, reading}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if line.end_reason is not None:
                await context.abort(_END_CODES[line.end_reason], line.end_reason.value)
        except (InvalidRequestError, StoreUnavailableError) as error:
            await errors.abort(context, error)
        finally:
            for task in (writing, reading):
                task.cancel()
            self._desk.parted(session)
            await asyncio.gather(writing, reading, return_exceptions=True)

    async def _admit(
        self, hello: Hello, join_token: str, line: "_Line", context: Any
    ) -> SessionKey:
        """A session for the worker that the peer has proved to be; else the call ends here."""
        worker = hello.worker_id
        facts = context.auth_context()
        is_certified = has_certificate(facts)
        if is_certified and not access.speaks_for(worker, *peer_names(facts)):
            refusal, code = Refusal.FOREIGN_CERTIFICATE, grpc.StatusCode.PERMISSION_DENIED
            text = (
                f"the certificate is not that of worker {worker!r}: it must name "
                f"{access.worker_name(worker)}"
            )
        else:
            session = self._desk.hello(hello, join_token, line, is_certified=is_certified)
            if session is not None:
                return session
            refusal, code = Refusal.WRONG_JOIN_TOKEN, grpc.StatusCode.UNAUTHENTICATED
            text = (
                f"the join token is not that of worker {worker!r}; the join key of the "
                "dispatcher and the one that made the token differ"
            )
        self._refusals.note("worker.refused", refusal, worker=worker, peer=context.peer())
        await context.abort(code, text)
        raise AssertionError("abort returned")

    async def _first(
        self, requests: AsyncIterator[worker_pb2.WorkRequest], context: Any
    ) -> worker_pb2.Hello:
        request = None
        with contextlib.suppress(TimeoutError, StopAsyncIteration):
            async with asyncio.timeout(_HELLO_SECONDS):
                request = await anext(requests)
        if request is None or request.WhichOneof("message") != "hello":
            await errors.abort(
                context,
                InvalidRequestError(
                    Violation("hello", "must be the first message, within 10 s of the call")
                ),
            )
        return request.hello

    async def _read(
        self,
        session: SessionKey,
        line: "_Line",
        requests: AsyncIterator[worker_pb2.WorkRequest],
    ) -> None:
        desk = self._desk
        async for request in requests:
            match request.WhichOneof("message"):
                case "hello":
                    raise InvalidRequestError(Violation("hello", "may be sent once per call"))
                case "credit":
                    desk.credit(session, request.credit.jobs)
                case "results":
                    outcomes = translation.outcomes(request.results)
                    if request.results.credit:
                        desk.credit(session, request.results.credit)
                    await desk.outcomes(session, outcomes)
                case "heartbeat":
                    held = translation.leases(request.heartbeat.held, "heartbeat.held")
                    desk.heartbeat(session, held, request.heartbeat.busy_slots)
                case "release":
                    leases = translation.leases(request.release.leases, "release.leases")
                    desk.release(session, leases, request.release.credit)
                case "draining":
                    desk.leaving(session, plates.redact(request.draining.reason))
                case "goodbye":
                    desk.goodbye(session, plates.redact(request.goodbye.reason))
                    await line.flushed()
                    return

    # -- messages --------------------------------------------------------------------------------

    def welcome(
        self, session: SessionKey, kept: Sequence[Lease], is_cordoned: bool
    ) -> worker_pb2.WorkResponse:
        """The answer to Hello."""
        return worker_pb2.WorkResponse(
            welcome=worker_pb2.Welcome(
                session_id=str(session),
                heartbeat_interval=translation.duration(self._heartbeat_interval),
                lease_ttl=translation.duration(self._lease_ttl),
                kept=translation.lease_messages(kept),
                cordoned=is_cordoned,
                store_id=self._names.store_id,
            )
        )

    async def jobs(
        self, session: SessionKey, leases: Sequence[Lease]
    ) -> worker_pb2.WorkResponse | None:
        """A message of jobs; None when none of the leases holds any more."""
        assignments = await self._desk.assignments(session, leases)
        if not assignments:
            return None
        return worker_pb2.WorkResponse(
            jobs=worker_pb2.Jobs(
                assignments=translation.assignment_messages(assignments, self._cost)
            )
        )


class _Line:
    """See `ports.WorkerLine`. Messages queue up while one is written; like ones are merged."""

    def __init__(self, servicer: WorkerServicer) -> None:
        self._servicer = servicer
        self._queue: deque[list[Lease] | Callable[[], worker_pb2.WorkResponse]] = deque()
        self._acks: list[Lease] = []
        self._is_ack_due = False
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self.session = SessionKey(0)
        self.end_reason: EndReason | None = None

    def welcome(self, kept: Sequence[Lease], is_cordoned: bool) -> None:
        self._put(lambda: self._servicer.welcome(self.session, kept, is_cordoned))

    def assign(self, leases: Sequence[Lease]) -> None:
        rest = list(leases)
        last = self._queue[-1] if self._queue else None
        if isinstance(last, list) and (room := _MAX_BATCH - len(last)) > 0:
            last += rest[:room]
            rest = rest[room:]
        for start in range(0, len(rest), _MAX_BATCH):
            self._queue.append(rest[start : start + _MAX_BATCH])
        self._wake()

    def acknowledge(self, leases: Sequence[Lease]) -> None:
        # A worker is in no hurry to forget: one message for all that settles within that time.
        if not self._acks:
            asyncio.get_running_loop().call_later(_ACK_SECONDS, self._acks_due)
        self._acks += leases

    def revoke(self, leases: Sequence[Lease]) -> None:
        revoked = worker_pb2.LeasesRevoked(leases=translation.lease_messages(leases))
        self._put(lambda: worker_pb2.WorkResponse(leases_revoked=revoked))

    def drain(self, seconds: float) -> None:
        message = worker_pb2.Drain(deadline=translation.duration(seconds))
        self._put(lambda: worker_pb2.WorkResponse(drain=message))

    def lift_drain(self) -> None:
        self._put(lambda: worker_pb2.WorkResponse(drain_cancelled=worker_pb2.DrainCancelled()))

    def confirm_goodbye(self) -> None:
        self._put(lambda: worker_pb2.WorkResponse(goodbye_ack=worker_pb2.GoodbyeAck()))

    def end(self, reason: EndReason) -> None:
        self.end_reason = reason
        self._wake()

    async def flushed(self) -> None:
        """Returns when everything queued so far has been written."""
        await self._idle.wait()

    async def write(self, context: Any) -> None:
        """Writes what is queued until the session ends."""
        while self.end_reason is None:
            await self._changed.wait()
            self._changed.clear()
            while (self._queue or self._is_ack_due) and self.end_reason is None:
                message = await self._next()
                if message is not None:
                    await context.write(message)
            if not self._queue and not self._is_ack_due:
                self._idle.set()

    async def _next(self) -> worker_pb2.WorkResponse | None:
        if self._is_ack_due and not callable(self._queue[0] if self._queue else None):
            acks, self._acks = self._acks, []
            self._is_ack_due = False
            messages = translation.lease_messages(acks)
            return worker_pb2.WorkResponse(result_acks=worker_pb2.ResultAcks(leases=messages))
        item = self._queue.popleft()
        if isinstance(item, list):
            return await self._servicer.jobs(self.session, item)
        return item()

    def _acks_due(self) -> None:
        self._is_ack_due = True
        self._wake()

    def _put(self, message: Callable[[], worker_pb2.WorkResponse]) -> None:
        self._queue.append(message)
        self._wake()

    def _wake(self) -> None:
        self._idle.clear()
        self._changed.set()
