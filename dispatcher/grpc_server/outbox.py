"""What is to be sent on a connection, within the windows of its peer (RFC 9113, 5.2). Pure."""

from collections import deque
from collections.abc import Iterable

from dispatcher.grpc_server import frames
from dispatcher.grpc_server.frames import Code
from dispatcher.grpc_server.messages import MessageReader, framed


class FatalError(Exception):
    """The peer broke a rule of the whole connection."""

    def __init__(self, code: Code, text: str) -> None:
        self.code = code
        super().__init__(text)


class Stream:
    """One call of a connection."""

    __slots__ = (
        *("ending", "is_closed_by_peer", "is_open", "left", "number", "owed", "reader", "unread"),
        *("waiting", "window"),
    )

    def __init__(self, number: int, reader: MessageReader, window: int, left: int) -> None:
        self.number = number
        self.reader = reader
        self.window = window
        """Bytes that we may send."""
        self.left = left
        """Bytes that the peer may send."""
        self.owed = 0
        """Bytes that came and were not given back to the peer's window."""
        self.unread = 0
        """Bytes of messages that nobody has taken."""
        self.is_open = False
        """Whether our header block was sent."""
        self.is_closed_by_peer = False
        self.waiting: deque[bytes] | None = None
        """Framed messages that the windows keep here."""
        self.ending: bytes | None = None
        """The block that ends the call behind them."""


class Outbox:
    """Frames in the order in which they are to be sent, and what waits for room."""

    def __init__(self, most_control: int) -> None:
        """`most_control`: answers to the peer's control frames that may wait to be sent."""
        self.initial_window = frames.DEFAULT_WINDOW
        self._most_control = most_control
        self._window = frames.DEFAULT_WINDOW
        self._frames: list[bytes] = []
        self._control = 0
        self._blocked: dict[int, Stream] = {}

    def put(self, frame: bytes) -> None:
        """A frame that no window holds back."""
        self._frames.append(frame)

    def answer(self, frame: bytes) -> None:
        """A frame that the peer made us send.

        Raises:
            FatalError: it does not read them.

        """
        self._control += 1
        if self._control > self._most_control:
            raise FatalError(Code.ENHANCE_YOUR_CALM, "too many control frames")
        self._frames.append(frame)

    def take(self) -> bytes:
        """What is to be sent now."""
        out = b"".join(self._frames)
        self._frames.clear()
        self._control = 0
        return out

    @property
    def is_empty(self) -> bool:
        """Whether `take` would give nothing."""
        return not self._frames

    def message(self, stream: Stream, message: bytes) -> bool:
        """Sends a message; False when some of it waits for the peer's windows."""
        data = framed(message)
        size = len(data)
        if (
            stream.waiting is None
            and size <= frames.LEAST_MAX_FRAME
            and size <= stream.window
            and size <= self._window
        ):
            stream.window -= size
            self._window -= size
            self._frames.append(frames.frame(frames.DATA, 0, stream.number, data))
            return True
        if stream.waiting is None:
            stream.waiting = deque()
        stream.waiting.append(data)
        return self._push(stream)

    def forget(self, stream: Stream) -> None:
        """The call is over; what waits is not sent any more."""
        self._blocked.pop(stream.number, None)

    def widen(self, more: int) -> list[Stream]:
        """The peer takes more on the connection; the streams of which nothing waits any more.

        Raises:
            FatalError: a window cannot be so large.

        """
        self._window = _wider(self._window, more)
        return self._unblock()

    def widen_stream(self, stream: Stream, more: int) -> list[Stream]:
        """The peer takes more of a call; see `widen`.

        Raises:
            FatalError: a window cannot be so large.

        """
        stream.window = _wider(stream.window, more)
        return [stream] if stream.waiting and self._push(stream) else []

    def resize(self, size: int, streams: Iterable[Stream]) -> list[Stream]:
        """The peer changes the first window of all calls, those that are open included.

        Raises:
            FatalError: a window cannot be so large.

        """
        if size > frames.MOST_WINDOW:
            raise FatalError(Code.FLOW_CONTROL_ERROR, f"INITIAL_WINDOW_SIZE of {size}")
        more = size - self.initial_window
        self.initial_window = size
        for stream in streams:
            # It may fall below zero: nothing is sent until it is above again (6.9.2).
            stream.window += more
            if stream.window > frames.MOST_WINDOW:
                raise FatalError(Code.FLOW_CONTROL_ERROR, f"INITIAL_WINDOW_SIZE of {size}")
        return self._unblock()

    def _unblock(self) -> list[Stream]:
        done = []
        for stream in tuple(self._blocked.values()):
            if self._window <= 0:
                break
            # Who got something and still waits goes to the end of the queue.
            del self._blocked[stream.number]
            if self._push(stream):
                done.append(stream)
        return done

    def _push(self, stream: Stream) -> bool:
        """Sends as much of what waits as the windows allow; whether that is all."""
        waiting = stream.waiting
        assert waiting is not None
        while waiting:
            room = min(stream.window, self._window, frames.LEAST_MAX_FRAME)
            if room <= 0:
                self._blocked[stream.number] = stream
                return False
            data = waiting.popleft()
            if len(data) > room:
                waiting.appendleft(data[room:])
                data = data[:room]
            stream.window -= len(data)
            self._window -= len(data)
            self._frames.append(frames.frame(frames.DATA, 0, stream.number, data))
        stream.waiting = None
        self._blocked.pop(stream.number, None)
        return True


def _wider(window: int, more: int) -> int:
    if not more:
        raise FatalError(Code.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
    if window + more > frames.MOST_WINDOW:
        raise FatalError(Code.FLOW_CONTROL_ERROR, f"WINDOW_UPDATE of {more}")
    return window + more
