"""Requests that are no protobuf, or break a limit: refused before a servicer sees them.

Left to itself grpc answers UNKNOWN to what it cannot read, and logs a trace.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

import grpc
from google.protobuf.message import DecodeError, Message

from dispatcher.grpc_api import errors, limits
from dispatcher.numbers import InvalidRequestError, Violation

_OURS = "/virtscale."

Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Any]]


class _Refused(NamedTuple):
    """A request that no servicer sees, and the batch it was, where it could be read."""

    error: InvalidRequestError
    request_id: str = ""


class RefuseMalformed(grpc.aio.ServerInterceptor):
    """Reads requests itself: an exception inside grpc's own reading never reaches a servicer."""

    def __init__(self) -> None:
        self._handlers: dict[str, Any] = {}

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """The handler, with a deserializer that cannot fail."""
        method: Any = handler_call_details.method
        if (known := self._handlers.get(method)) is not None:
            return known
        handler = await continuation(handler_call_details)
        if handler is None or not method.startswith(_OURS):
            return handler
        checked = self._handlers[method] = _checked(handler, method)
        return checked


def _checked(handler: Any, method: str) -> Any:
    read = _reader(handler.request_deserializer, method)
    if handler.unary_unary is not None:
        return handler._replace(request_deserializer=read, unary_unary=_unary(handler.unary_unary))
    if handler.unary_stream is not None:
        return handler._replace(
            request_deserializer=read, unary_stream=_answers(handler.unary_stream)
        )
    return handler._replace(request_deserializer=read, stream_stream=_stream(handler.stream_stream))


def _reader(parse: Callable[[bytes], Message], method: str) -> Callable[[bytes], Any]:
    """Reads a message, or why it is refused: what is raised here would become UNKNOWN."""
    most = limits.message_bytes(method)
    malformed = f"is cut short or no message of {method}; make clients from proto/virtscale/v1"

    def read(raw: bytes) -> Message | _Refused:
        if len(raw) > most:
            return _fault(f"has {len(raw)} bytes; send at most {most}, in more requests")
        try:
            message = parse(raw)
        except DecodeError:
            return _fault(malformed)
        try:
            limits.check(message)
        except InvalidRequestError as error:
            # Its traceback would keep the message, however large, until the call has ended.
            return _Refused(error.with_traceback(None), getattr(message, "request_id", ""))
        return message

    return read


def _fault(description: str) -> _Refused:
    return _Refused(InvalidRequestError(Violation("request", description)))


def _unary(serve: Any) -> Any:
    async def checked(request: Any, context: Any) -> Any:
        if isinstance(request, _Refused):
            await errors.abort(context, request.error)
        return await serve(request, context)

    return checked


def _answers(serve: Any) -> Any:
    async def checked(request: Any, context: Any) -> AsyncIterator[Any]:
        if isinstance(request, _Refused):
            await errors.abort(context, request.error)
        async for answer in serve(request, context):
            yield answer

    return checked


def _stream(serve: Any) -> Any:
    """The servicer hears of it as of any other faulty request: it has things to clear away."""

    async def requests(given: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in given:
            if isinstance(request, _Refused):
                errors.name_batch(context, request.request_id)
                raise request.error
            yield request

    async def checked(given: AsyncIterator[Any], context: Any) -> None:
        orderly = _Orderly(context)
        await serve(requests(given, orderly), orderly)
        await orderly.written()

    return checked


class _Orderly:
    """A call's context whose status waits for the message that is on its way.

    A servicer that ends a call cancels the task that writes; the message is with grpc by then, and
    grpc refuses a status meanwhile: the client would see UNKNOWN, and the log a trace.
    """

    def __init__(self, context: Any) -> None:
        self._context = context
        self._writing: asyncio.Future[None] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def write(self, message: Any) -> None:
        """As the context's own, but cancelling it does not lose sight of the message."""
        self._writing = asyncio.ensure_future(self._context.write(message))
        self._writing.add_done_callback(_look_at)
        await asyncio.shield(self._writing)

    async def written(self) -> None:
        """Returns when no message is on its way."""
        if self._writing is not None and not self._writing.done():
            await asyncio.wait({self._writing})

    async def abort(self, *arguments: Any) -> None:
        """As the context's own, behind the message that is on its way."""
        await self.written()
        await self._context.abort(*arguments)


def _look_at(writing: "asyncio.Future[None]") -> None:
    """A client that went away is no news; unseen, asyncio would log it."""
    if not writing.cancelled():
        writing.exception()
