"""gRPC calls, many at a time, on one plaintext HTTP/2 connection, as cheap as Python allows.

For a load generator that stands for many machines: with a gRPC library it costs more than what it
measures. Calls are prepared beforehand; starting some writes their bytes at once, and an answer
costs the parsing of its frames. There is no task, future or timer per call.

What a server asks for is respected: its limit of concurrent streams, its frame size, both send
windows. A request is one message; an answer is one, or a stream of at most 2 GiB in all. Left out,
because a load generator needs none: reconnecting, retries, compression, TLS.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence

from bench import http2_frames as http2
from bench.http2_frames import Block, Blocks, ConnectionFault, HeaderFrames

_SWEEP_SECONDS = 0.05
"""How coarsely deadlines are kept."""
_REPLENISH_BYTES = 2**30
_READ_BYTES = 2**18
_GREETING = (
    http2.PREFACE
    + http2.settings(
        (
            (http2.HEADER_TABLE_SIZE, 0),
            (http2.ENABLE_PUSH, 0),
            (http2.INITIAL_WINDOW_SIZE, http2.LARGEST_WINDOW),
        )
    )
    + http2.window_update(0, http2.LARGEST_WINDOW - http2.DEFAULT_WINDOW)
)
_PREFIX_BYTES = 5
_DATA_HEAD_BYTES = 5
_id = http2.WORD.pack
_read_head = http2.HEAD.unpack_from


class Call:
    """One call: its prepared bytes, and what came of it. Times are monotonic, in seconds."""

    __slots__ = (
        "answered",
        "body",
        "code",
        "details",
        "due",
        "first",
        "granted",
        "http_code",
        "on_message",
        "response",
        "second",
        "sent",
        "stream",
        "written",
    )

    def __init__(self, first: bytes, second: bytes, body: bytes, due: float) -> None:
        # On the wire: first, the stream's number, second, the number again, body.
        self.first, self.second, self.body = first, second, body
        self.due = due
        """When it should be made."""
        self.sent = 0.0
        """When it was started. It may have waited then for a stream or a window of the server."""
        self.answered = 0.0
        self.code = ""
        """The name of its gRPC code; empty until it has ended."""
        self.response = b""
        """What came in DATA."""
        self.on_message: Callable[[bytes, float], None] | None = None
        """Takes each message of a streamed answer as it arrives, with the instant."""
        self.details = b""
        """`grpc-status-details-bin`."""
        self.http_code = ""
        """What the HTTP status alone would mean, should no gRPC status follow."""
        self.stream = 0
        # Only of a body that did not fit the windows at once: bytes written, and bytes that the
        # server allowed on top of its initial window.
        self.written = self.granted = 0

    @property
    def message(self) -> bytes:
        """The serialised answer of a call that ended with `OK`."""
        return self.response[_PREFIX_BYTES:]


def _message_end(data: bytes) -> int:
    """Where the first message ends; -1 when it is compressed or not whole."""
    if len(data) < _PREFIX_BYTES or data[0]:
        return -1
    end = _PREFIX_BYTES + http2.read_word(data[1:_PREFIX_BYTES])
    return end if end <= len(data) else -1


class Method:
    """Prepares the calls of one gRPC method.

    Args:
        path: `/package.Service/Method`.
        authority: The server's name and port.
        deadline: Seconds after its start in which a call must be answered, or infinite.

    """

    def __init__(self, path: str, authority: str, deadline: float) -> None:
        self._block = http2.request_block(path, authority, deadline)
        self._first = http2.head(http2.HEADERS, http2.END_HEADERS, len(self._block))
        self._seconds: dict[int, bytes] = {}

    def call(self, message: bytes, due: float = 0.0) -> Call:
        """A call with this serialised message."""
        body = b"\x00" + http2.WORD.pack(len(message)) + message
        second = self._seconds.get(len(body))
        if second is None:
            # The length of a longer body is never used: it goes in several frames.
            length = min(len(body), http2.SMALLEST_MAX_FRAME_SIZE)
            second = self._block + http2.head(http2.DATA, http2.END_STREAM, length)
            self._seconds[len(body)] = second
        return Call(self._first, second, body, due)


class Calls(asyncio.BufferedProtocol):
    """The connection and the calls on it."""

    def __init__(self, deadline: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.fault = ""
        """Why the connection ended, if it did."""
        self.ready = asyncio.get_running_loop().create_future()
        """Done when the server has said hello, or the connection ended before."""
        self._deadline, self._clock = deadline, clock
        self._transport: asyncio.Transport | None = None
        self._sweeping: asyncio.TimerHandle | None = None
        self._empty: asyncio.Future[None] | None = None
        self._is_ending = False
        self._open: dict[int, Call] = {}
        self._waiting: deque[Call] = deque()
        """For a stream: the server limits how many are open."""
        self._unwritten: deque[Call] = deque()
        """Their bodies, or the rest of them, wait for a window."""
        self._started: deque[Call] = deque()
        """In the order of their deadlines; those that have ended go when they come first."""
        self._next_stream = 1
        self._most_open = http2.LARGEST_WINDOW
        self._window = self._initial_window = http2.DEFAULT_WINDOW
        self._most_in_frame = self._most_at_once = http2.SMALLEST_MAX_FRAME_SIZE
        self._buffer = memoryview(bytearray(_READ_BYTES))
        self._received = b""
        self._to_replenish = 0
        self._blocks, self._header_frames = Blocks(), HeaderFrames()
        self._out: list[bytes] = []
        self._now = 0.0
        self._handlers = {
            http2.DATA: self._take_data,
            http2.RST_STREAM: self._take_reset,
            http2.SETTINGS: self._take_settings,
            http2.PUSH_PROMISE: self._refuse_push,
            http2.PING: self._take_ping,
            http2.GOAWAY: self._take_goaway,
            http2.WINDOW_UPDATE: self._take_window,
        }

    def start(self, calls: Sequence[Call]) -> None:
        """Makes calls, in one write."""
        for call in calls:
            if self._is_ending:
                call.sent = self._clock()
                self._end(call, "UNAVAILABLE", call.sent)
            elif self._waiting or len(self._open) >= self._most_open:
                self._waiting.append(call)
            else:
                self._write(call)
        sent = self._clock()
        for call in calls:
            call.sent = call.sent or sent
        if not self._is_ending:
            self._started += calls
        self._flush()

    async def drained(self) -> None:
        """Returns when every started call has ended."""
        if self._open or self._waiting:
            self._empty = asyncio.get_running_loop().create_future()
            await self._empty

    def close(self) -> None:
        """Ends the connection; calls that have not ended are `UNAVAILABLE`."""
        self._stop("closed", http2.NO_ERROR)

    def end_late_calls(self) -> None:
        """Ends what is past its deadline and tells the server."""
        now = self._clock()
        started = self._started
        while started and (started[0].code or started[0].sent + self._deadline <= now):
            call = started.popleft()
            if not call.code:
                if call.stream:
                    self._out.append(http2.reset(call.stream, http2.CANCEL))
                self._end(call, "DEADLINE_EXCEEDED", now)
        self._go_on()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greets the server."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(_GREETING)
        self._sweep()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing will be answered any more."""
        if self._sweeping:
            self._sweeping.cancel()
        self._stop(str(exc or "the server closed the connection"), None)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where asyncio puts what it reads."""
        # A plain Protocol is given new memory of 256 KiB per read, which the kernel has to map.
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Takes every whole frame."""
        if self._is_ending and not self._open:
            return
        self._now = self._clock()
        data = self._received + bytes(self._buffer[:nbytes])
        at, end = 0, len(data)
        try:
            while end - at >= 9:
                high, low, kind, flags, stream = _read_head(data, at)
                if high or low > http2.SMALLEST_MAX_FRAME_SIZE:
                    raise ConnectionFault(http2.FRAME_SIZE_ERROR, "a frame is too long")
                after = at + 9 + low
                if after > end:
                    break
                self._take(kind, flags, stream & http2.LARGEST_WINDOW, data[at + 9 : after])
                at = after
        except ConnectionFault as fault:
            self._stop(str(fault), fault.code)
            return
        self._received = data[at:]
        self._go_on()

    def _sweep(self) -> None:
        self.end_late_calls()
        self._sweeping = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)

    # Writing.

    def _write(self, call: Call) -> None:
        stream = call.stream = self._next_stream
        self._next_stream += 2
        self._open[stream] = call
        number = _id(stream)
        size = len(call.body)
        if size <= self._most_at_once and size <= self._window and not self._unwritten:
            self._window -= size
            self._out += (call.first, number, call.second, number, call.body)
        else:
            self._out += (call.first, number, call.second[:-_DATA_HEAD_BYTES])
            self._unwritten.append(call)

    def _write_bodies(self) -> None:
        """As far as the windows allow, in order; a full stream holds no other up."""
        held: list[Call] = []
        while self._unwritten and self._window > 0:
            call = self._unwritten.popleft()
            while not call.code and call.written < len(call.body):
                allowed = self._initial_window + call.granted - call.written
                room = min(self._window, allowed, self._most_in_frame)
                if room <= 0:
                    held.append(call)
                    break
                part = call.body[call.written : call.written + room]
                call.written += len(part)
                self._window -= len(part)
                flags = http2.END_STREAM if call.written == len(call.body) else 0
                self._out.append(http2.frame(http2.DATA, flags, call.stream, part))
        self._unwritten.extendleft(reversed(held))

    def _go_on(self) -> None:
        """Does what has become possible, and writes."""
        while self._waiting and (self._waiting[0].code or len(self._open) < self._most_open):
            call = self._waiting.popleft()
            if not call.code:
                self._write(call)
        self._flush()
        if not self._open and not self._waiting:
            if self._empty and not self._empty.done():
                self._empty.set_result(None)
            if self._is_ending and self._transport:
                self._transport.close()

    def _flush(self) -> None:
        if self._unwritten:
            self._write_bodies()
        if self._out and self._transport:
            self._transport.write(b"".join(self._out))
            self._out.clear()

    # Ending.

    def _end(self, call: Call, code: str, now: float) -> None:
        call.code, call.answered = code, now
        self._open.pop(call.stream, None)

    def _stop(self, reason: str, code: int | None) -> None:
        """Ends everything; `code` is what the server is told, if it can be told."""
        self.fault = self.fault or reason
        self._is_ending = True
        now = self._clock()
        for call in (*self._open.values(), *self._waiting):
            self._end(call, call.code or "UNAVAILABLE", now)
        for calls in (self._waiting, self._unwritten, self._started):
            calls.clear()
        if code is None:
            self._transport = None
        else:
            self._out.append(http2.goaway(code))
        self._go_on()
        self._transport = None
        if not self.ready.done():
            self.ready.set_result(None)

    # Reading.

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        self._header_frames.check(kind, stream)
        if not self.ready.done() and kind != http2.SETTINGS:
            raise ConnectionFault(http2.PROTOCOL_ERROR, "this is no HTTP/2 server")
        if kind in (http2.HEADERS, http2.CONTINUATION):
            whole = self._header_frames.add(kind, flags, stream, payload)
            if whole is not None:
                self._take_block(stream, *whole)
        elif handler := self._handlers.get(kind):
            handler(flags, stream, payload)

    def _take_block(self, stream: int, flags: int, raw: bytes) -> None:
        block = self._blocks.decode(raw)
        call = self._open.get(stream)
        if call is None:
            return
        if flags & http2.END_STREAM:
            self._finish(call, block)
        else:
            call.http_code = block.http_code

    def _finish(self, call: Call, block: Block) -> None:
        code = block.code or block.http_code or call.http_code or "UNKNOWN"
        if code == "OK":
            # One whole message and no more; nothing is left over of a stream.
            left = len(call.response)
            if left if call.on_message else _message_end(call.response) != left:
                code = "INTERNAL"
        else:
            call.details = block.details
        self._end(call, code, self._now)

    def _take_data(self, flags: int, stream: int, payload: bytes) -> None:
        self._to_replenish += len(payload)
        if self._to_replenish >= _REPLENISH_BYTES:
            self._out.append(http2.window_update(0, self._to_replenish))
            self._to_replenish = 0
        call = self._open.get(stream)
        if call is None:
            return
        call.response += http2.content(flags & http2.PADDED, payload) if flags else payload
        if call.on_message:
            while (end := _message_end(call.response)) > 0:
                call.on_message(call.response[_PREFIX_BYTES:end], self._now)
                call.response = call.response[end:]
        if flags & http2.END_STREAM:
            self._end(call, call.http_code or "UNKNOWN", self._now)

    def _take_reset(self, flags: int, stream: int, payload: bytes) -> None:
        code = http2.code_of_reset(http2.read_word(payload))
        call = self._open.get(stream)
        if call is not None:
            # The server keeps the same deadline; whoever sees its end first, it is the same end.
            if code == "CANCELLED" and call.sent + self._deadline <= self._now:
                code = "DEADLINE_EXCEEDED"
            self._end(call, code, self._now)

    def _take_settings(self, flags: int, stream: int, payload: bytes) -> None:
        if flags & http2.ACK:
            return
        for name, value in http2.read_settings(payload):
            if name == http2.MAX_CONCURRENT_STREAMS:
                self._most_open = value
            elif name == http2.INITIAL_WINDOW_SIZE:
                if value > http2.LARGEST_WINDOW:
                    raise ConnectionFault(http2.FLOW_CONTROL_ERROR, "a window is too large")
                self._initial_window = value
            elif name == http2.MAX_FRAME_SIZE:
                self._most_in_frame = value
        # A larger body goes the long way, which alone knows several frames.
        self._most_at_once = min(self._initial_window, http2.SMALLEST_MAX_FRAME_SIZE)
        self._out.append(http2.frame(http2.SETTINGS, http2.ACK, 0, b""))
        if not self.ready.done():
            self.ready.set_result(None)

    def _refuse_push(self, flags: int, stream: int, payload: bytes) -> None:
        raise ConnectionFault(http2.PROTOCOL_ERROR, "the server pushed, and was told not to")

    def _take_ping(self, flags: int, stream: int, payload: bytes) -> None:
        if len(payload) != 8:
            raise ConnectionFault(http2.FRAME_SIZE_ERROR, "PING of a wrong length")
        if not flags & http2.ACK:
            self._out.append(http2.frame(http2.PING, http2.ACK, 0, payload))

    def _take_goaway(self, flags: int, stream: int, payload: bytes) -> None:
        last = http2.read_word(payload[:4]) & http2.LARGEST_WINDOW
        self.fault = f"the server ended the connection with code {http2.read_word(payload[4:8])}"
        self._is_ending = True
        # The server will not look at these; it may still answer the older ones.
        late = [call for stream, call in self._open.items() if stream > last]
        for call in (*late, *self._waiting):
            self._end(call, call.code or "UNAVAILABLE", self._now)
        self._waiting.clear()

    def _take_window(self, flags: int, stream: int, payload: bytes) -> None:
        increment = http2.read_word(payload) & http2.LARGEST_WINDOW
        if stream:
            if call := self._open.get(stream):
                call.granted += increment
            return
        self._window += increment
        if self._window > http2.LARGEST_WINDOW:
            raise ConnectionFault(http2.FLOW_CONTROL_ERROR, "the window is too large")


async def connect(address: str, deadline: float) -> Calls:
    """A connection to `host:port` whose calls must be answered within `deadline` seconds.

    Raises:
        OSError: nobody listens there, or not an HTTP/2 server.

    """
    loop = asyncio.get_running_loop()
    host, _, port = address.rpartition(":")
    _, calls = await loop.create_connection(lambda: Calls(deadline), host, int(port))
    await calls.ready
    if calls.fault:
        raise ConnectionError(f"{address}: {calls.fault}")
    return calls
