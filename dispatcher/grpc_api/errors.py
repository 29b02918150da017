"""gRPC statuses with google.rpc details."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NoReturn

import grpc
from virtscale import rpc_status

from dispatcher.grpc_server.calls import RefusedCall
from dispatcher.hashing import UnknownKeyError
from dispatcher.numbers import InvalidRequestError, Violation
from dispatcher.ports import (
    BusyError,
    OverloadedError,
    RequestConflictError,
    StoreDamagedError,
    StoreFullError,
    StoreUnavailableError,
)

_STORE_RETRY_SECONDS = 1.0
_RESTORE_RETRY_SECONDS = 60.0
_REQUEST_KEY = "virtscale-request-id"


def name_batch(context: Any, request_id: str) -> None:
    """Says in the trailing metadata which batch of a stream the coming error is about."""
    if request_id and request_id.isascii() and request_id.isprintable():
        context.set_trailing_metadata(((_REQUEST_KEY, request_id[:64]),))


async def abort(context: Any, error: Exception) -> NoReturn:
    """Ends a call with the status that fits the error; unknown errors are raised on."""
    match error:
        case InvalidRequestError(violations=violations):
            await _abort(context, grpc.StatusCode.INVALID_ARGUMENT, str(error), violations)
        case OverloadedError(retry_seconds=seconds) | BusyError(retry_seconds=seconds):
            await _abort(
                context, grpc.StatusCode.RESOURCE_EXHAUSTED, str(error), retry_seconds=seconds
            )
        case StoreDamagedError():
            await _abort(
                context,
                grpc.StatusCode.UNAVAILABLE,
                str(error),
                retry_seconds=_RESTORE_RETRY_SECONDS,
            )
        case StoreUnavailableError():
            await _abort(
                context,
                grpc.StatusCode.RESOURCE_EXHAUSTED
                if isinstance(error, StoreFullError)
                else grpc.StatusCode.UNAVAILABLE,
                str(error),
                retry_seconds=_STORE_RETRY_SECONDS,
            )
        case RequestConflictError():
            await _abort(
                context,
                grpc.StatusCode.ALREADY_EXISTS,
                f"request_id {error} was used with another content; use a new one",
            )
        case UnknownKeyError(key_id=key_id):
            await _abort(
                context,
                grpc.StatusCode.FAILED_PRECONDITION,
                f"the hash was made with key {key_id!r}, which is not in the pepper file; add it",
            )
    raise error


@lru_cache(maxsize=64)
def _refused(text: str, retry_seconds: float) -> RefusedCall:
    # Kept: under overload it is what a dispatcher says most often.
    code = grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    packed = rpc_status.pack(code, text, violations=[], retry_seconds=retry_seconds)
    return RefusedCall(code, text, ((rpc_status.METADATA_KEY, packed),))


def refused(error: BusyError | OverloadedError) -> RefusedCall:
    """The end of a call that is not even read."""
    return _refused(str(error), error.retry_seconds)


async def abort_not_found(context: Any, what: str) -> NoReturn:
    """Ends a call with NOT_FOUND."""
    await _abort(context, grpc.StatusCode.NOT_FOUND, what)
    raise AssertionError("abort returned")


async def _abort(
    context: Any,
    code: grpc.StatusCode,
    text: str,
    violations: Sequence[Violation] = (),
    *,
    retry_seconds: float | None = None,
) -> None:
    packed = rpc_status.pack(
        code.value[0],
        text,
        violations=[(each.field, each.description) for each in violations],
        retry_seconds=retry_seconds,
    )
    named = context.trailing_metadata() or ()
    await context.abort(code, text, (*named, (rpc_status.METADATA_KEY, packed)))
