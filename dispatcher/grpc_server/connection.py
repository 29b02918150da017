"""One HTTP/2 connection of a server, as a state machine without I/O (RFC 9113).

Bytes in, events out; what is to be sent gathers until `take`. Nothing here knows time: deadlines,
pings and idleness are the listener's. What a peer may make us hold is bounded: streams, header
blocks, messages that are not complete, answers to control frames.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from dispatcher.grpc_server import frames, heads
from dispatcher.grpc_server.events import (
    Began,
    Broken,
    Came,
    Drained,
    Event,
    Faulted,
    HalfClosed,
    Ponged,
    Reset,
)
from dispatcher.grpc_server.frames import Code, Setting
from dispatcher.grpc_server.heads import HeadReader
from dispatcher.grpc_server.messages import MessageError, MessageReader
from dispatcher.grpc_server.outbox import FatalError, Outbox, Stream


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may have."""

    streams: int = 10_000
    stream_window: int = 256 * 1024
    """Bytes of one stream on their way; more wait until what came was taken."""
    window: int = 16 * 1024 * 1024
    max_frame: int = 256 * 1024
    incomplete_bytes: int = 32 * 1024 * 1024
    """Of all messages that have begun and not ended."""
    unread_bytes: int = 32 * 1024 * 1024
    """Of all messages that nobody has taken; beyond that the peer may send no more."""
    control_frames: int = 10_000
    """Answers to pings, settings and faults that wait to be sent."""


class Connection:
    """See the module. `most` tells how large a message of a path may be."""

    def __init__(self, limits: Limits, most: Callable[[str], int]) -> None:
        self._limits = limits
        self._most = most
        self._heads = HeadReader()
        self._streams: dict[int, Stream] = {}
        self._last = 0
        self._rest = b""
        self._block: tuple[int, int, bytearray] | None = None
        self._has_preface = self._has_settings = False
        self._left = limits.window
        self._owed = 0
        self._unread = 0
        self._incomplete = 0
        self._is_leaving = False
        self.is_broken = False
        self._events: list[Event] = []
        self._outbox = Outbox(limits.control_frames)
        self._outbox.put(
            frames.settings(
                {
                    Setting.HEADER_TABLE_SIZE: 0,
                    Setting.MAX_CONCURRENT_STREAMS: limits.streams,
                    Setting.INITIAL_WINDOW_SIZE: limits.stream_window,
                    Setting.MAX_FRAME_SIZE: limits.max_frame,
                    Setting.MAX_HEADER_LIST_SIZE: heads.MAX_LIST_BYTES,
                }
            )
        )
        self._outbox.put(frames.window_update(0, limits.window - frames.DEFAULT_WINDOW))

    # -- receiving -------------------------------------------------------------------------------

    def receive(self, data: bytes) -> Sequence[Event]:
        """What the bytes mean."""
        if self.is_broken:
            return ()
        self._events = []
        if self._rest:
            data = self._rest + data
            self._rest = b""
        try:
            at = 0 if self._has_preface else self._preface(data)
            if at >= 0:
                self._frames(data, at)
        except FatalError as error:
            self._break(error.code, str(error))
        return self._events

    def _preface(self, data: bytes) -> int:
        size = len(frames.PREFACE)
        if data[:size] != frames.PREFACE[: len(data)]:
            raise FatalError(Code.PROTOCOL_ERROR, "no preface: this port speaks gRPC only")
        if len(data) < size:
            self._rest = data
            return -1
        self._has_preface = True
        return size

    def _frames(self, data: bytes, at: int) -> None:
        end = len(data)
        unpack = frames.HEAD.unpack_from
        while end - at >= 9:
            high, low, kind, flags, stream = unpack(data, at)
            length = high << 8 | low
            if length > self._limits.max_frame:
                raise FatalError(Code.FRAME_SIZE_ERROR, f"frame of {length} bytes")
            begin = at + 9
            if end - begin < length:
                break
            at = begin + length
            stream &= 0x7FFF_FFFF
            if kind == frames.DATA and self._block is None and self._has_settings:
                self._data(flags, stream, data[begin:at])
            else:
                self._other(kind, flags, stream, data[begin:at])
        self._rest = data[at:]

    def _other(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if self._block is not None and (kind != frames.CONTINUATION or stream != self._block[0]):
            raise FatalError(Code.PROTOCOL_ERROR, "header block interrupted")
        if not self._has_settings:
            if kind != frames.SETTINGS or flags & frames.ACK:
                raise FatalError(Code.PROTOCOL_ERROR, "no SETTINGS after the preface")
            self._has_settings = True
        if (act := _ACTS.get(kind)) is not None:
            act(self, flags, stream, payload)

    def _data(self, flags: int, number: int, payload: bytes) -> None:
        size = len(payload)
        self._left -= size
        if self._left < 0:
            raise FatalError(Code.FLOW_CONTROL_ERROR, "more than the connection's window")
        self._owed += size
        if self._owed >= self._limits.window >> 2:
            self._give_back()
        if flags & frames.PADDED:
            payload = _content(flags, payload)
        stream = self._streams.get(number)
        if stream is None:
            self._must_be_past(number)
            return
        stream.left -= size
        if stream.is_closed_by_peer or stream.left < 0:
            is_closed = stream.is_closed_by_peer
            self._fail(stream, Code.STREAM_CLOSED if is_closed else Code.FLOW_CONTROL_ERROR)
            return
        stream.owed += size
        self._read(stream, payload)
        if flags & frames.END_STREAM:
            self._closed_by_peer(stream)
        elif stream.owed >= self._limits.stream_window >> 2:
            self._give_back_stream(stream)

    def _read(self, stream: Stream, payload: bytes) -> None:
        before = stream.reader.held
        try:
            found = stream.reader.feed(payload)
        except MessageError as error:
            found = []
            self._events.append(Faulted(stream.number, error))
        if (held := stream.reader.held) != before:
            self._incomplete += held - before
            if self._incomplete > self._limits.incomplete_bytes:
                raise FatalError(Code.ENHANCE_YOUR_CALM, "too many unfinished messages")
        for message in found:
            stream.unread += len(message)
            self._unread += len(message)
            self._events.append(Came(stream.number, message))

    def _closed_by_peer(self, stream: Stream) -> None:
        stream.is_closed_by_peer = True
        if stream.reader.held:
            self._incomplete -= stream.reader.held
            error = MessageError("message cut short by the end of the stream")
            self._events.append(Faulted(stream.number, error))
        else:
            self._events.append(HalfClosed(stream.number))

    def consumed(self, number: int, size: int) -> None:
        """A message of that many bytes was taken: its room is free again."""
        stream = self._streams.get(number)
        if stream is None:
            return  # counted when the stream went
        stream.unread -= size
        self._unread -= size
        if not stream.is_closed_by_peer and stream.owed >= self._limits.stream_window >> 2:
            self._give_back_stream(stream)
        if self._owed >= self._limits.window >> 2:
            self._give_back()

    def _give_back_stream(self, stream: Stream) -> None:
        if stream.unread:
            return  # the handler is behind: the peer waits with it
        self._outbox.put(frames.window_update(stream.number, stream.owed))
        stream.left += stream.owed
        stream.owed = 0

    def _give_back(self) -> None:
        if self._unread > self._limits.unread_bytes:
            return
        self._outbox.put(frames.window_update(0, self._owed))
        self._left += self._owed
        self._owed = 0

    # -- header blocks ---------------------------------------------------------------------------

    def _headers(self, flags: int, number: int, payload: bytes) -> None:
        content = _content(flags, payload)
        if flags & frames.PRIORITIZED:
            if len(content) < 5:
                raise FatalError(Code.FRAME_SIZE_ERROR, "HEADERS cut short")
            content = content[5:]
        if not number & 1:
            raise FatalError(Code.PROTOCOL_ERROR, "not a client's stream")
        if flags & frames.END_HEADERS:
            self._block_ended(number, flags, content)
        else:
            self._block = number, flags, bytearray(content)

    def _continuation(self, flags: int, number: int, payload: bytes) -> None:
        if self._block is None:
            raise FatalError(Code.PROTOCOL_ERROR, "CONTINUATION of nothing")
        _, first_flags, block = self._block
        block += payload
        # Empty ones, too, must come to an end: each costs work and none costs the peer anything.
        if len(block) > heads.MAX_LIST_BYTES or not payload:
            raise FatalError(Code.ENHANCE_YOUR_CALM, "header block too large")
        if flags & frames.END_HEADERS:
            self._block = None
            self._block_ended(number, first_flags, bytes(block))

    def _block_ended(self, number: int, flags: int, block: bytes) -> None:
        if len(block) > heads.MAX_LIST_BYTES:
            raise FatalError(Code.ENHANCE_YOUR_CALM, "header block too large")
        is_end = bool(flags & frames.END_STREAM)
        try:
            if number <= self._last:
                self._heads.fields(block)
                self._trailers(number, is_end)
                return
            self._last = number
            head = self._heads.read(block)
        except heads.UndecodableError as error:
            raise FatalError(Code.COMPRESSION_ERROR, f"header block: {error}") from None
        except heads.MalformedError:
            self._refuse(number, Code.PROTOCOL_ERROR)
            return
        if self._is_leaving or len(self._streams) >= self._limits.streams:
            self._refuse(number, Code.REFUSED_STREAM)
            return
        if head.http_status != 200:
            self._outbox.answer(
                frames.frame(
                    frames.HEADERS,
                    frames.END_HEADERS | frames.END_STREAM,
                    number,
                    heads.http_status(head.http_status),
                )
            )
            if not is_end:
                self._refuse(number, Code.NO_ERROR)
            return
        reader = MessageReader(self._most(head.path), head.encoding)
        stream = Stream(number, reader, self._outbox.initial_window, self._limits.stream_window)
        self._streams[number] = stream
        self._events.append(Began(number, head))
        if is_end:
            self._closed_by_peer(stream)

    def _trailers(self, number: int, is_end: bool) -> None:
        stream = self._streams.get(number)
        if stream is None:
            return
        if stream.is_closed_by_peer or not is_end:
            self._fail(
                stream, Code.STREAM_CLOSED if stream.is_closed_by_peer else Code.PROTOCOL_ERROR
            )
        else:
            self._closed_by_peer(stream)

    # -- control frames --------------------------------------------------------------------------

    def _settings(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise FatalError(Code.PROTOCOL_ERROR, "SETTINGS of a stream")
        if flags & frames.ACK:
            if payload:
                raise FatalError(Code.FRAME_SIZE_ERROR, "SETTINGS with ACK and values")
            return
        if len(payload) % 6:
            raise FatalError(Code.FRAME_SIZE_ERROR, "SETTINGS cut short")
        for name, value in frames.read_settings(payload):
            if name == Setting.INITIAL_WINDOW_SIZE:
                self._freed(self._outbox.resize(value, self._streams.values()))
            elif name == Setting.MAX_FRAME_SIZE:
                # Ours are of the smallest size that a peer can ask for.
                if not frames.LEAST_MAX_FRAME <= value <= frames.MOST_MAX_FRAME:
                    raise FatalError(Code.PROTOCOL_ERROR, f"MAX_FRAME_SIZE of {value}")
            elif name == Setting.ENABLE_PUSH and value > 1:
                raise FatalError(Code.PROTOCOL_ERROR, f"ENABLE_PUSH of {value}")
        self._outbox.answer(frames.frame(frames.SETTINGS, frames.ACK, 0))

    def _ping(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise FatalError(Code.PROTOCOL_ERROR, "PING of a stream")
        if len(payload) != 8:
            raise FatalError(Code.FRAME_SIZE_ERROR, "PING not of 8 bytes")
        if flags & frames.ACK:
            self._events.append(Ponged())
        else:
            self._outbox.answer(frames.frame(frames.PING, frames.ACK, 0, payload))

    def _window_update(self, flags: int, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise FatalError(Code.FRAME_SIZE_ERROR, "WINDOW_UPDATE not of 4 bytes")
        more = frames.word(payload)
        if not number:
            self._freed(self._outbox.widen(more))
            return
        stream = self._streams.get(number)
        if stream is None:
            self._must_be_past(number)
            return
        try:
            self._freed(self._outbox.widen_stream(stream, more))
        except FatalError as error:
            self._fail(stream, error.code)  # here it concerns one stream only

    def _freed(self, streams: Iterable[Stream]) -> None:
        for stream in streams:
            self._events.append(Drained(stream.number))
            if stream.ending is not None:
                self._end(stream, stream.ending)

    def _reset(self, flags: int, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise FatalError(Code.FRAME_SIZE_ERROR, "RST_STREAM not of 4 bytes")
        stream = self._streams.get(number)
        if stream is None:
            self._must_be_past(number)
            return
        self._forget(stream)
        self._events.append(Reset(number, int.from_bytes(payload, "big")))

    def _goaway(self, flags: int, number: int, payload: bytes) -> None:
        """The peer begins no more calls; those that are there go on."""
        if number:
            raise FatalError(Code.PROTOCOL_ERROR, "GOAWAY of a stream")

    def _push_promise(self, flags: int, number: int, payload: bytes) -> None:
        raise FatalError(Code.PROTOCOL_ERROR, "PUSH_PROMISE of a client")

    def _priority(self, flags: int, number: int, payload: bytes) -> None:
        if len(payload) != 5:
            raise FatalError(Code.FRAME_SIZE_ERROR, "PRIORITY not of 5 bytes")

    def _must_be_past(self, number: int) -> None:
        """Frames of a stream that is over may be on their way still; of none that never was."""
        if not number or number > self._last or not number & 1:
            raise FatalError(Code.PROTOCOL_ERROR, f"stream {number} is idle")

    # -- sending ---------------------------------------------------------------------------------

    def take(self) -> bytes:
        """What is to be sent now."""
        return self._outbox.take()

    @property
    def has_output(self) -> bool:
        """Whether `take` would give something."""
        return not self._outbox.is_empty

    def send(self, number: int, message: bytes) -> bool:
        """Sends a message of a call; False when some of it waits for the peer: see `Drained`."""
        stream = self._streams.get(number)
        if stream is None:
            return True
        if not stream.is_open:
            self._open(stream)
        return self._outbox.message(stream, message)

    def open(self, number: int) -> None:
        """Sends the block that an answer begins with, ahead of its first message."""
        stream = self._streams.get(number)
        if stream is not None and not stream.is_open:
            self._open(stream)

    def _open(self, stream: Stream) -> None:
        stream.is_open = True
        self._outbox.put(
            frames.frame(frames.HEADERS, frames.END_HEADERS, stream.number, heads.RESPONSE)
        )

    def end(
        self, number: int, code: int = 0, text: str = "", metadata: heads.Metadata = ()
    ) -> None:
        """Ends a call with a status, behind its messages."""
        stream = self._streams.get(number)
        if stream is None:
            return
        if code == 0 and not text and not metadata and stream.is_open:
            block = heads.OK
        else:
            block = heads.trailers(code, text, metadata, is_only=not stream.is_open)
        if stream.waiting:
            stream.ending = block
        else:
            self._end(stream, block)

    def _end(self, stream: Stream, block: bytes) -> None:
        self._outbox.put(
            frames.frame(
                frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, stream.number, block
            )
        )
        if not stream.is_closed_by_peer:
            # Or the peer goes on sending what nobody reads (RFC 9113, 8.1).
            self._outbox.put(frames.reset(stream.number, Code.NO_ERROR))
        self._forget(stream)

    def ping(self) -> None:
        """Asks the peer for a sign of life."""
        self._outbox.put(frames.frame(frames.PING, 0, 0, b"virtscal"))

    def leave(self) -> None:
        """Lets no new call in; those that are there go on."""
        if not self._is_leaving and not self.is_broken:
            self._is_leaving = True
            self._outbox.put(frames.goaway(self._last, Code.NO_ERROR))

    # -- ends ------------------------------------------------------------------------------------

    def _refuse(self, number: int, code: Code) -> None:
        self._outbox.answer(frames.reset(number, code))

    def _fail(self, stream: Stream, code: Code) -> None:
        """The peer broke a rule that concerns one stream."""
        self._outbox.answer(frames.reset(stream.number, code))
        self._forget(stream)
        self._events.append(Reset(stream.number, code))

    def _forget(self, stream: Stream) -> None:
        del self._streams[stream.number]
        self._outbox.forget(stream)
        self._unread -= stream.unread
        if not stream.is_closed_by_peer:
            self._incomplete -= stream.reader.held

    def _break(self, code: Code, text: str) -> None:
        self.is_broken = True
        self._outbox.put(frames.goaway(self._last, code, text))
        self._streams.clear()
        self._events.append(Broken(text))


def _content(flags: int, payload: bytes) -> bytes:
    content = frames.unpadded(flags, payload)
    if content is None:
        raise FatalError(Code.PROTOCOL_ERROR, "padding longer than its frame")
    return content


_ACTS: dict[int, Callable[[Connection, int, int, bytes], None]] = {
    frames.HEADERS: Connection._headers,
    frames.PRIORITY: Connection._priority,
    frames.RST_STREAM: Connection._reset,
    frames.SETTINGS: Connection._settings,
    frames.PUSH_PROMISE: Connection._push_promise,
    frames.PING: Connection._ping,
    frames.GOAWAY: Connection._goaway,
    frames.WINDOW_UPDATE: Connection._window_update,
    frames.CONTINUATION: Connection._continuation,
    frames.DATA: Connection._data,
}
