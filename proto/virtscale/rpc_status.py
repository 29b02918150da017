"""The google.rpc details of a failed call, packed and read: faulty fields, when to try again.

Only a few messages are needed, so they are described here rather than pulled in as a dependency.
They live in a descriptor pool of their own and cannot clash with anybody's full copy.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    message,
    message_factory,
)

METADATA_KEY = "grpc-status-details-bin"
"""Key of the packed status in a call's trailing metadata."""

_FIELD = descriptor_pb2.FieldDescriptorProto


@dataclass(frozen=True, slots=True)
class Details:
    """What the details of a status say."""

    violations: tuple[tuple[str, str], ...] = ()
    """Faulty fields: path and what is wrong."""
    retry_seconds: float | None = None
    """When to try again."""


def pack(
    code: int,
    text: str,
    *,
    violations: Iterable[tuple[str, str]] = (),
    retry_seconds: float | None = None,
) -> bytes:
    """A packed Status for the trailing metadata."""
    status: Any = _CLASSES["Status"](code=code, message=text)
    bad: Any = _CLASSES["BadRequest"]()
    for field, description in violations:
        bad.field_violations.add(field=field, description=description)
    if bad.field_violations:
        _add(status, bad)
    if retry_seconds is not None:
        retry: Any = _CLASSES["RetryInfo"]()
        retry.retry_delay.seconds = int(retry_seconds)
        retry.retry_delay.nanos = int(retry_seconds % 1 * 1e9)
        _add(status, retry)
    packed: bytes = status.SerializeToString()
    return packed


def read(raw: bytes) -> Details:
    """What a packed Status says.

    Details that cannot be read are ignored: they only refine an error that is shown anyway.
    """
    violations: list[tuple[str, str]] = []
    retry_seconds: float | None = None
    status: Any = _CLASSES["Status"]()
    try:
        status.ParseFromString(raw)
        for detail in status.details:
            bad: Any = _CLASSES["BadRequest"]()
            retry: Any = _CLASSES["RetryInfo"]()
            name = detail.type_url.rpartition("/")[2]
            if name == "google.rpc.BadRequest":
                bad.ParseFromString(detail.value)
                violations += [(each.field, each.description) for each in bad.field_violations]
            elif name == "google.rpc.RetryInfo":
                retry.ParseFromString(detail.value)
                retry_seconds = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    except message.DecodeError:
        pass
    return Details(tuple(violations), retry_seconds)


def _add(status: Any, detail: Any) -> None:
    status.details.add(
        type_url=f"type.googleapis.com/{detail.DESCRIPTOR.full_name}",
        value=detail.SerializeToString(),
    )


def _classes() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    for module in (any_pb2, duration_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name="virtscale/rpc_status.proto",
        package="google.rpc",
        syntax="proto3",
        dependency=[any_pb2.DESCRIPTOR.name, duration_pb2.DESCRIPTOR.name],
    )
    text, number, many = _FIELD.TYPE_STRING, _FIELD.TYPE_INT32, _FIELD.LABEL_REPEATED
    once, nested = _FIELD.LABEL_OPTIONAL, _FIELD.TYPE_MESSAGE
    layout: dict[str, list[tuple[str, int, Any, Any, str]]] = {
        "Status": [
            ("code", 1, number, once, ""),
            ("message", 2, text, once, ""),
            ("details", 3, nested, many, ".google.protobuf.Any"),
        ],
        "FieldViolation": [("field", 1, text, once, ""), ("description", 2, text, once, "")],
        "BadRequest": [("field_violations", 1, nested, many, ".google.rpc.FieldViolation")],
        "RetryInfo": [("retry_delay", 1, nested, once, ".google.protobuf.Duration")],
    }
    for name, fields in layout.items():
        described = file.message_type.add(name=name)
        for field, position, kind, label, reference in fields:
            described.field.add(
                name=field, number=position, type=kind, label=label, type_name=reference or None
            )
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"google.rpc.{name}"))
        for name in layout
    }


_CLASSES = _classes()
