"""HTTP/2 frames (RFC 9113, section 4 and 6): names, numbers and builders. Pure."""

from enum import IntEnum
from struct import Struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_BYTES = 9
# What a receiver must be able to take, and what is sent at most.
LEAST_MAX_FRAME = 16_384
MOST_MAX_FRAME = 16_777_215
DEFAULT_WINDOW = 65_535
MOST_WINDOW = 2_147_483_647

HEAD = Struct(">HBBBI")
"""Length in two parts (16 and 8 bits), type, flags, stream."""
_SETTING = Struct(">HI")
_WORD = Struct(">I")
_TWO_WORDS = Struct(">II")

DATA = 0
HEADERS = 1
PRIORITY = 2
RST_STREAM = 3
SETTINGS = 4
PUSH_PROMISE = 5
PING = 6
GOAWAY = 7
WINDOW_UPDATE = 8
CONTINUATION = 9

ACK = 0x1
END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITIZED = 0x20


class Setting(IntEnum):
    """Section 6.5.2."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class Code(IntEnum):
    """Error codes, section 7."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class FatalError(Exception):
    """The peer broke a rule of the whole connection."""

    def __init__(self, code: Code, text: str) -> None:
        self.code = code
        super().__init__(text)


def frame(kind: int, flags: int, stream: int, payload: bytes | memoryview = b"") -> bytes:
    """Any frame."""
    length = len(payload)
    return HEAD.pack(length >> 8, length & 0xFF, kind, flags, stream) + payload


def headers(stream: int, block: bytes, *, is_last: bool = False) -> bytes:
    """A header block, in as many frames as it needs; `is_last`: it ends the stream."""
    flags = END_STREAM if is_last else 0
    if len(block) <= LEAST_MAX_FRAME:
        return frame(HEADERS, flags | END_HEADERS, stream, block)
    out = [frame(HEADERS, flags, stream, block[:LEAST_MAX_FRAME])]
    for at in range(LEAST_MAX_FRAME, len(block), LEAST_MAX_FRAME):
        end = at + LEAST_MAX_FRAME
        out.append(frame(CONTINUATION, END_HEADERS * (end >= len(block)), stream, block[at:end]))
    return b"".join(out)


def settings(values: dict[Setting, int]) -> bytes:
    """A SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*pair) for pair in values.items()))


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """Pairs of identifier and value; the payload is a multiple of six bytes."""
    return list(_SETTING.iter_unpack(payload))


def window_update(stream: int, more: int) -> bytes:
    """Lets the peer send more bytes; stream 0 is the connection."""
    return frame(WINDOW_UPDATE, 0, stream, _WORD.pack(more))


def reset(stream: int, code: Code) -> bytes:
    """Ends a stream at once."""
    return frame(RST_STREAM, 0, stream, _WORD.pack(code))


def goaway(last: int, code: Code, text: str = "") -> bytes:
    """The last frame of a connection; streams above `last` were not looked at."""
    return frame(GOAWAY, 0, 0, _TWO_WORDS.pack(last, code) + text.encode("ascii", "replace"))


def word(payload: bytes) -> int:
    """The first four bytes without the reserved bit."""
    return int.from_bytes(payload[:4], "big") & 0x7FFF_FFFF


def unpadded(flags: int, payload: bytes) -> bytes | None:
    """The content of a DATA or HEADERS frame; None when the padding is longer than the frame."""
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        return None
    return payload[1 : len(payload) - payload[0]]
