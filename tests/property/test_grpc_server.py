"""The gRPC server's state machine against the h2 package, and against bytes that mean nothing."""

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import grpc
import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.grpc_server import frames, heads
from dispatcher.grpc_server.connection import Connection
from dispatcher.grpc_server.events import Began, Broken, Came, Faulted, HalfClosed, Reset
from dispatcher.grpc_server.frames import Setting
from dispatcher.grpc_server.messages import framed
from dispatcher.grpc_server.served import Served
from dispatcher.grpc_server.service import Service
from dispatcher.grpc_server.streams import Limits

HEADERS = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/s/m"),
    (":authority", "x"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
]
MOST = 300_000
LIMITS = Limits(
    streams=5,
    stream_window=65_535,
    window=65_535,
    max_frame=16_384,
    incomplete_bytes=MOST + 5,
    unread_bytes=50_000,
)


@dataclass
class ClientCall:
    number: int
    to_send: deque[bytes]
    messages: list[bytes]
    got: bytearray = field(default_factory=bytearray)
    status: str | None = None
    is_reset: bool = False
    is_closed: bool = False


@dataclass
class ServerCall:
    came: list[bytes] = field(default_factory=list)
    untaken: deque[int] = field(default_factory=deque)
    sent: list[bytes] = field(default_factory=list)
    is_closed: bool = False
    is_ended: bool = False


class World:
    """Both ends, and bytes on their way."""

    def __init__(self, *, acknowledges: bool) -> None:
        self._acknowledges = acknowledges
        self.client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.client.initiate_connection()
        self.server = Connection(LIMITS, lambda _path: MOST)
        self.calls: dict[int, ClientCall] = {}
        self.served: dict[int, ServerCall] = {}
        self.to_server, self.to_client = bytearray(), bytearray()

    # -- the client --------------------------------------------------------------------------------

    def call(self, messages: list[bytes]) -> None:
        # So many as were announced: who has not heard of a limit may be refused.
        if len(self.server._streams) + len(self._unseen()) >= LIMITS.streams:
            return
        with contextlib.suppress(h2.exceptions.TooManyStreamsError):
            number = self.client.get_next_available_stream_id()
            self.client.send_headers(number, HEADERS)
            self.calls[number] = ClientCall(number, deque(map(framed, messages)), messages)

    def _unseen(self) -> list[int]:
        return [number for number in self.calls if number not in self.served]

    def send(self, call: ClientCall, most: int) -> bool:
        """Sends a piece, as the windows allow; whether anything could be sent."""
        if call.is_closed or call.is_reset or call.status is not None:
            return False
        if not call.to_send:
            call.is_closed = True
            self.client.end_stream(call.number)
            return True
        room = min(
            most,
            self.client.local_flow_control_window(call.number),
            self.client.max_outbound_frame_size,
        )
        data = call.to_send.popleft()
        piece, rest = data[: max(0, room)], data[max(0, room) :]
        if rest:
            call.to_send.appendleft(rest)
        if piece:
            self.client.send_data(call.number, piece)
        return bool(piece)

    def reset(self, call: ClientCall) -> None:
        if not call.is_reset and call.status is None:
            call.is_reset = True
            self.client.reset_stream(call.number)

    def _client_hears(self, data: bytes) -> None:
        for event in self.client.receive_data(data):
            match event:
                case h2.events.DataReceived():
                    call = self.calls[event.stream_id]
                    call.got += event.data
                    if event.flow_controlled_length and self._acknowledges:
                        with contextlib.suppress(h2.exceptions.StreamClosedError):
                            self.client.acknowledge_received_data(
                                event.flow_controlled_length, event.stream_id
                            )
                case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                    found = {bytes(name): bytes(value) for name, value in event.headers}
                    if b"grpc-status" in found:
                        self.calls[event.stream_id].status = found[b"grpc-status"].decode()
                case h2.events.ConnectionTerminated():
                    raise AssertionError(event)

    # -- the server --------------------------------------------------------------------------------

    def _server_hears(self, data: bytes) -> None:
        for event in self.server.receive(data):
            match event:
                case Began(number):
                    self.served[number] = ServerCall()
                case Came(number, message):
                    assert isinstance(message, bytes)
                    self.served[number].came.append(message)
                    self.served[number].untaken.append(len(message))
                case HalfClosed(number):
                    self.served[number].is_closed = True
                case Reset(number):
                    assert self.calls[number].is_reset
                    self.served[number].is_ended = True
                case Broken() | Faulted():
                    raise AssertionError(event)

    def take(self, number: int) -> bool:
        call = self.served[number]
        if not call.untaken:
            return False
        self.server.consumed(number, call.untaken.popleft())
        return True

    def answer(self, number: int, message: bytes) -> None:
        call = self.served[number]
        if not call.is_ended:
            call.sent.append(message)
            self.server.send(number, message)

    def end(self, number: int) -> None:
        call = self.served[number]
        if not call.is_ended:
            call.is_ended = True
            self.server.end(number, 0)

    # -- the wire ----------------------------------------------------------------------------------

    def carry(self, most: int) -> bool:
        self.to_server += self.client.data_to_send()
        self.to_client += self.server.take()
        for wire, hears in (
            (self.to_server, self._server_hears),
            (self.to_client, self._client_hears),
        ):
            piece = bytes(wire[:most])
            del wire[:most]
            if piece:
                hears(piece)
        return bool(self.to_server or self.to_client or self.server.has_output)

    def settle(self) -> None:
        """All that was begun comes to its end: takes everything, ends what was closed."""
        is_moving = True
        while is_moving:
            is_moving = any([self.send(call, 10**6) for call in self.calls.values()])
            while self.carry(10**6):
                is_moving = True
            for number, served in tuple(self.served.items()):
                while self.take(number):
                    is_moving = True
                if served.is_closed and not served.is_ended:
                    self.end(number)
                    is_moving = True


sizes = st.one_of(st.integers(0, 50), st.integers(0, MOST), st.sampled_from([20_000, 70_000, MOST]))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.lists(sizes, max_size=4)),
        st.tuples(st.just("send"), st.integers(0, 9), st.integers(1, 100_000)),
        st.tuples(st.just("reset"), st.integers(0, 9)),
        st.tuples(st.just("take"), st.integers(0, 9)),
        st.tuples(st.just("answer"), st.integers(0, 9), sizes),
        st.tuples(st.just("answer"), st.integers(0, 1), sizes),
        st.tuples(st.just("end"), st.integers(2, 9)),
        st.tuples(st.just("window"), st.integers(0, 200_000)),
        st.tuples(st.just("carry"), st.sampled_from([1, 5_000, 40_000, 10**6])),
    ),
    min_size=40,
    max_size=80,
)


def message(size: int, seed: int) -> bytes:
    """No two look the same where they are cut."""
    unit = seed.to_bytes(4, "big") + bytes(range(247))
    return (unit * (size // len(unit) + 1))[:size]


def act(world: World, step: tuple[Any, ...]) -> None:
    kind, *what = step
    chosen = None
    if kind in ("send", "reset", "take", "answer", "end"):
        among = list(world.calls if kind in ("send", "reset") else world.served)
        if not among:
            return
        chosen = among[what[0] % len(among)]
    match kind:
        case "call":
            world.call([message(size, at) for at, size in enumerate(what[0])])
        case "send":
            world.send(world.calls[chosen or 0], what[1])
        case "reset":
            world.reset(world.calls[chosen or 0])
        case "take":
            world.take(chosen or 0)
        case "answer":
            world.answer(chosen or 0, message(what[1], len(world.to_client)))
        case "end":
            world.end(chosen or 0)
        case "window":
            world.client.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: what[0]})
        case "carry":
            world.carry(what[0])


@given(st.sampled_from([0, 7, 30_000, 65_535, 500_000]), st.booleans(), steps)
@settings(max_examples=150, deadline=None)
def test_what_is_sent_arrives_in_order_and_nothing_is_left(
    window: int, acknowledges: bool, step_list: list[tuple[Any, ...]]
) -> None:
    world = World(acknowledges=acknowledges)
    world.client.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
    world.call([b"first", message(70_000, 1)])
    world.call([])
    while world.carry(10**6):
        pass
    for step in step_list:
        act(world, step)
    while world.carry(10**6):
        pass
    world.client.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 10**8})
    world.client.increment_flow_control_window(10**8)
    world.settle()
    for number, call in world.calls.items():
        served = world.served[number]
        assert served.came == call.messages[: len(served.came)]
        sent = b"".join(map(framed, served.sent))
        assert sent.startswith(bytes(call.got))
        if not call.is_reset:
            assert call.status == "0"
            assert call.got == sent
            if served.is_closed:
                assert served.came == call.messages
    assert world.server.is_clear
    assert not world.server._streams
    assert not world.server._outbox._queued
    assert not world.server._outbox._starved
    assert not world.server._inbox._growing


# -- bytes that mean nothing -----------------------------------------------------------------------


def block() -> bytes:
    return b"".join(
        b"\0" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()
        for name, value in HEADERS
    )


BLOCK = block()
kinds = st.integers(0, 10)
flags = st.sampled_from([0, 1, 4, 5, 8, 9, 12, 13, 0x20, 0x24, 0x2D, 255])
numbers = st.sampled_from([0, 1, 2, 3, 5, 7, 2**31 - 1, 2**32 - 1])
contents = st.one_of(
    st.binary(max_size=40),
    st.just(BLOCK),
    st.binary(max_size=20).map(lambda tail: BLOCK + tail),
    st.binary(max_size=9).map(framed),
    st.integers(0, 2**32 - 1).map(lambda word: word.to_bytes(4, "big")),
    st.integers(0, 2**32 - 1).map(
        lambda word: b"\0" + bytes((Setting.INITIAL_WINDOW_SIZE,)) + word.to_bytes(4, "big")
    ),
    st.just(bytes(8)),
)
any_frame = st.builds(frames.frame, kinds, flags, numbers, contents)
noise = st.one_of(
    st.binary(max_size=300),
    st.lists(any_frame, max_size=30).map(b"".join),
    st.tuples(st.lists(any_frame, max_size=30).map(b"".join), st.integers(0, 500), st.binary()).map(
        lambda each: each[0][: each[1]] + each[2] + each[0][each[1] :]
    ),
)
beginnings = st.sampled_from(
    [
        b"",
        frames.PREFACE,
        frames.PREFACE + frames.settings({}),
        frames.PREFACE
        + frames.settings({})
        + frames.frame(frames.HEADERS, frames.END_HEADERS, 1, BLOCK)
        + frames.frame(frames.DATA, 0, 1, framed(b"abc")[:7]),
    ]
)


@given(beginnings, st.lists(noise, max_size=5), st.booleans())
@settings(max_examples=600, deadline=None)
def test_no_bytes_raise_anything(beginning: bytes, rest: list[bytes], has_answers: bool) -> None:
    connection = Connection(LIMITS, lambda _path: 1_000)
    for piece in (beginning, *rest):
        was_broken = connection.is_broken
        events = connection.receive(piece)
        assert not (was_broken and events)
        for event in events:
            if isinstance(event, Came):
                with contextlib.suppress(Exception):
                    if not isinstance(event.message, bytes):
                        event.message.plain()
                connection.consumed(event.stream, len(event.message))
            if isinstance(event, HalfClosed | Faulted) and has_answers:
                connection.send(event.stream, b"answer" * 20_000)
                connection.end(event.stream, 5, "no")
        assert len(connection._rest) < LIMITS.max_frame + frames.HEAD_BYTES
        assert len(connection._streams) <= LIMITS.streams
        if connection._block is not None:
            assert len(connection._block[2]) <= max(LIMITS.max_frame, heads.MOST_LIST_BYTES)
        connection.take()
    if connection.is_broken:
        assert connection.is_clear


class Wire:
    """In a transport's place: takes all that is written."""

    def __init__(self) -> None:
        self.is_closed = False

    def get_extra_info(self, _name: str) -> None:
        return None

    def write(self, data: bytes) -> None:
        assert not self.is_closed

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


async def _answer(request: bytes, context: Any) -> bytes:
    return request


async def _answers(requests: Any, context: Any) -> None:
    async for request in requests:
        await context.write(request * 1_000)


def handlers() -> dict[str, Any]:
    return {
        "m": grpc.unary_unary_rpc_method_handler(_answer),
        "n": grpc.stream_stream_rpc_method_handler(_answers),
    }


async def _serve(pieces: list[bytes]) -> None:
    loop = asyncio.get_running_loop()
    faults: list[Any] = []
    loop.set_exception_handler(lambda _loop, context: faults.append(context))
    begun, ended = 0, 0

    def counted(following: Any) -> Any:
        def resolve(arrival: Any) -> Any:
            def end(_code: int | None) -> None:
                nonlocal ended
                ended += 1

            nonlocal begun
            begun += 1
            arrival.on_end = end
            return following(arrival)

        return resolve

    service = Service([counted])
    service.add_registered_method_handlers("s", handlers())
    connections: set[Served] = set()
    served = Served(service, lambda _path: 1_000, connections, limits=LIMITS)
    wire = Wire()
    served.connection_made(wire)
    for piece in pieces:
        if wire.is_closed:
            break
        for at in range(0, len(piece), len(service.buffer)):
            part = piece[at : at + len(service.buffer)]
            service.buffer[: len(part)] = part
            served.buffer_updated(len(part))
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    served.connection_lost(None)
    while service._running:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert not (faults or connections or served._calls or served._running)
    assert begun == ended


@given(beginnings, st.lists(noise, max_size=5))
@settings(max_examples=300, deadline=None)
def test_no_bytes_leave_anything_behind(beginning: bytes, rest: list[bytes]) -> None:
    """Each call that began has ended once, whatever came."""
    asyncio.run(_serve([beginning, *(piece.replace(b"/s/m", b"/s/n", 1) for piece in rest)]))


@given(st.binary(max_size=200))
def test_no_header_block_raises_anything_else(raw: bytes) -> None:
    with contextlib.suppress(heads.UndecodableError, heads.MalformedError):
        heads.HeadReader().read(raw)
    with contextlib.suppress(heads.UndecodableError, heads.MalformedError):
        heads.HeadReader().read(BLOCK + raw)


@given(
    st.dictionaries(
        st.sampled_from(["grpc-timeout", "x-bin", "grpc-encoding", "content-length", "te", "x"]),
        st.text(max_size=20),
    )
)
def test_no_field_raises_anything_else(fields: dict[str, str]) -> None:
    raw = BLOCK
    for name, value in fields.items():
        content = value.encode("utf-8")
        raw += b"\0" + bytes((len(name),)) + name.encode() + bytes((len(content),)) + content
    with contextlib.suppress(heads.MalformedError):
        heads.HeadReader().read(raw)
