"""The connection without a network: bytes in, bytes out, and a clock that the test moves."""

import asyncio

import pytest

from bench import http2_frames as http2
from bench.http2_calls import Calls, Method

HELLO = http2.settings([])
OK = http2.header_block([("grpc-status", "0")])
HTTP_OK = http2.header_block([(":status", "200")])
END = http2.END_STREAM | http2.END_HEADERS


class Wire(asyncio.Transport):
    def __init__(self):
        super().__init__()
        self.bytes = b""
        self.is_closed = False

    def write(self, data):
        assert not self.is_closed
        self.bytes += data

    def close(self):
        self.is_closed = True


class Session:
    """A client, the wire and the server's end of it."""

    def __init__(self, deadline=10.0, hello=HELLO):
        self.now = 100.0
        self.wire = Wire()
        self.calls = Calls(deadline, lambda: self.now)
        self.method = Method("/s/m", "host:1", deadline)
        self.calls.connection_made(self.wire)
        assert self.wire.bytes.startswith(http2.PREFACE)
        self.wire.bytes = self.wire.bytes[len(http2.PREFACE) :]
        self.greeting = self.written()
        if hello:
            self.receive(hello)

    def receive(self, *frames):
        data = b"".join(frames)
        self.calls.get_buffer(-1)[: len(data)] = data
        self.calls.buffer_updated(len(data))

    def start(self, *messages):
        made = [self.method.call(message, self.now) for message in messages]
        self.calls.start(made)
        return made

    def written(self):
        """(kind, flags, stream, payload) of what was written since."""
        data, self.wire.bytes, found = self.wire.bytes, b"", []
        while data:
            high, low, kind, flags, stream = http2.HEAD.unpack_from(data)
            length = (high << 16) + low
            found.append((kind, flags, stream, data[9 : 9 + length]))
            data = data[9 + length :]
        return found

    def bodies(self):
        return [
            (stream, flags, len(each)) for kind, flags, stream, each in self.written() if not kind
        ]


@pytest.fixture
async def session():
    made = Session()
    assert made.written() == [(http2.SETTINGS, http2.ACK, 0, b"")]
    yield made
    made.calls.connection_lost(None)


@pytest.fixture
async def begin():
    made = []

    def start(**settings):
        made.append(Session(**settings))
        made[-1].written()
        return made[-1]

    yield start
    for each in made:
        each.calls.connection_lost(None)


def setting(name, value):
    return http2.settings([(name, value)])


def message(data, compressed=0):
    return bytes((compressed,)) + http2.WORD.pack(len(data)) + data


def answer(stream, data=b"yes"):
    return (
        http2.frame(http2.HEADERS, http2.END_HEADERS, stream, HTTP_OK)
        + http2.frame(http2.DATA, 0, stream, message(data))
        + http2.frame(http2.HEADERS, END, stream, OK)
    )


def refusal(stream, *fields):
    return http2.frame(http2.HEADERS, END, stream, http2.header_block(fields))


async def test_the_greeting_forbids_the_dynamic_table_and_opens_the_windows(session):
    (_, _, _, settings), (kind, _, stream, increment) = session.greeting
    assert dict(http2.read_settings(settings)) == {
        http2.HEADER_TABLE_SIZE: 0,
        http2.ENABLE_PUSH: 0,
        http2.INITIAL_WINDOW_SIZE: 2**31 - 1,
    }
    assert (kind, stream) == (http2.WINDOW_UPDATE, 0)
    assert 65_535 + http2.read_word(increment) == 2**31 - 1


async def test_calls_that_start_together_are_answered_in_any_order(session):
    first, second = session.start(b"a", b"bc")
    assert [each[:3] for each in session.written()] == [
        (http2.HEADERS, http2.END_HEADERS, 1),
        (http2.DATA, http2.END_STREAM, 1),
        (http2.HEADERS, http2.END_HEADERS, 3),
        (http2.DATA, http2.END_STREAM, 3),
    ]
    session.now = 101.0
    session.receive(answer(3, b"two"))
    assert (second.code, second.message, second.sent, second.answered) == ("OK", b"two", 100, 101)
    assert not first.code
    session.receive(answer(1, b"one"))
    assert (first.code, first.message) == ("OK", b"one")
    await session.calls.drained()


async def test_answers_may_arrive_byte_by_byte(session):
    (call,) = session.start(b"a")
    for byte in answer(1, b"yes" * 100):
        session.receive(bytes((byte,)))
    assert (call.code, call.message) == ("OK", b"yes" * 100)


async def test_padded_continued_and_split_answers_are_joined(session):
    (call,) = session.start(b"a")
    whole = message(b"yes")
    session.receive(
        http2.frame(http2.HEADERS, http2.HAS_PRIORITY, 1, b"\0\0\0\0\x10" + HTTP_OK[:1]),
        http2.frame(http2.CONTINUATION, http2.END_HEADERS, 1, HTTP_OK[1:]),
        http2.frame(http2.DATA, http2.PADDED, 1, b"\x02" + whole[:6] + b"\0\0"),
        http2.frame(99, 0xFF, 1, b"unknown kinds are left alone"),
        http2.frame(http2.DATA, 0, 1, whole[6:]),
        http2.frame(http2.HEADERS, http2.END_STREAM, 1, OK[:3]),
        http2.frame(http2.CONTINUATION, http2.END_HEADERS, 1, OK[3:]),
    )
    assert (call.code, call.message) == ("OK", b"yes")


async def test_an_interrupted_block_ends_the_connection(session):
    (call,) = session.start(b"a")
    session.written()
    session.receive(http2.frame(http2.HEADERS, 0, 1, b""), http2.frame(http2.PING, 0, 0, bytes(8)))
    assert call.code == "UNAVAILABLE"
    assert session.written()[-1][3] == bytes(7) + bytes((http2.PROTOCOL_ERROR,))
    assert session.wire.is_closed


async def test_a_refusal_keeps_its_details(session):
    (call,) = session.start(b"a")
    session.receive(
        refusal(1, (":status", "200"), ("grpc-status", "8"), ("grpc-status-details-bin", "eHg"))
    )
    assert (call.code, call.details) == ("RESOURCE_EXHAUSTED", b"xx")


@pytest.mark.parametrize(
    "data", [b"", b"\0\0", message(b"x", 1), message(b"x") * 2, message(b"x")[:-1]]
)
async def test_ok_without_exactly_one_plain_message_is_internal(session, data):
    (call,) = session.start(b"a")
    session.receive(http2.frame(http2.DATA, 0, 1, data), http2.frame(http2.HEADERS, END, 1, OK))
    assert call.code == "INTERNAL"


@pytest.mark.parametrize(("status", "code"), [("200", "UNKNOWN"), ("502", "UNAVAILABLE")])
async def test_an_answer_that_is_not_grpcs_goes_by_its_http_status(session, status, code):
    block = http2.header_block([(":status", status)])
    first, second = session.start(b"a", b"b")
    session.receive(
        http2.frame(http2.HEADERS, END, 1, block),
        http2.frame(http2.HEADERS, http2.END_HEADERS, 3, block),
        http2.frame(http2.DATA, http2.END_STREAM, 3, b"<html>"),
    )
    assert (first.code, second.code) == (code, code)


async def test_more_calls_than_streams_wait_for_their_turn(begin):
    session = begin(hello=setting(http2.MAX_CONCURRENT_STREAMS, 2))
    made = session.start(b"a", b"b", b"c", b"d")
    assert [stream for stream, _, _ in session.bodies()] == [1, 3]
    session.now = 101.0
    session.receive(answer(3))
    assert [stream for stream, _, _ in session.bodies()] == [5]
    assert made[2].sent == 100.0
    session.receive(answer(1), answer(5))
    session.receive(answer(7))
    assert [call.code for call in made] == ["OK"] * 4


async def test_a_call_that_waits_for_a_stream_keeps_its_deadline(begin):
    session = begin(hello=setting(http2.MAX_CONCURRENT_STREAMS, 0))
    (call,) = session.start(b"a")
    session.now = 111.0
    session.calls.end_late_calls()
    assert call.code == "DEADLINE_EXCEEDED"
    assert session.written() == []
    await session.calls.drained()


async def test_bodies_wait_for_the_connections_window(session):
    made = session.start(*[b"x" * 10_000] * 8)
    written = session.bodies()
    assert sum(size for _, _, size in written) == 65_535
    assert written[-1] == (13, 0, 65_535 - 6 * 10_005)
    session.receive(http2.window_update(0, 10))
    assert session.bodies() == [(13, 0, 10)]
    session.receive(http2.window_update(0, 2**20))
    rest = 7 * 10_005 - 65_545
    assert session.bodies() == [(13, 1, rest), (15, 1, 10_005)]
    session.receive(*(answer(call.stream) for call in made))
    assert {call.code for call in made} == {"OK"}


async def test_a_full_stream_does_not_hold_others_up(begin):
    session = begin(hello=setting(http2.INITIAL_WINDOW_SIZE, 20))
    session.start(b"x" * 45, b"y")
    assert session.bodies() == [(1, 0, 20), (3, 1, 6)]
    session.receive(http2.window_update(1, 5))
    assert session.bodies() == [(1, 0, 5)]
    session.receive(setting(http2.INITIAL_WINDOW_SIZE, 30))
    assert session.bodies() == [(1, 0, 10)]
    # A smaller window than was used already is not an error: the debt is paid first.
    session.receive(setting(http2.INITIAL_WINDOW_SIZE, 0), http2.window_update(1, 30))
    assert session.bodies() == []
    session.receive(http2.window_update(1, 15))
    assert session.bodies() == [(1, 1, 15)]


async def test_a_large_body_goes_in_frames_that_the_server_takes(session):
    session.start(b"x" * 40_000)
    assert session.bodies() == [(1, 0, 16_384), (1, 0, 16_384), (1, 1, 7_237)]


async def test_a_window_beyond_the_largest_ends_the_connection(session):
    session.receive(http2.window_update(0, 2**31 - 1))
    assert session.written()[-1][3] == bytes(7) + bytes((http2.FLOW_CONTROL_ERROR,))


async def test_the_servers_window_is_replenished(session):
    session.start(b"a")
    session.written()
    part = http2.frame(http2.DATA, 0, 99, bytes(16_384)) * 15  # of a stream that has ended
    for _ in range(2**30 // (16_384 * 15)):
        session.receive(part)
    assert session.written() == []
    session.receive(part)
    ((kind, _, stream, increment),) = session.written()
    assert (kind, stream) == (http2.WINDOW_UPDATE, 0)
    assert http2.read_word(increment) == 2**30


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (http2.CANCEL, "CANCELLED"),
        (http2.REFUSED_STREAM, "UNAVAILABLE"),
        (http2.ENHANCE_YOUR_CALM, "RESOURCE_EXHAUSTED"),
        (http2.PROTOCOL_ERROR, "INTERNAL"),
    ],
)
async def test_a_reset_ends_one_call(session, error, code):
    first, second = session.start(b"a", b"b")
    session.receive(http2.reset(1, error))
    assert (first.code, second.code) == (code, "")


async def test_a_server_that_cancels_at_the_deadline_means_the_deadline(session):
    (call,) = session.start(b"a")
    session.now = 110.0
    session.receive(http2.reset(1, http2.CANCEL))
    assert call.code == "DEADLINE_EXCEEDED"


async def test_a_late_call_is_ended_and_the_server_told(session):
    early, late = session.start(b"a", b"b")
    session.receive(answer(1))
    session.written()
    session.now = 109.9
    session.calls.end_late_calls()
    assert not late.code
    session.now = 110.0
    session.calls.end_late_calls()
    assert (early.code, late.code, late.answered) == ("OK", "DEADLINE_EXCEEDED", 110.0)
    assert session.written() == [(http2.RST_STREAM, 0, 3, http2.WORD.pack(http2.CANCEL))]
    session.receive(answer(3))  # too late, and no fault
    assert late.code == "DEADLINE_EXCEEDED"


async def test_pings_are_answered(session):
    session.receive(http2.frame(http2.PING, 0, 0, b"12345678"))
    assert session.written() == [(http2.PING, http2.ACK, 0, b"12345678")]
    session.receive(http2.frame(http2.PING, http2.ACK, 0, b"12345678"))
    assert session.written() == []


async def test_goaway_ends_what_the_server_will_not_look_at(session):
    first, second = session.start(b"a", b"b")
    last = http2.WORD.pack(1) + http2.WORD.pack(http2.NO_ERROR)
    session.receive(http2.frame(http2.GOAWAY, 0, 0, last))
    assert (first.code, second.code) == ("", "UNAVAILABLE")
    assert session.start(b"c")[0].code == "UNAVAILABLE"
    session.receive(answer(1))
    assert first.code == "OK"
    assert session.wire.is_closed


async def test_a_lost_connection_ends_every_call(begin):
    session = begin(hello=setting(http2.MAX_CONCURRENT_STREAMS, 1))
    made = session.start(b"a", b"b")
    session.calls.connection_lost(ConnectionResetError("reset"))
    assert [call.code for call in made] == ["UNAVAILABLE"] * 2
    assert session.calls.fault == "reset"
    await session.calls.drained()
    assert session.start(b"c")[0].code == "UNAVAILABLE"


@pytest.mark.parametrize("data", [b"HTTP/1.1 400 Bad Request\r\n\r\n", http2.window_update(0, 1)])
async def test_a_server_of_another_protocol_is_a_fault(begin, data):
    session = begin(hello=None)
    session.receive(data)
    await session.calls.ready
    assert session.calls.fault


async def test_a_streamed_answer_comes_message_by_message(session):
    call = session.method.call(b"a")
    taken = []
    call.on_message = lambda data, now: taken.append((data, now))
    session.calls.start([call])
    stream = message(b"one") + message(b"two") + message(b"three")
    session.receive(http2.frame(http2.DATA, 0, 1, stream[:17]))
    assert taken == [(b"one", 100.0), (b"two", 100.0)]
    session.now = 101.0
    session.receive(http2.frame(http2.DATA, 0, 1, stream[17:]))
    assert taken[2:] == [(b"three", 101.0)]
    session.receive(http2.frame(http2.HEADERS, END, 1, OK))
    assert call.code == "OK"
