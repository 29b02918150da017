"""Header blocks of calls: requests read, answers written. Pure.

Requests are read by the `hpack` package. We ask clients not to index (a table of no size): while
the table is empty the same block always means the same, and the calls of one client have few
different blocks, so that most are found in a dictionary. Answers use no table either: most are
constants.
"""

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import hpack

MAX_LIST_BYTES = 16_384
"""Of a call's fields, as HTTP/2 counts them. What is larger is refused."""
MOST_LIST_BYTES = 4 * MAX_LIST_BYTES
"""What is not even read: the connection is over."""
_FIELD_COST = 32
_MAX_KNOWN = 256
_MAX_KNOWN_BYTES = 1_024
# Two are allowed at a block's begin (RFC 7541, 4.2); each costs more work than bytes.
_RESIZES = re.compile(rb"(?:[\x20-\x3e]|\x3f[\x80-\xff]*[\0-\x7f]){3}")
_NAME = re.compile(rb"[!-9;-@\[-~]+")
_VALUE = re.compile(rb"[^\0\r\n]*")
_TIMEOUT = re.compile(r"[0-9]{1,8}[HMSmun]")
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_CONTENT_TYPE = re.compile(r"application/grpc(\+proto)?(;.*)?")
_LENGTH = re.compile(r"[0-9]{1,18}")
_HIDDEN = frozenset(("te", "content-type", "content-length", "grpc-timeout", "grpc-encoding"))
_OF_CONNECTIONS = frozenset(
    ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade")
)
_PSEUDO = (":method", ":path", ":scheme", ":authority")

Metadata = Sequence[tuple[str, str | bytes]]
Fields = list[tuple[bytes, bytes]]


class MalformedError(Exception):
    """The block breaks HTTP/2's rules: the stream cannot go on."""


class UndecodableError(Exception):
    """The block is no HPACK: the connection cannot go on, its state is lost."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a call begins with. `http_status` is not 200 when it cannot be served as one."""

    path: str
    metadata: tuple[tuple[str, str | bytes], ...]
    timeout: float | None = None
    encoding: str = "identity"
    content_length: int | None = None
    http_status: int = 200


class HeadReader:
    """Reads the blocks of one connection, in their order."""

    def __init__(self) -> None:
        self._decoder = hpack.Decoder(max_header_list_size=MOST_LIST_BYTES)
        self._known: dict[bytes, Head] = {}
        self._table_size = self._decoder.header_table_size

    def empty_table(self) -> None:
        """The peer has agreed to a table of no size."""
        # It should say so in its next block as well; one that never indexes may not know.
        self._decoder.header_table_size = 0
        self._decoder.max_allowed_table_size = 0

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

    def fields(self, block: bytes) -> Fields:
        """The fields of a block; also of one that nobody needs, for the decoder's sake.

        Raises:
            UndecodableError: see `read`.

        """
        if _RESIZES.match(block):
            raise UndecodableError("resizes")
        try:
            return [(field[0], field[1]) for field in self._decoder.decode(block, raw=True)]
        except hpack.HPACKError as error:
            # Its text quotes the block.
            raise UndecodableError(type(error).__name__) from None


def check_trailers(fields: Fields) -> None:
    """Looks at what a request ends with; gRPC has no use for it.

    Raises:
        MalformedError: the stream is to be reset.

    """
    for name, value in fields:
        _plain(name, value)


def _head(fields: Fields) -> Head:
    pseudo: dict[str, str] = {}
    plain: list[tuple[str, str]] = []
    size = 0
    for raw_name, raw_value in fields:
        size += len(raw_name) + len(raw_value) + _FIELD_COST
        if not raw_name.startswith(b":"):
            plain.append(_plain(raw_name, raw_value))
            continue
        name = raw_name.decode("ascii", "replace")
        if plain or name in pseudo or name not in _PSEUDO:
            raise MalformedError("pseudo-header out of place")
        pseudo[name] = _text_of(raw_value)
    if not {":method", ":path", ":scheme"} <= pseudo.keys() or not pseudo[":path"]:
        raise MalformedError("pseudo-header missing")
    if size > MAX_LIST_BYTES:
        return Head("", (), http_status=431)
    return _grpc(pseudo, plain)


def _plain(raw_name: bytes, raw_value: bytes) -> tuple[str, str]:
    if not _NAME.fullmatch(raw_name):
        raise MalformedError("field name")
    name = raw_name.decode("ascii")
    # gRPC lets its clients put spaces around values, HTTP/2 does not.
    value = _text_of(raw_value.strip(b" \t"))
    if name in _OF_CONNECTIONS or (name == "te" and value != "trailers"):
        raise MalformedError("field of HTTP/1.1 connections")
    return name, value


def _text_of(raw: bytes) -> str:
    if not _VALUE.fullmatch(raw):
        raise MalformedError("field value")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedError("field is not text") from None


def _grpc(pseudo: dict[str, str], plain: list[tuple[str, str]]) -> Head:
    path = pseudo[":path"]
    first: dict[str, str] = {}
    for name, value in plain:
        first.setdefault(name, value)
    if pseudo[":method"] != "POST":
        return Head(path, (), http_status=405)
    if not _CONTENT_TYPE.fullmatch(first.get("content-type", "")):
        return Head(path, (), http_status=415)
    try:
        return Head(
            path,
            tuple(_metadata(plain)),
            _timeout(first.get("grpc-timeout")),
            first.get("grpc-encoding", "identity"),
            _length(first.get("content-length")),
        )
    except ValueError:
        return Head(path, (), http_status=400)


def _timeout(text: str | None) -> float | None:
    if text is None:
        return None
    if not _TIMEOUT.fullmatch(text):
        raise ValueError("grpc-timeout")
    return int(text[:-1]) * _UNITS[text[-1]]


def _length(text: str | None) -> int | None:
    if text is None:
        return None
    if not _LENGTH.fullmatch(text):
        raise ValueError("content-length")
    return int(text)


def _metadata(plain: list[tuple[str, str]]) -> Iterable[tuple[str, str | bytes]]:
    for name, value in plain:
        if name in _HIDDEN:
            continue
        if not name.endswith("-bin"):
            yield name, value
            continue
        for part in value.split(","):
            text = part.strip()
            yield name, base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


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
"""Of a status, as it is sent: more than clients take would cost them the status."""
_AS_IT_IS = " !\"#$&'()*+,/:;<=>?@[\\]^`{|}"


def trailers(code: int, text: str, metadata: Metadata = (), *, is_only: bool = False) -> bytes:
    """The block that a call ends with; `is_only`: nothing was sent before."""
    block = RESPONSE if is_only else b""
    block += _field("grpc-status", str(code).encode("ascii"))
    if text:
        block += _field("grpc-message", _percent(text).encode("ascii"))
    for name, value in metadata:
        if isinstance(value, bytes):
            value = base64.b64encode(value).rstrip(b"=").decode("ascii")
        block += _field(name, value.encode("utf-8"))
    return block


def _percent(text: str) -> str:
    """Percent-encoding as the gRPC protocol wants it: printable ASCII stays, but for "%"."""
    cut = text[:MAX_TEXT]
    safe = quote(cut, safe=_AS_IT_IS, errors="replace")
    while len(safe) > MAX_TEXT:
        cut = cut[: len(cut) * 3 // 4]
        safe = quote(cut, safe=_AS_IT_IS, errors="replace")
    return safe


def http_status(status: int) -> bytes:
    """The block that refuses what is no gRPC call."""
    return _field(":status", str(status).encode("ascii"))
