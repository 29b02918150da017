"""Header blocks of calls: requests read, answers written. Pure.

Requests are read by the `hpack` package. We ask clients not to index (a table of no size): while
the table is empty the same block always means the same, and the calls of one client have few
different blocks, so that most are found in a dictionary. Answers use no table either: most are
constants.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import hpack

MAX_LIST_BYTES = 16_384
_MAX_KNOWN = 256
_MAX_KNOWN_BYTES = 1_024
_TIMEOUT = re.compile(r"\d{1,8}[HMSmun]")
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_CONTENT_TYPE = re.compile(r"application/grpc(\+proto)?(;.*)?")
_HIDDEN = frozenset(("te", "content-type", "grpc-timeout", "grpc-encoding"))
_PSEUDO = (":method", ":path", ":scheme", ":authority")

Metadata = Sequence[tuple[str, str | bytes]]


class MalformedError(Exception):
    """The block breaks HTTP/2's rules: the stream cannot go on."""


class UndecodableError(Exception):
    """The block is no HPACK: the connection cannot go on, its state is lost."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a call begins with. `http_status` is not 200 when this is no gRPC call."""

    path: str
    metadata: tuple[tuple[str, str | bytes], ...]
    timeout: float | None = None
    encoding: str = "identity"
    http_status: int = 200


class HeadReader:
    """Reads the blocks of one connection, in their order."""

    def __init__(self) -> None:
        self._decoder = hpack.Decoder(max_header_list_size=MAX_LIST_BYTES)
        self._known: dict[bytes, Head] = {}
        self._table_size = self._decoder.header_table_size

    def read(self, block: bytes) -> Head:
        """The head of a call.

        Raises:
            MalformedError: the stream is to be reset.
            UndecodableError: the connection is to be closed.

        """
        decoder = self._decoder
        if decoder.header_table_size != self._table_size:
            self._known.clear()
            self._table_size = decoder.header_table_size
        # With an empty table a block says the same whatever came before it.
        was_empty = not decoder.header_table.dynamic_entries
        if was_empty and (head := self._known.get(block)) is not None:
            return head
        head = _head(self.fields(block))
        is_empty = was_empty and not decoder.header_table.dynamic_entries
        is_same = decoder.header_table_size == self._table_size
        if is_empty and is_same and len(block) <= _MAX_KNOWN_BYTES:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[block] = head
        return head

    def fields(self, block: bytes) -> list[tuple[bytes, bytes]]:
        """The fields of a block; also of one that nobody needs, for the decoder's sake.

        Raises:
            UndecodableError: see `read`.

        """
        try:
            return [(field[0], field[1]) for field in self._decoder.decode(block, raw=True)]
        except hpack.HPACKError as error:
            raise UndecodableError(type(error).__name__) from None


def _head(fields: Iterable[tuple[bytes, bytes]]) -> Head:
    pseudo: dict[str, str] = {}
    plain: list[tuple[str, str]] = []
    for raw_name, raw_value in fields:
        try:
            name, value = raw_name.decode("ascii"), raw_value.decode("utf-8")
        except UnicodeDecodeError:
            raise MalformedError("field is not text") from None
        if name.startswith(":"):
            if plain or name in pseudo or name not in _PSEUDO:
                raise MalformedError("pseudo-header out of place")
            pseudo[name] = value
        elif not name or name != name.lower() or name == "connection":
            raise MalformedError("field name")
        else:
            plain.append((name, value))
    if not {":method", ":path", ":scheme"} <= pseudo.keys():
        raise MalformedError("pseudo-header missing")
    return _grpc(pseudo, plain)


def _grpc(pseudo: dict[str, str], plain: list[tuple[str, str]]) -> Head:
    path = pseudo[":path"]
    first: dict[str, str] = {}
    for name, value in plain:
        first.setdefault(name, value)
    if pseudo[":method"] != "POST":
        return Head(path, (), http_status=405)
    if not _CONTENT_TYPE.fullmatch(first.get("content-type", "")):
        return Head(path, (), http_status=415)
    timeout = None
    if (text := first.get("grpc-timeout")) is not None:
        if not _TIMEOUT.fullmatch(text):
            raise MalformedError("grpc-timeout")
        timeout = int(text[:-1]) * _UNITS[text[-1]]
    metadata = tuple(
        pair
        for name, value in plain
        if name not in _HIDDEN
        for pair in ([(name, value)] if not name.endswith("-bin") else _binary(name, value))
    )
    return Head(path, metadata, timeout, first.get("grpc-encoding", "identity"))


def _binary(name: str, value: str) -> Iterable[tuple[str, bytes]]:
    for part in value.split(","):
        text = part.strip()
        try:
            yield name, base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except binascii.Error:
            raise MalformedError("metadata is not base64") from None


# -- answers ---------------------------------------------------------------------------------------


def _text(text: bytes) -> bytes:
    """A string literal without Huffman's code; see RFC 7541, 5.2."""
    length = len(text)
    if length < 0x7F:
        return bytes((length,)) + text
    size = bytearray((0x7F,))
    length -= 0x7F
    while length >= 0x80:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    size.append(length)
    return bytes(size) + text


def _field(name: str, value: bytes) -> bytes:
    return b"\x00" + _text(name.encode("ascii")) + _text(value)


_STATUS_200 = b"\x88"
RESPONSE = (
    _STATUS_200
    + _field("content-type", b"application/grpc")
    + _field("grpc-accept-encoding", b"identity,deflate,gzip")
)
"""The block that an answer with messages begins with."""
OK = _field("grpc-status", b"0")
"""The block that a call without a fault ends with."""
MAX_TEXT = 4_096


def trailers(code: int, text: str, metadata: Metadata = (), *, is_only: bool = False) -> bytes:
    """The block that a call ends with; `is_only`: nothing was sent before."""
    block = RESPONSE if is_only else b""
    block += _field("grpc-status", str(code).encode("ascii"))
    if text:
        # Percent-encoding as the gRPC protocol wants it: printable ASCII stays, but for "%".
        safe = quote(text[:MAX_TEXT], safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}")
        block += _field("grpc-message", safe.encode("ascii"))
    for name, value in metadata:
        if isinstance(value, bytes):
            value = base64.b64encode(value).rstrip(b"=").decode("ascii")
        block += _field(name, value.encode("utf-8"))
    return block


def http_status(status: int) -> bytes:
    """The block that refuses what is no gRPC call."""
    return _field(":status", str(status).encode("ascii"))
