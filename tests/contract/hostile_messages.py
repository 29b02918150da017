"""Messages that nobody should send, made from the descriptors: every field, at its extremes."""

import random
import uuid
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

INTEGERS = (0, 1, 2, 7, 64, 1000, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1, -1, -(2**31))
TEXTS = (
    "",
    "w1",
    "KA-47-UT-9173",
    "x" * 129,
    "x" * 5000,
    "\x00\x07\n",
    "\u0661\uff11\u200b\U0001f600",
    "$argon2id$v=19$m=65536,t=10,p=4,keyid=k1$" + "A" * 22 + "$" + "A" * 43,
    "$argon2id$v=19$m=4194304,t=99,p=99,keyid=k1$" + "A" * 22 + "$" + "A" * 43,
    "0" * 64 + ":" + "0" * 32,
    "..$$::--==",
)
_FLAT = (FieldDescriptor.CPPTYPE_MESSAGE, FieldDescriptor.CPPTYPE_STRING)


def message(kind: Descriptor, choose: random.Random, known: tuple[str, ...], depth: int = 0) -> Any:
    """A message of that kind. `known` are texts that mean something, such as job ids."""
    made: Message = GetMessageClass(kind)()
    for field in kind.fields:
        if choose.random() < 0.3:
            continue
        if field.is_repeated:
            count = choose.choice((0, 1, 1, 2, 3, 30)) if depth < 2 else 1
            target = getattr(made, field.name)
            for _ in range(count):
                value = _value(field, choose, known, depth)
                if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
                    target.add().CopyFrom(value)
                elif value is not None:
                    target.append(value)
        elif field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
            getattr(made, field.name).CopyFrom(_value(field, choose, known, depth))
        elif (value := _value(field, choose, known, depth)) is not None:
            setattr(made, field.name, value)
    return made


def mangled(raw: bytes, choose: random.Random) -> bytes:
    """The bytes as they are, or cut, flipped, doubled, or followed by rubbish."""
    match choose.randrange(6):
        case 0 if raw:
            return raw[: choose.randrange(len(raw))]
        case 1 if raw:
            place = choose.randrange(len(raw))
            return raw[:place] + bytes([choose.randrange(256)]) + raw[place + 1 :]
        case 2:
            return raw + raw
        case 3:
            return raw + choose.randbytes(choose.randrange(1, 40))
    return raw


def _value(
    field: FieldDescriptor, choose: random.Random, known: tuple[str, ...], depth: int
) -> Any:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_MESSAGE:
            if depth > 4:
                return GetMessageClass(field.message_type)()
            return message(field.message_type, choose, known, depth + 1)
        case FieldDescriptor.CPPTYPE_STRING:
            if field.type == FieldDescriptor.TYPE_BYTES:
                return choose.randbytes(choose.choice((0, 32, 5000)))
            texts = TEXTS
            if field.name in ("worker_id", "instance_id"):
                # Names of domains, shown as they are.
                texts = tuple(text for text in TEXTS if "9173" not in text)
            return choose.choice(
                (*texts, *known, *known, str(uuid.UUID(int=choose.getrandbits(128), version=4)))
            )
        case FieldDescriptor.CPPTYPE_BOOL:
            return choose.random() < 0.5
        case FieldDescriptor.CPPTYPE_ENUM:
            return choose.choice((0, 1, 2, 3, 4, 77, -1))
    fitting = [number for number in INTEGERS if _fits(field, number)]
    return choose.choice(fitting)


def _fits(field: FieldDescriptor, number: int) -> bool:
    bits = 32 if "32" in _NAMES.get(field.cpp_type, "") else 64
    if field.cpp_type in (FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64):
        return 0 <= number < 2**bits
    return -(2 ** (bits - 1)) <= number < 2 ** (bits - 1)


_NAMES = {
    FieldDescriptor.CPPTYPE_INT32: "int32",
    FieldDescriptor.CPPTYPE_UINT32: "uint32",
    FieldDescriptor.CPPTYPE_INT64: "int64",
    FieldDescriptor.CPPTYPE_UINT64: "uint64",
}
