"""The google.rpc details of a failed call: which field is at fault, when to try again.

Only three messages are needed, so they are described here rather than pulled in as a dependency.
They live in a descriptor pool of their own and cannot clash with anybody's full copy.
"""

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

_FIELD = descriptor_pb2.FieldDescriptorProto


def read(raw: bytes) -> tuple[list[str], float | None]:
    """The faulty fields (`field: what is wrong`) and the seconds to wait, from a packed Status.

    Details that cannot be read are ignored: they only refine an error that is shown anyway.
    """
    violations: list[str] = []
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
                violations += [f"{v.field}: {v.description}" for v in bad.field_violations]
            elif name == "google.rpc.RetryInfo":
                retry.ParseFromString(detail.value)
                retry_seconds = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    except message.DecodeError:
        return violations, retry_seconds
    return violations, retry_seconds


def _classes() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    for module in (any_pb2, duration_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name="virtscale/stack/rpc_details.proto",
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
