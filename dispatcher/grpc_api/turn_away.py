"""Submissions that would wait too long: refused before they are read."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from dispatcher.grpc_api import errors
from dispatcher.ports import ClientDesk

_METHOD = "/virtscale.v1.LicenseService/SubmitJobs"

Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Any]]


class TurnAway(grpc.aio.ServerInterceptor):
    """Asks the desk when a call arrives; a refused one is neither parsed nor checked."""

    def __init__(self, desk: ClientDesk) -> None:
        self._desk = desk

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """The handler, or one that only refuses."""
        method: Any = handler_call_details.method
        if method == _METHOD and (busy := self._desk.turn_away()) is not None:
            refusal = busy

            async def refuse(_request: bytes, context: Any) -> Any:
                await errors.abort(context, refusal)

            return grpc.unary_unary_rpc_method_handler(refuse)
        return await continuation(handler_call_details)
