"""gRPC statuses with google.rpc details.

The three messages needed of google/rpc are built here in a descriptor pool of their own: generated
ones would be one more dependency, and registering them globally would clash with a client's.
"""

from collections.abc import Sequence
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, duration_pb2, message_factory

from dispatcher.hashing import UnknownKeyError
from dispatcher.numbers import InvalidRequestError, Violation
from dispatcher.ports import (
    BusyError,
    OverloadedError,
    RequestConflictError,
    StoreFullError,
    StoreUnavailableError,
)

_DETAILS_KEY = "grpc-status-details-bin"
_STORE_RETRY_SECONDS = 1.0

_STRING = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
_INT32 = descriptor_pb2.FieldDescriptorProto.TYPE_INT32
_MESSAGE = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE


def _message_classes() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    for module in (any_pb2, duration_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name="virtscale/google_rpc.proto", package="google.rpc", syntax="proto3"
    )
    file.dependency.extend(["google/protobuf/any.proto", "google/protobuf/duration.proto"])
    _declare(file, "Status", ("code", _INT32, ""), ("message", _STRING, ""))
    _declare(file, "RetryInfo", ("retry_delay", _MESSAGE, ".google.protobuf.Duration"))
    _declare(file, "FieldViolation", ("field", _STRING, ""), ("description", _STRING, ""))
    _declare(file, "BadRequest")
    _repeat(file.message_type[0], "details", 3, ".google.protobuf.Any")
    _repeat(file.message_type[3], "field_violations", 1, ".google.rpc.FieldViolation")
    pool.AddSerializedFile(file.SerializeToString())
    names = ("Status", "RetryInfo", "BadRequest")
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"google.rpc.{name}"))
        for name in names
    }


def _declare(
    file: descriptor_pb2.FileDescriptorProto, name: str, *fields: tuple[str, Any, str]
) -> None:
    message = file.message_type.add(name=name)
    for number, (field, kind, type_name) in enumerate(fields, start=1):
        message.field.add(
            name=field,
            number=number,
            type=kind,
            type_name=type_name or None,
            label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL,
        )


def _repeat(
    message: descriptor_pb2.DescriptorProto, field: str, number: int, type_name: str
) -> None:
    message.field.add(
        name=field,
        number=number,
        type=_MESSAGE,
        type_name=type_name,
        label=descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED,
    )


_CLASSES = _message_classes()


async def abort(context: Any, error: Exception) -> NoReturn:
    """Ends a call with the status that fits the error; unknown errors are raised on."""
    match error:
        case InvalidRequestError(violations=violations):
            await _abort(
                context, grpc.StatusCode.INVALID_ARGUMENT, str(error), [_bad_request(violations)]
            )
        case OverloadedError(retry_seconds=seconds) | BusyError(retry_seconds=seconds):
            await _abort(context, grpc.StatusCode.RESOURCE_EXHAUSTED, str(error), [_retry(seconds)])
        case StoreFullError():
            await _abort(
                context,
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                str(error),
                [_retry(_STORE_RETRY_SECONDS)],
            )
        case StoreUnavailableError():
            await _abort(
                context, grpc.StatusCode.UNAVAILABLE, str(error), [_retry(_STORE_RETRY_SECONDS)]
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


async def abort_not_found(context: Any, what: str) -> NoReturn:
    """Ends a call with NOT_FOUND."""
    await _abort(context, grpc.StatusCode.NOT_FOUND, what)
    raise AssertionError("abort returned")


async def _abort(
    context: Any, code: grpc.StatusCode, text: str, details: Sequence[Any] = ()
) -> None:
    status = _CLASSES["Status"](code=code.value[0], message=text)
    for detail in details:
        status.details.add(
            type_url=f"type.googleapis.com/{detail.DESCRIPTOR.full_name}",
            value=detail.SerializeToString(),
        )
    await context.abort(code, text, ((_DETAILS_KEY, status.SerializeToString()),))


def _bad_request(violations: Sequence[Violation]) -> Any:
    detail = _CLASSES["BadRequest"]()
    for violation in violations:
        detail.field_violations.add(field=violation.field, description=violation.description)
    return detail


def _retry(seconds: float) -> Any:
    detail = _CLASSES["RetryInfo"]()
    detail.retry_delay.seconds = int(seconds)
    detail.retry_delay.nanos = int(seconds % 1 * 1e9)
    return detail
