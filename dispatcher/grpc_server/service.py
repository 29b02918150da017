"""Runs servicers for the calls of all connections."""

import asyncio
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import grpc

from dispatcher.grpc_server.calls import Arrival, Call
from dispatcher.grpc_server.heads import Metadata
from servicekit import logs

Resolve = Callable[[Arrival], Any]
"""The handler of a call: a `grpc.RpcMethodHandler`, a `RefusedCall`, or None: no such method."""

Judge = Callable[[Resolve], Resolve]
"""Is put around a `Resolve`: looks at calls, refuses some, changes the handlers of others."""

Status = tuple[int, str, Metadata]

PAST_DEADLINE: Status = (grpc.StatusCode.DEADLINE_EXCEEDED.value[0], "Deadline Exceeded", ())
STOPPING: Status = (grpc.StatusCode.UNAVAILABLE.value[0], "the dispatcher is stopping", ())
_CANCELLED = grpc.StatusCode.CANCELLED.value[0]
_UNKNOWN = grpc.StatusCode.UNKNOWN.value[0]
_CANCEL_SECONDS = 5.0
# At most in one turn: that is how long a connection keeps the loop from the others.
_READ_BYTES = 16 * 1024


class Service:
    """What all connections of a server share: its methods, and the calls that run."""

    def __init__(self, judges: Sequence[Judge] = ()) -> None:
        """`judges` are put around the table of methods, the first one outermost."""
        self._handlers: dict[str, Any] = {}
        self.resolve: Resolve = lambda arrival: self._handlers.get(arrival.method)
        for judge in reversed(judges):
            self.resolve = judge(self.resolve)
        self._running: set[asyncio.Task[None]] = set()
        self._log = logs.get()
        self.is_stopping = False
        self.buffer = memoryview(bytearray(_READ_BYTES))
        """For what a connection reads; nothing of another comes in before it is looked at."""

    # What generated code calls to add a servicer.

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        """Nothing: `add_registered_method_handlers` is told of the same methods."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        """Adds the methods of a service."""
        for name, handler in handlers.items():
            self._handlers[f"/{service}/{name}"] = handler._replace(
                request_deserializer=handler.request_deserializer or _as_it_is,
                response_serializer=handler.response_serializer or _as_it_is,
            )

    def start(
        self,
        call: Call,
        first: Any,
        finish: Callable[[Call, Status], None],
        ended: Callable[[], None],
    ) -> None:
        """Runs a call's servicer with its first request, or with its stream of requests.

        `finish` is told how the call ends, unless it was over before its servicer began; `ended`
        when that servicer is no more, which may be later.
        """
        task = asyncio.ensure_future(self._run(call, first, finish))
        call.task = task
        self._running.add(task)

        def is_done(task: asyncio.Task[None]) -> None:
            self._running.discard(task)
            ended()

        task.add_done_callback(is_done)

    async def _run(self, call: Call, first: Any, finish: Callable[[Call, Status], None]) -> None:
        try:
            await _serve(call, first)
            status = call.status()
        except grpc.aio.AbortError:
            status = call.status()
        except asyncio.CancelledError:
            status = self._why_cancelled()
        except Exception:
            # What went wrong is for the log; it may hold what a client must not read.
            self._log.exception("call.failed", method=call.head.path)
            status = _UNKNOWN, "the dispatcher failed in this call; its log says more", ()
        finish(call, status)

    def _why_cancelled(self) -> Status:
        return STOPPING if self.is_stopping else (_CANCELLED, "the call was cancelled", ())

    async def stop(self, grace: float) -> None:
        """Lets calls end for that many seconds, then ends the rest; clients may repeat them."""
        self.is_stopping = True
        if self._running:
            await asyncio.wait(tuple(self._running), timeout=grace)
        for task in tuple(self._running):
            task.cancel()
        if self._running:
            # One that does not let itself be cancelled must not keep the process.
            await asyncio.wait(tuple(self._running), timeout=_CANCEL_SECONDS)


def _as_it_is(message: Any) -> Any:
    return message


async def _serve(call: Call, first: Any) -> None:
    handler = call.handler
    if not handler.response_streaming:
        serve = handler.stream_unary if handler.request_streaming else handler.unary_unary
        await call.answer(await serve(first, call))
        return
    serve = handler.stream_stream if handler.request_streaming else handler.unary_stream
    answers: Any = serve(first, call)
    if inspect.isasyncgen(answers):
        try:
            async for answer in answers:
                await call.write(answer)
        finally:
            await answers.aclose()
    else:
        await answers
