"""gRPC's framing of messages inside a stream: a flag, a length, the message. Pure.

See the section "Length-Prefixed-Message" of gRPC over HTTP/2.
"""

import zlib
from enum import IntEnum
from struct import Struct

_PREFIX = Struct(">BI")
PREFIX_BYTES = 5
_WINDOW_BITS = {"gzip": 31, "deflate": 15}


class Fault(IntEnum):
    """Why a message cannot be taken, as gRPC's status codes."""

    TOO_LARGE = 8
    UNKNOWN_ENCODING = 12
    MALFORMED = 13


class MessageError(Exception):
    """A message that cannot be taken."""

    def __init__(self, fault: Fault, text: str) -> None:
        self.fault = fault
        super().__init__(text)


class Packed:
    """A compressed message, as it came: it is unpacked when somebody takes it."""

    __slots__ = ("_encoding", "_most", "_raw")

    def __init__(self, raw: bytes, encoding: str, most: int) -> None:
        self._raw = raw
        self._encoding = encoding
        self._most = most

    def __len__(self) -> int:
        return len(self._raw)

    def plain(self) -> bytes:
        """What it says.

        Raises:
            MessageError: it is larger than allowed when it is unpacked, or cannot be.

        """
        inflater = zlib.decompressobj(_WINDOW_BITS[self._encoding])
        try:
            # Never more than is allowed: a few bytes can become gigabytes.
            plain = inflater.decompress(self._raw, self._most + 1)
        except zlib.error:
            raise MessageError(Fault.MALFORMED, f"message is not {self._encoding}") from None
        if len(plain) > self._most:
            text = f"message of more bytes than allowed when unpacked; send at most {self._most}"
            raise MessageError(Fault.TOO_LARGE, text)
        if not inflater.eof or inflater.unused_data:
            raise MessageError(Fault.MALFORMED, f"message is not one whole {self._encoding}")
        return plain


Message = bytes | Packed


def framed(message: bytes) -> bytes:
    """A message as it goes into a stream."""
    return _PREFIX.pack(0, len(message)) + message


class MessageReader:
    """Cuts a stream's bytes into messages of at most `most` bytes."""

    __slots__ = ("_encoding", "_is_deaf", "_most", "_rest", "wanted")

    def __init__(self, most: int, encoding: str) -> None:
        self._most = most
        self._encoding = encoding
        self._rest: bytearray | None = None
        self._is_deaf = False
        self.wanted = 0
        """Bytes of the message that is not complete, as far as that is known."""

    @property
    def held(self) -> int:
        """Bytes of a message that is not complete."""
        return 0 if self._rest is None else len(self._rest)

    def stop(self) -> None:
        """Takes nothing more."""
        self._is_deaf = True
        self._rest = None
        self.wanted = 0

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are complete now; none any more after an error.

        Raises:
            MessageError: one is larger than allowed, or its compression is unknown.

        """
        if self._is_deaf or not data:
            return []
        if self._rest is None:
            size = len(data) - PREFIX_BYTES
            # One frame, one message: the usual case.
            if size >= 0 and not data[0] and int.from_bytes(data[1:5], "big") == size <= self._most:
                return [data[PREFIX_BYTES:]]
            self._rest = bytearray()
        self._rest += data
        try:
            return self._cut(self._rest)
        except MessageError:
            self.stop()
            raise

    def _cut(self, rest: bytearray) -> list[Message]:
        found: list[Message] = []
        at = self.wanted = 0
        while len(rest) - at >= PREFIX_BYTES:
            flag, size = _PREFIX.unpack_from(rest, at)
            self._check(flag, size)
            end = at + PREFIX_BYTES + size
            if len(rest) < end:
                self.wanted = end - at
                break
            message = bytes(memoryview(rest)[at + PREFIX_BYTES : end])
            found.append(Packed(message, self._encoding, self._most) if flag else message)
            at = end
        if at == len(rest):
            self._rest = None
        else:
            del rest[:at]
        return found

    def _check(self, flag: int, size: int) -> None:
        if flag > 1:
            raise MessageError(Fault.MALFORMED, "not gRPC's framing of messages")
        if size > self._most:
            raise MessageError(
                Fault.TOO_LARGE, f"message of {size} bytes; send at most {self._most}"
            )
        if flag and self._encoding == "identity":
            raise MessageError(Fault.MALFORMED, "compressed message without grpc-encoding")
        if flag and self._encoding not in _WINDOW_BITS:
            raise MessageError(
                Fault.UNKNOWN_ENCODING, "unknown grpc-encoding; send gzip, deflate or identity"
            )
