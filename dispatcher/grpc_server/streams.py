"""What one connection may have, and one call of it as both directions see it."""

from collections import deque
from dataclasses import dataclass

from dispatcher.grpc_server.messages import MessageReader


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may have; no window may be smaller than HTTP/2's first, 65,535."""

    streams: int = 10_000
    """Calls at a time; also servicers at a time, those included whose calls are over."""
    stream_window: int = 256 * 1024
    """Bytes of one stream on their way; more wait until what came was taken."""
    window: int = 4 * 1024 * 1024
    max_frame: int = 256 * 1024
    incomplete_bytes: int = 32 * 1024 * 1024
    """Of messages that have begun and not ended and need more than one window; as much again of
    the others."""
    unread_bytes: int = 16 * 1024 * 1024
    """Of all messages that nobody has taken; beyond that the peer may send no more."""
    control_frames: int = 10_000
    """Answers to pings, settings and faults that wait to be sent."""


class Stream:
    """One call of a connection."""

    __slots__ = (
        *("ending", "expected", "is_closed_by_peer", "is_open", "left", "number", "owed"),
        *("reader", "reserved", "unread", "waiting", "widened"),
    )

    def __init__(
        self, number: int, reader: MessageReader, left: int, expected: int | None = None
    ) -> None:
        self.number = number
        self.reader = reader
        self.left = left
        """Bytes that the peer may send."""
        self.expected = expected
        """Bytes that are to come by the head's content-length; None: it has none."""
        self.owed = 0
        """Bytes that came and were not given back to the peer's window."""
        self.unread = 0
        """What messages weigh that nobody has taken."""
        self.reserved = 0
        """Bytes of a message larger than a window, for which there is room."""
        self.is_closed_by_peer = False
        self.is_open = False
        """Whether our header block was sent."""
        self.widened = 0
        """Bytes that we may send beyond the first window of all calls; may be negative."""
        self.waiting: deque[memoryview] | None = None
        """Framed messages that the windows keep here."""
        self.ending: bytes | None = None
        """The block that ends the call behind them."""
