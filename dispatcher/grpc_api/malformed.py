"""Requests that are no protobuf, or break a limit: refused before a servicer sees them.

Left to itself a server answers UNKNOWN to what it cannot read, and logs a trace.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError, Message

from dispatcher.grpc_api import errors, limits
from dispatcher.grpc_server.calls import Arrival
from dispatcher.grpc_server.service import Resolve
from dispatcher.numbers import InvalidRequestError, Violation

_OURS = "/virtscale."


class _Refused(NamedTuple):
    """A request that no servicer sees, and the batch it was, where it could be read."""

    error: InvalidRequestError
    request_id: str = ""


class RefuseMalformed:
    """Reads requests itself, so that servicers hear of those that cannot be read."""

    def __init__(self) -> None:
        self._handlers: dict[str, Any] = {}

    def __call__(self, following: Resolve) -> Resolve:
        """See `grpc_server.service.Service`."""

        def resolve(arrival: Arrival) -> Any:
            method = arrival.method
            if (known := self._handlers.get(method)) is not None:
                return known
            handler = following(arrival)
            if handler is None or not method.startswith(_OURS):
                return handler
            checked = self._handlers[method] = _checked(handler, method)
            return checked

        return resolve


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
        await serve(requests(given, context), context)

    return checked
