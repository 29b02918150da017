"""gRPC's framing of messages inside a stream: a flag, a length, the message. Pure.

See the section "Length-Prefixed-Message" of gRPC over HTTP/2.
"""

import zlib
from struct import Struct

_PREFIX = Struct(">BI")
PREFIX_BYTES = 5
_WINDOW_BITS = {"gzip": 31, "deflate": 15}
ENCODINGS = ("identity", *_WINDOW_BITS)
"""What can be read; answers are never compressed: they are small or hashes."""


class MessageError(Exception):
    """A message that cannot be taken. `is_too_large`: else it is malformed."""

    def __init__(self, text: str, *, is_too_large: bool = False) -> None:
        self.is_too_large = is_too_large
        super().__init__(text)


def framed(message: bytes) -> bytes:
    """A message as it goes into a stream."""
    return _PREFIX.pack(0, len(message)) + message


class MessageReader:
    """Cuts a stream's bytes into messages of at most `most` bytes."""

    __slots__ = ("_encoding", "_is_deaf", "_most", "_rest")

    def __init__(self, most: int, encoding: str) -> None:
        self._most = most
        self._encoding = encoding
        self._rest: bytearray | None = None
        self._is_deaf = False

    @property
    def held(self) -> int:
        """Bytes of a message that is not complete."""
        return 0 if self._rest is None else len(self._rest)

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete now; none any more after an error.

        Raises:
            MessageError: one is larger than allowed, or its compression is unknown or broken.

        """
        if self._is_deaf:
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
            self._is_deaf = True
            self._rest = None
            raise

    def _cut(self, rest: bytearray) -> list[bytes]:
        found = []
        at = 0
        while len(rest) - at >= PREFIX_BYTES:
            flag, size = _PREFIX.unpack_from(rest, at)
            if size > self._most:
                raise MessageError(
                    f"message of {size} bytes; send at most {self._most}", is_too_large=True
                )
            end = at + PREFIX_BYTES + size
            if len(rest) < end:
                break
            message = bytes(rest[at + PREFIX_BYTES : end])
            found.append(self._plain(message) if flag else message)
            at = end
        if at == len(rest):
            self._rest = None
        else:
            del rest[:at]
        return found

    def _plain(self, message: bytes) -> bytes:
        bits = _WINDOW_BITS.get(self._encoding)
        if bits is None:
            raise MessageError(f"compressed message without a known encoding: {self._encoding!r}")
        inflater = zlib.decompressobj(bits)
        try:
            # Never more than is allowed: a few bytes can become gigabytes.
            plain = inflater.decompress(message, self._most + 1)
        except zlib.error:
            raise MessageError(f"message is not {self._encoding}") from None
        if len(plain) > self._most:
            raise MessageError(
                f"message of more than {self._most} bytes when unpacked; send at most so many",
                is_too_large=True,
            )
        if not inflater.eof:
            raise MessageError(f"message is not {self._encoding}, or cut short")
        return plain
