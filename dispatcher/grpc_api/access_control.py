"""Calls that the gate does not let through end here, before anything of them is read."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from dispatcher import access
from dispatcher.access import Denied, Refusal
from dispatcher.gate import Gate

Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Any]]

_CODES = {
    Refusal.MISSING_ROLE: grpc.StatusCode.PERMISSION_DENIED,
    Refusal.WRONG_LISTENER: grpc.StatusCode.UNIMPLEMENTED,
}


class AccessControl(grpc.aio.ServerInterceptor):
    """Asks the gate about each call."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """The handler, or one that refuses."""
        handler = await continuation(handler_call_details)
        method: Any = handler_call_details.method
        if handler is None:
            misplaced = access.wrong_listener(method)
            return None if misplaced is None else self._refusing(method, misplaced)
        if self._gate.is_open or not access.is_for_clients(method):
            return handler
        authorization = _authorization(handler_call_details.invocation_metadata)
        denied = self._gate.judge(method, authorization)
        if denied is None:
            return handler
        if self._gate.has_certificates:
            return self._by_certificate(handler, method, authorization)
        return self._refusing(method, denied)

    def _refusing(self, method: str, denied: Denied) -> Any:
        async def refuse(_requests: Any, context: Any) -> None:
            await self._abort(method, denied, context)

        # Whatever the method's kind: a stream's handler starts before a request has arrived.
        return grpc.stream_stream_rpc_method_handler(refuse)

    def _by_certificate(self, handler: Any, method: str, authorization: str | None) -> Any:
        """The peer's certificate is known once the handler runs."""

        async def check(context: Any) -> None:
            _, names = peer_names(context)
            denied = self._gate.judge(method, authorization, names)
            if denied is not None:
                await self._abort(method, denied, context)

        return _checked(handler, check)

    async def _abort(self, method: str, denied: Denied, context: Any) -> None:
        self._gate.refusals.note("call.refused", denied.refusal, method=method, peer=context.peer())
        code = _CODES.get(denied.refusal, grpc.StatusCode.UNAUTHENTICATED)
        await context.abort(code, denied.text)


def peer_names(context: Any) -> tuple[str, list[str]]:
    """Common name, and alternative names that are URIs, of the peer's certificate; may be empty.

    Only URIs: a name of ours must not come in as a host name, which authorities check otherwise.
    """
    facts = context.auth_context()
    common = facts.get("x509_common_name") or [b""]
    names = facts.get("peer_uri") or []
    return common[0].decode("utf-8", "replace"), [name.decode("utf-8", "replace") for name in names]


def has_certificate(context: Any) -> bool:
    """True when the peer has shown a certificate of an authority that this listener trusts."""
    return bool(context.auth_context().get("x509_pem_cert"))


def _authorization(metadata: Any) -> str | None:
    values = [value for key, value in metadata or () if key == "authorization"]
    if not values:
        return None
    return str(values[0]) if len(values) == 1 else ""


def _checked(handler: Any, check: Callable[[Any], Awaitable[None]]) -> Any:
    if handler.unary_unary is not None:

        async def unary(request: Any, context: Any) -> Any:
            await check(context)
            return await handler.unary_unary(request, context)

        return handler._replace(unary_unary=unary)
    if handler.unary_stream is not None:

        async def answers(request: Any, context: Any) -> Any:
            await check(context)
            async for answer in handler.unary_stream(request, context):
                yield answer

        return handler._replace(unary_stream=answers)

    async def stream(requests: Any, context: Any) -> None:
        await check(context)
        await handler.stream_stream(requests, context)

    return handler._replace(stream_stream=stream)
