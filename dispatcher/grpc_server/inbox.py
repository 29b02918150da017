"""What has come on a connection and not been taken, and the windows that say so to its peer. Pure.

A peer may send while what it sent is read; it waits when a servicer is behind, and when messages
larger than a window would together be too much: those come to their ends one after another.
"""

from collections.abc import Callable

from dispatcher.grpc_server import frames
from dispatcher.grpc_server.frames import Code, FatalError
from dispatcher.grpc_server.messages import Message
from dispatcher.grpc_server.streams import Limits, Stream

MESSAGE_COST = 64
"""What a message weighs beyond its bytes: a million empty ones are not free."""


class Inbox:
    """Counts for one connection. `put` takes frames that are to be sent."""

    def __init__(self, limits: Limits, put: Callable[[bytes], None]) -> None:
        self._limits = limits
        self._put = put
        self._left = limits.window
        self._owed = 0
        self._growing: dict[int, Stream] = {}
        self.unread = 0
        """What messages of all calls weigh that nobody has taken."""
        self.incomplete = 0
        """Bytes of messages of all calls that have begun and not ended."""
        self.reserved = 0
        """Of those, and to come, of messages larger than a window."""

    def came(self, size: int) -> None:
        """Bytes of DATA, whatever their stream.

        Raises:
            FatalError: the peer was not allowed to send them.

        """
        self._left -= size
        if self._left < 0:
            raise FatalError(Code.FLOW_CONTROL_ERROR, "more than the connection's window")
        self._owed += size
        if self._owed >= self._limits.window >> 2:
            self._give_back()

    def read(self, stream: Stream, change: int, messages: list[Message]) -> bool:
        """A stream holds so many bytes more, and gave messages; False: it holds too much."""
        self.incomplete += change
        if messages:
            weight = sum(map(len, messages)) + MESSAGE_COST * len(messages)
            stream.unread += weight
            self.unread += weight
            if stream.reserved:
                self._release(stream)
        return change <= 0 or self.incomplete <= 2 * self._limits.incomplete_bytes

    def taken(self, stream: Stream, size: int) -> None:
        """Somebody has a message of that many bytes now."""
        stream.unread -= size + MESSAGE_COST
        self.unread -= size + MESSAGE_COST
        self.give_back(stream)
        self._give_back()

    def give_back(self, stream: Stream) -> None:
        """Lets the peer send as much again of a call, when it is time to."""
        window = self._limits.stream_window
        if stream.owed < window >> 2 or stream.unread > window >> 1 or stream.is_closed_by_peer:
            return
        if stream.reader.wanted <= window or stream.reserved or self._reserve(stream):
            self._put(frames.window_update(stream.number, stream.owed))
            stream.left += stream.owed
            stream.owed = 0

    def forget(self, stream: Stream) -> None:
        """The call is over."""
        self.unread -= stream.unread
        self.incomplete -= stream.reader.held
        self._growing.pop(stream.number, None)
        if stream.reserved:
            self._release(stream)
        self._give_back()

    def _give_back(self) -> None:
        if self._owed >= self._limits.window >> 2 and self.unread <= self._limits.unread_bytes:
            self._put(frames.window_update(0, self._owed))
            self._left += self._owed
            self._owed = 0

    def _reserve(self, stream: Stream) -> bool:
        wanted = stream.reader.wanted
        if self.reserved and self.reserved + wanted > self._limits.incomplete_bytes:
            self._growing[stream.number] = stream
            return False
        stream.reserved = wanted
        self.reserved += wanted
        return True

    def _release(self, stream: Stream) -> None:
        self.reserved -= stream.reserved
        stream.reserved = 0
        for waiting in tuple(self._growing.values()):
            if not self._reserve(waiting):
                break
            del self._growing[waiting.number]
            self.give_back(waiting)
