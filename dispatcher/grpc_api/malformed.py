"""Requests that are no protobuf, or break a limit: refused before a servicer sees them.

Left to itself grpc answers UNKNOWN to what it cannot read, and logs a trace.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from dispatcher.grpc_api import errors, limits
from dispatcher.numbers import InvalidRequestError, Violation

_OURS = "/virtscale."
_MALFORMED = object()

Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Any]]


class RefuseMalformed(grpc.aio.ServerInterceptor):
    """Reads requests itself: an exception inside grpc's own reading never reaches a servicer."""

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """The handler, with a deserializer that cannot fail."""
        handler = await continuation(handler_call_details)
        method: Any = handler_call_details.method
        if handler is None or not method.startswith(_OURS):
            return handler
        read = _reader(handler.request_deserializer)
        refusal = InvalidRequestError(
            Violation(
                "request",
                f"is cut short or no message of {method}; make clients from proto/virtscale/v1",
            )
        )
        if handler.unary_unary is not None:
            return handler._replace(
                request_deserializer=read, unary_unary=_unary(handler.unary_unary, refusal)
            )
        if handler.unary_stream is not None:
            return handler._replace(
                request_deserializer=read, unary_stream=_answers(handler.unary_stream, refusal)
            )
        return handler._replace(
            request_deserializer=read, stream_stream=_stream(handler.stream_stream, refusal)
        )


def _reader(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def read(raw: bytes) -> Any:
        try:
            return parse(raw)
        except DecodeError:
            return _MALFORMED

    return read


def _unary(serve: Any, refusal: InvalidRequestError) -> Any:
    async def checked(request: Any, context: Any) -> Any:
        await _check(request, context, refusal)
        return await serve(request, context)

    return checked


def _answers(serve: Any, refusal: InvalidRequestError) -> Any:
    async def checked(request: Any, context: Any) -> AsyncIterator[Any]:
        await _check(request, context, refusal)
        async for answer in serve(request, context):
            yield answer

    return checked


def _stream(serve: Any, refusal: InvalidRequestError) -> Any:
    """The servicer hears of it as of any other faulty request: it has things to clear away."""

    async def requests(given: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in given:
            if request is _MALFORMED:
                raise refusal
            limits.check(request)
            yield request

    async def checked(given: AsyncIterator[Any], context: Any) -> None:
        await serve(requests(given), context)

    return checked


async def _check(request: Any, context: Any, refusal: InvalidRequestError) -> None:
    try:
        if request is _MALFORMED:
            raise refusal
        limits.check(request)
    except InvalidRequestError as error:
        await errors.abort(context, error)
