"""What is to be sent on a connection, within the windows of its peer (RFC 9113, 5.2). Pure."""

from collections import deque
from collections.abc import Iterable

from dispatcher.grpc_server import frames
from dispatcher.grpc_server.frames import Code, FatalError
from dispatcher.grpc_server.messages import framed
from dispatcher.grpc_server.streams import Stream


class Outbox:
    """Frames in the order in which they are to be sent, and what waits for room."""

    def __init__(self, most_control: int) -> None:
        """`most_control`: answers to the peer's control frames that may wait to be sent."""
        self._first_window = frames.DEFAULT_WINDOW
        self._most_widened = 0
        self._most_control = most_control
        self._window = frames.DEFAULT_WINDOW
        self._frames: list[bytes] = []
        self._control = 0
        # Apart, so that a window that opens costs nothing for those that it does not help.
        self._queued: dict[int, Stream] = {}
        self._starved: dict[int, Stream] = {}

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
            and size <= stream.widened + self._first_window
            and size <= self._window
        ):
            stream.widened -= size
            self._window -= size
            self._frames.append(frames.frame(frames.DATA, 0, stream.number, data))
            return True
        if stream.waiting is None:
            stream.waiting = deque()
        # A view: what a window lets through is cut off without copying the rest.
        stream.waiting.append(memoryview(data))
        return self._push(stream)

    def forget(self, stream: Stream) -> None:
        """The call is over; what waits is not sent any more."""
        self._queued.pop(stream.number, None)
        self._starved.pop(stream.number, None)

    def clear(self) -> None:
        """All calls are over."""
        self._queued.clear()
        self._starved.clear()

    def widen(self, more: int) -> list[Stream]:
        """The peer takes more on the connection; the streams of which nothing waits any more.

        Raises:
            FatalError: a window cannot be so large.

        """
        self._window = _wider(self._window, more)
        done = []
        for stream in tuple(self._queued.values()):
            if self._window <= 0:
                break
            # Who got something and still waits goes to the end of the queue.
            del self._queued[stream.number]
            if self._push(stream):
                done.append(stream)
        return done

    def widen_stream(self, stream: Stream, more: int) -> list[Stream]:
        """The peer takes more of a call; see `widen`.

        Raises:
            FatalError: a window cannot be so large.

        """
        first = self._first_window
        stream.widened = _wider(stream.widened + first, more) - first
        self._most_widened = max(self._most_widened, stream.widened)
        if stream.number not in self._starved:
            return []
        return [stream] if self._push(stream) else []

    def resize(self, size: int, streams: Iterable[Stream]) -> None:
        """The peer changes the first window of all calls, those that are open included.

        Windows may fall below zero: nothing is sent until they are above again (6.9.2).

        Raises:
            FatalError: a window cannot be so large.

        """
        if size + self._most_widened > frames.MOST_WINDOW:
            self._most_widened = max((stream.widened for stream in streams), default=0)
        if size + max(0, self._most_widened) > frames.MOST_WINDOW:
            raise FatalError(Code.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE too large")
        self._first_window = size

    def resume(self) -> list[Stream]:
        """After `resize`: the streams of which nothing waits any more."""
        return [
            stream
            for stream in tuple(self._starved.values())
            if stream.widened + self._first_window > 0 and self._push(stream)
        ]

    def _push(self, stream: Stream) -> bool:
        """Sends as much of what waits as the windows allow; whether that is all."""
        waiting = stream.waiting
        assert waiting is not None
        number = stream.number
        self._starved.pop(number, None)
        while waiting:
            own = stream.widened + self._first_window
            room = min(own, self._window, frames.LEAST_MAX_FRAME)
            if room <= 0:
                (self._starved if own <= 0 else self._queued)[number] = stream
                return False
            data = waiting.popleft()
            if len(data) > room:
                waiting.appendleft(data[room:])
                data = data[:room]
            stream.widened -= len(data)
            self._window -= len(data)
            self._frames.append(frames.frame(frames.DATA, 0, number, data))
        stream.waiting = None
        self._queued.pop(number, None)
        return True


def _wider(window: int, more: int) -> int:
    if not more:
        raise FatalError(Code.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
    if window + more > frames.MOST_WINDOW:
        raise FatalError(Code.FLOW_CONTROL_ERROR, "WINDOW_UPDATE too large")
    return window + more
