"""One HTTP/2 connection of a server, as a state machine without I/O (RFC 9113).

Bytes in, events out; what is to be sent gathers until `take`. Nothing here knows time: deadlines,
pings and idleness are the listener's. What a peer may make us hold is bounded: streams, header
blocks, messages that are not complete, answers to control frames.
"""

import re
from collections.abc import Callable, Iterable, Sequence

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
from dispatcher.grpc_server.frames import Code, FatalError, Setting
from dispatcher.grpc_server.heads import HeadReader
from dispatcher.grpc_server.inbox import Inbox
from dispatcher.grpc_server.messages import Fault, Message, MessageError, MessageReader
from dispatcher.grpc_server.outbox import Outbox
from dispatcher.grpc_server.streams import Limits, Stream

_HTTP_1 = re.compile(rb"[A-Z]{3,7} [!-~]")
_IN_HTTP_1 = (
    b"HTTP/1.1 505 HTTP Version Not Supported\r\n"
    b"content-type: text/plain\r\nconnection: close\r\n\r\n"
    b"This port speaks gRPC, which needs HTTP/2.\n"
)


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
        self._is_resized = self._is_leaving = False
        self.is_broken = False
        self._events: list[Event] = []
        self._outbox = Outbox(limits.control_frames)
        self._inbox = Inbox(limits, self._outbox.put)

    @property
    def has_begun(self) -> bool:
        """Whether the peer has shown that it speaks HTTP/2."""
        return self._has_settings

    @property
    def is_clear(self) -> bool:
        """Whether nothing of any call is here."""
        inbox = self._inbox
        return not (self._streams or inbox.unread or inbox.incomplete or inbox.reserved)

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
                if self._is_resized:
                    # Once for all that came: each costs as much as there are calls that wait.
                    self._is_resized = False
                    self._freed(self._outbox.resume())
        except FatalError as error:
            self._break(error.code, str(error))
        return self._events

    def _preface(self, data: bytes) -> int:
        size = len(frames.PREFACE)
        if data[:size] != frames.PREFACE[: len(data)]:
            if _HTTP_1.match(data):
                self._give_up("speaks HTTP/1")
                self._outbox.put(_IN_HTTP_1)
                return -1
            raise FatalError(Code.PROTOCOL_ERROR, "no preface: this port speaks gRPC only")
        if len(data) < size:
            self._rest = data
            return -1
        self._has_preface = True
        self._greet()
        return size

    def _greet(self) -> None:
        """What our side begins with; later than could be, as others than HTTP/2 may be there."""
        limits = self._limits
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
        if limits.window > frames.DEFAULT_WINDOW:
            self._outbox.put(frames.window_update(0, limits.window - frames.DEFAULT_WINDOW))

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
        self._inbox.came(size)
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
        if stream.expected is not None:
            stream.expected -= len(payload)
        stream.owed += size
        self._read(stream, payload)
        if flags & frames.END_STREAM:
            self._closed_by_peer(stream)
        else:
            self._inbox.give_back(stream)

    def _read(self, stream: Stream, payload: bytes) -> None:
        before = stream.reader.held
        found: list[Message] = []
        try:
            found = stream.reader.feed(payload)
        except MessageError as error:
            self._events.append(Faulted(stream.number, error))
        if not self._inbox.read(stream, stream.reader.held - before, found):
            self._drop(stream, Fault.TOO_LARGE, "too many unfinished messages on one connection")
        for message in found:
            self._events.append(Came(stream.number, message))

    def _drop(self, stream: Stream, fault: Fault, text: str) -> None:
        """The call is to be answered without its messages."""
        held = stream.reader.held
        stream.reader.stop()
        self._inbox.read(stream, -held, [])
        self._events.append(Faulted(stream.number, MessageError(fault, text)))

    def _closed_by_peer(self, stream: Stream) -> None:
        stream.is_closed_by_peer = True
        if stream.expected:
            self._fail(stream, Code.PROTOCOL_ERROR)
        elif stream.reader.held:
            self._drop(stream, Fault.MALFORMED, "message cut short by the end of the stream")
        else:
            self._events.append(HalfClosed(stream.number))

    def consumed(self, number: int, size: int) -> None:
        """A message of that many bytes was taken: its room is free again."""
        stream = self._streams.get(number)
        if stream is not None:  # else it was counted when the stream went
            self._inbox.taken(stream, size)

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
        if len(block) > heads.MOST_LIST_BYTES or not (payload or flags & frames.END_HEADERS):
            raise FatalError(Code.ENHANCE_YOUR_CALM, "header block too large")
        if flags & frames.END_HEADERS:
            self._block = None
            self._block_ended(number, first_flags, bytes(block))

    def _block_ended(self, number: int, flags: int, block: bytes) -> None:
        if len(block) > heads.MOST_LIST_BYTES:
            raise FatalError(Code.ENHANCE_YOUR_CALM, "header block too large")
        is_end = bool(flags & frames.END_STREAM)
        try:
            if number <= self._last:
                self._trailers(number, self._heads.fields(block), is_end=is_end)
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
            block = heads.http_status(head.http_status)
            self._outbox.answer(frames.headers(number, block, is_last=True))
            if not is_end:
                self._refuse(number, Code.NO_ERROR)
            return
        reader = MessageReader(self._most(head.path), head.encoding)
        stream = Stream(number, reader, self._limits.stream_window, head.content_length)
        self._streams[number] = stream
        self._events.append(Began(number, head))
        if is_end:
            self._closed_by_peer(stream)

    def _trailers(self, number: int, fields: heads.Fields, *, is_end: bool) -> None:
        stream = self._streams.get(number)
        if stream is None:
            return
        if stream.is_closed_by_peer:
            self._fail(stream, Code.STREAM_CLOSED)
            return
        try:
            heads.check_trailers(fields)
        except heads.MalformedError:
            is_end = False
        if is_end:
            self._closed_by_peer(stream)
        else:
            self._fail(stream, Code.PROTOCOL_ERROR)

    # -- control frames --------------------------------------------------------------------------

    def _settings(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise FatalError(Code.PROTOCOL_ERROR, "SETTINGS of a stream")
        if flags & frames.ACK:
            if payload:
                raise FatalError(Code.FRAME_SIZE_ERROR, "SETTINGS with ACK and values")
            self._heads.empty_table()
            return
        if len(payload) % 6:
            raise FatalError(Code.FRAME_SIZE_ERROR, "SETTINGS cut short")
        for name, value in frames.read_settings(payload):
            if name == Setting.INITIAL_WINDOW_SIZE:
                self._outbox.resize(value, self._streams.values())
                self._is_resized = True
            elif name == Setting.MAX_FRAME_SIZE:
                # Ours are of the smallest size that a peer can ask for.
                if not frames.LEAST_MAX_FRAME <= value <= frames.MOST_MAX_FRAME:
                    raise FatalError(Code.PROTOCOL_ERROR, "MAX_FRAME_SIZE out of range")
            elif name == Setting.ENABLE_PUSH and value > 1:
                raise FatalError(Code.PROTOCOL_ERROR, "ENABLE_PUSH is neither 0 nor 1")
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
        if len(payload) < 8:
            raise FatalError(Code.FRAME_SIZE_ERROR, "GOAWAY cut short")

    def _push_promise(self, flags: int, number: int, payload: bytes) -> None:
        raise FatalError(Code.PROTOCOL_ERROR, "PUSH_PROMISE of a client")

    def _priority(self, flags: int, number: int, payload: bytes) -> None:
        if not number:
            raise FatalError(Code.PROTOCOL_ERROR, "PRIORITY of no stream")
        if len(payload) != 5:
            raise FatalError(Code.FRAME_SIZE_ERROR, "PRIORITY not of 5 bytes")

    def _must_be_past(self, number: int) -> None:
        """Frames of a stream that is over may be on their way still; of none that never was."""
        if not number or number > self._last or not number & 1:
            raise FatalError(Code.PROTOCOL_ERROR, "frame of a stream that was never opened")

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

    def _open(self, stream: Stream) -> None:
        stream.is_open = True
        self._outbox.put(frames.headers(stream.number, heads.RESPONSE))

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

    def answer(self, number: int, block: bytes) -> None:
        """Ends a call of which nothing was sent with a whole answer: see `heads.trailers`."""
        if (stream := self._streams.get(number)) is not None:
            self._end(stream, block)

    def _end(self, stream: Stream, block: bytes) -> None:
        self._outbox.put(frames.headers(stream.number, block, is_last=True))
        if not stream.is_closed_by_peer:
            # Or the peer goes on sending what nobody reads (RFC 9113, 8.1).
            self._outbox.put(frames.reset(stream.number, Code.NO_ERROR))
        self._forget(stream)

    def refuse(self, number: int) -> None:
        """Says that nothing was done of a call: the peer may repeat it at once."""
        self.abandon(number, Code.REFUSED_STREAM)

    def abandon(self, number: int, code: Code = Code.CANCEL) -> None:
        """Ends a call without a status, and what waits of its messages; nothing if it is over."""
        if (stream := self._streams.get(number)) is not None:
            self._outbox.put(frames.reset(number, code))
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
        self._inbox.forget(stream)

    def _break(self, code: Code, text: str) -> None:
        self._give_up(text)
        self._outbox.put(frames.goaway(self._last, code, text))

    def _give_up(self, text: str) -> None:
        self.is_broken = True
        self._rest = b""
        self._block = None
        for stream in tuple(self._streams.values()):
            self._forget(stream)
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
