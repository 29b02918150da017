"""HTTP/2 as far as unary gRPC calls need it: frames as bytes, header blocks, codes.

Pure; RFC 9113 and 7541. Requests are written without HPACK's dynamic table, and peers are told to
do without it too: equal header blocks then always mean the same, and may be looked up instead of
decoded.
"""

import base64
import binascii
import math
import struct
from collections.abc import Iterable
from typing import NamedTuple

import grpc
from hpack import Decoder, HPACKError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY = range(8)
WINDOW_UPDATE, CONTINUATION = 8, 9
ACK = END_STREAM = 0x1
END_HEADERS, PADDED, HAS_PRIORITY = 0x4, 0x8, 0x20
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS = 1, 2, 3
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 4, 5
NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR = 0, 1, 3, 6
REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 7, 8, 9, 11

SMALLEST_MAX_FRAME_SIZE = 16_384
"""What every peer takes, and what we do: the protocol's default."""
DEFAULT_WINDOW = 65_535
LARGEST_WINDOW = 2**31 - 1
HEAD = struct.Struct(">BHBBI")
"""Length in two parts, type, flags, stream."""
_SETTING = struct.Struct(">HI")
WORD = struct.Struct(">I")
_MOST_REMEMBERED = 1_000
_LONGEST_BLOCK = 65_536

# RFC 7541, appendix A: whole fields and names that every peer knows.
_STATIC_FIELDS = {(":method", "POST"): b"\x83", (":scheme", "http"): b"\x86"}
_STATIC_NAMES = {":authority": b"\x01", ":path": b"\x04", "content-type": b"\x0f\x10"}

_CODES = {code.value[0]: code.name for code in grpc.StatusCode}
# What the gRPC specification says of an answer that is not gRPC's, and of a reset stream.
_BY_HTTP_STATUS = {
    "400": "INTERNAL",
    "401": "UNAUTHENTICATED",
    "403": "PERMISSION_DENIED",
    "404": "UNIMPLEMENTED",
    "429": "UNAVAILABLE",
    "502": "UNAVAILABLE",
    "503": "UNAVAILABLE",
    "504": "UNAVAILABLE",
}
_BY_RESET = {
    CANCEL: "CANCELLED",
    REFUSED_STREAM: "UNAVAILABLE",
    ENHANCE_YOUR_CALM: "RESOURCE_EXHAUSTED",
}


class ConnectionFault(Exception):
    """The peer broke the protocol; the connection ends with this HTTP/2 error code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def head(kind: int, flags: int, length: int) -> bytes:
    """The first five bytes of a frame: everything before the stream's number."""
    return HEAD.pack(length >> 16, length & 0xFFFF, kind, flags, 0)[:5]


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A whole frame."""
    return head(kind, flags, len(payload)) + WORD.pack(stream) + payload


def settings(values: Iterable[tuple[int, int]]) -> bytes:
    """A SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*each) for each in values))


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """The identifiers and values of a SETTINGS frame."""
    if len(payload) % _SETTING.size:
        raise ConnectionFault(FRAME_SIZE_ERROR, "SETTINGS of a wrong length")
    return list(_SETTING.iter_unpack(payload))


def window_update(stream: int, increment: int) -> bytes:
    """A WINDOW_UPDATE frame."""
    return frame(WINDOW_UPDATE, 0, stream, WORD.pack(increment))


def reset(stream: int, code: int) -> bytes:
    """An RST_STREAM frame."""
    return frame(RST_STREAM, 0, stream, WORD.pack(code))


def goaway(code: int) -> bytes:
    """A GOAWAY frame of a client, which was never pushed a stream."""
    return frame(GOAWAY, 0, 0, WORD.pack(0) + WORD.pack(code))


def read_word(payload: bytes) -> int:
    """The one number of a WINDOW_UPDATE or an RST_STREAM."""
    if len(payload) != WORD.size:
        raise ConnectionFault(FRAME_SIZE_ERROR, "a frame of a wrong length")
    return int(WORD.unpack(payload)[0])


def content(flags: int, payload: bytes) -> bytes:
    """What is left of DATA or HEADERS without padding and priority.

    The flag of a priority means nothing on DATA, where it must not be set.
    """
    begin, end = 0, len(payload)
    if flags & PADDED:
        if not payload or payload[0] >= len(payload):
            raise ConnectionFault(PROTOCOL_ERROR, "more padding than payload")
        begin, end = 1, len(payload) - payload[0]
    if flags & HAS_PRIORITY:
        begin += 5
    if begin > end:
        raise ConnectionFault(PROTOCOL_ERROR, "a frame too short for its flags")
    return payload[begin:end]


def _text(value: str) -> bytes:
    # A string without Huffman's code: its length as an integer with a prefix of seven bits.
    raw = value.encode("ascii")
    if len(raw) < 127:
        return bytes((len(raw),)) + raw
    rest, length = len(raw) - 127, b"\x7f"
    while rest >= 128:
        length += bytes((rest % 128 + 128,))
        rest //= 128
    return length + bytes((rest,)) + raw


def header_block(fields: Iterable[tuple[str, str]]) -> bytes:
    """A header block that leaves the peer's dynamic table alone."""
    block = b""
    for name, value in fields:
        known = _STATIC_FIELDS.get((name, value))
        block += known or _STATIC_NAMES.get(name, b"\x00" + _text(name)) + _text(value)
    return block


def request_block(path: str, authority: str, timeout: float) -> bytes:
    """The header block of a gRPC call that must be answered within `timeout` seconds, or ever."""
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    ]
    if timeout < math.inf:
        milliseconds = min(max(1, round(timeout * 1e3)), 99_999_999)
        fields.append(("grpc-timeout", f"{milliseconds}m"))
    block = header_block(fields)
    if len(block) > SMALLEST_MAX_FRAME_SIZE:
        raise ValueError("the header block does not fit one frame")
    return block


def code_of_reset(error: int) -> str:
    """The gRPC code of a call whose stream the peer reset with this HTTP/2 error code."""
    return _BY_RESET.get(error, "INTERNAL")


class Block(NamedTuple):
    """What a client needs of a response's header block."""

    code: str
    """The name of the gRPC code; empty without one."""
    http_code: str
    """The name of the gRPC code that stands for the HTTP status; empty without one."""
    details: bytes
    """`grpc-status-details-bin`."""


def read_block(fields: Iterable[tuple[str, str]]) -> Block:
    """The meaning of decoded header fields."""
    found = dict(fields)
    status, number = found.get(":status"), found.get("grpc-status")
    code = http_code = ""
    if number is not None:
        code = _CODES.get(int(number), "UNKNOWN") if number.isdecimal() else "UNKNOWN"
    if status is not None:
        http_code = _BY_HTTP_STATUS.get(status, "UNKNOWN")
    return Block(code, http_code, _binary(found.get("grpc-status-details-bin", "")))


def _binary(value: str) -> bytes:
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4))
    except binascii.Error:
        return b""


class Blocks:
    """Decodes the header blocks of one connection, each different one once."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._decoder.header_table_size = 0
        self._decoder.max_allowed_table_size = 0
        self._known: dict[bytes, Block] = {}

    def decode(self, block: bytes) -> Block:
        """The meaning of a whole header block."""
        found = self._known.get(block)
        if found is None:
            try:
                fields = self._decoder.decode(block)
            except HPACKError as error:
                raise ConnectionFault(COMPRESSION_ERROR, "a faulty header block") from error
            found = read_block((str(name), str(value)) for name, value in fields)
            # Messages and details may differ from call to call; memory must not grow with them.
            if len(self._known) < _MOST_REMEMBERED:
                self._known[block] = found
        return found


class HeaderFrames:
    """Joins HEADERS and its CONTINUATION frames to a whole block."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._stream = self._flags = self._length = 0

    def check(self, kind: int, stream: int) -> None:
        """Nothing may come between the frames of one block."""
        if bool(self._parts) != (kind == CONTINUATION) or (self._parts and stream != self._stream):
            raise ConnectionFault(PROTOCOL_ERROR, "a header block was interrupted")

    def add(self, kind: int, flags: int, stream: int, payload: bytes) -> tuple[int, bytes] | None:
        """The flags of HEADERS and the whole block, once it is whole."""
        if kind == HEADERS:
            payload = content(flags, payload)
            if flags & END_HEADERS:
                return flags, payload
            self._parts, self._stream, self._flags = [payload], stream, flags
            self._length = len(payload)
            return None
        self._parts.append(payload)
        self._length += len(payload)
        # Empty frames without an end count too.
        if self._length + len(self._parts) > _LONGEST_BLOCK:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "a header block without an end")
        if not flags & END_HEADERS:
            return None
        block, self._parts = b"".join(self._parts), []
        return self._flags, block
