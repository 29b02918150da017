import hpack
import pytest

from dispatcher.grpc_server import frames, heads
from dispatcher.grpc_server.connection import Connection
from dispatcher.grpc_server.events import (
    Began,
    Broken,
    Came,
    Drained,
    Faulted,
    HalfClosed,
    Ponged,
    Reset,
)
from dispatcher.grpc_server.frames import Code, Setting
from dispatcher.grpc_server.messages import Fault, framed
from dispatcher.grpc_server.streams import Limits

END = frames.END_STREAM
FULL = frames.END_HEADERS
FIELDS = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/s/m"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
]


def block(*more, path="/s/m"):
    fields = [(name, path if name == ":path" else value) for name, value in FIELDS]
    return b"".join(
        b"\0" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()
        for name, value in [*fields, *more]
    )


BLOCK = block()


def headers(number, content=BLOCK, flags=FULL):
    return frames.frame(frames.HEADERS, flags, number, content)


def data(number, content, flags=0):
    return frames.frame(frames.DATA, flags, number, content)


def one(kind, flags, number, content):
    return frames.frame(kind, flags, number, content)


class Peer:
    """A client that writes whatever frames a test says."""

    def __init__(self, *, is_greeted=True, most=1_000, **limits):
        self.connection = Connection(Limits(**limits), lambda _path: most)
        self._decoder = hpack.Decoder()
        if is_greeted:
            assert self.send(frames.PREFACE, frames.settings({})) == []
            self.answers()

    def send(self, *raw):
        return list(self.connection.receive(b"".join(raw)))

    def answers(self):
        """What came: (kind, flags, stream, content), header blocks decoded."""
        out, at, found = self.connection.take(), 0, []
        while at < len(out):
            high, low, kind, flags, number = frames.HEAD.unpack_from(out, at)
            length = high << 8 | low
            content = out[at + 9 : at + 9 + length]
            if kind == frames.HEADERS:
                content = dict(self._decoder.decode(content))
            found.append((kind, flags, number, content))
            at += 9 + length
        return found

    def resets(self):
        return [
            (number, Code(int.from_bytes(content, "big")))
            for kind, _, number, content in self.answers()
            if kind == frames.RST_STREAM
        ]

    def is_broken_by(self, *raw):
        """The code with which the connection ends."""
        events = self.send(*raw)
        assert self.connection.is_broken
        assert isinstance(events[-1], Broken)
        kind, _, number, content = self.answers()[-1]
        assert (kind, number) == (frames.GOAWAY, 0)
        assert self.connection.is_clear
        assert self.send(headers(99)) == []
        return Code(int.from_bytes(content[4:8], "big"))


@pytest.fixture
def peer():
    return Peer()


# -- the beginning ---------------------------------------------------------------------------------


def test_nothing_is_said_before_the_peer_has_spoken():
    peer = Peer(is_greeted=False)
    assert not peer.connection.has_output
    peer.send(frames.PREFACE[:10])
    assert not peer.connection.has_output
    assert not peer.connection.has_begun
    peer.send(frames.PREFACE[10:])
    (kind, flags, number, content), widened = peer.answers()
    assert (kind, flags, number) == (frames.SETTINGS, 0, 0)
    assert dict(frames.read_settings(content)) == {
        Setting.HEADER_TABLE_SIZE: 0,
        Setting.MAX_CONCURRENT_STREAMS: 10_000,
        Setting.INITIAL_WINDOW_SIZE: 256 * 1024,
        Setting.MAX_FRAME_SIZE: 256 * 1024,
        Setting.MAX_HEADER_LIST_SIZE: 16_384,
    }
    assert widened[0] == frames.WINDOW_UPDATE
    peer.send(frames.settings({}))
    assert peer.connection.has_begun
    assert peer.answers() == [(frames.SETTINGS, frames.ACK, 0, b"")]


@pytest.mark.parametrize("cut", range(1, 24))
def test_a_preface_may_be_cut_anywhere(cut):
    peer = Peer(is_greeted=False)
    peer.send(frames.PREFACE[:cut])
    peer.send(frames.PREFACE[cut:] + frames.settings({}) + headers(1))
    assert not peer.connection.is_broken


@pytest.mark.parametrize("raw", [b"\x16\x03\x01\x02", b"get / http", b"\0"])
def test_what_is_no_http_at_all(raw):
    assert Peer(is_greeted=False).is_broken_by(raw) is Code.PROTOCOL_ERROR


@pytest.mark.parametrize(
    "raw", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"OPTIONS * HTTP/1.0\r\n\r\n"]
)
def test_http_1_gets_an_answer_that_it_understands(raw):
    peer = Peer(is_greeted=False)
    assert isinstance(peer.send(raw)[-1], Broken)
    assert peer.connection.take().startswith(b"HTTP/1.1 505 ")


@pytest.mark.parametrize(
    "raw",
    [
        headers(1),
        data(1, b""),
        one(frames.PING, 0, 0, bytes(8)),
        one(frames.SETTINGS, frames.ACK, 0, b""),
        one(99, 0, 0, b""),
    ],
)
def test_settings_are_the_first_frame(raw):
    peer = Peer(is_greeted=False)
    assert peer.is_broken_by(frames.PREFACE, raw) is Code.PROTOCOL_ERROR


# -- calls -----------------------------------------------------------------------------------------


def test_a_call(peer):
    began, came, closed = peer.send(headers(1), data(1, framed(b"abc"), END))
    assert isinstance(began, Began)
    assert (came, closed) == (Came(1, b"abc"), HalfClosed(1))
    peer.connection.consumed(1, 3)
    assert peer.connection.send(1, b"answer")
    peer.connection.end(1)
    assert peer.answers() == [
        (frames.HEADERS, FULL, 1, dict(hpack.Decoder().decode(heads.RESPONSE))),
        (frames.DATA, 0, 1, framed(b"answer")),
        (frames.HEADERS, FULL | END, 1, {"grpc-status": "0"}),
    ]
    assert peer.connection.is_clear


def test_frames_may_be_cut_anywhere():
    raw = headers(1) + data(1, framed(b"abc")) + data(1, framed(b""), END)
    for cut in range(len(raw)):
        peer = Peer()
        events = peer.send(raw[:cut]) + peer.send(raw[cut:])
        assert events[1:] == [Came(1, b"abc"), Came(1, b""), HalfClosed(1)]


def test_a_call_without_a_message(peer):
    assert peer.send(headers(1, flags=FULL | END))[1:] == [HalfClosed(1)]


def test_an_answer_to_a_peer_that_goes_on_sending_stops_it(peer):
    peer.send(headers(1))
    peer.connection.end(1, 5, "no")
    (_, flags, _, fields), reset = peer.answers()
    assert flags == FULL | END
    assert fields["grpc-status"] == "5"
    assert fields[":status"] == "200"
    assert reset == (frames.RST_STREAM, 0, 1, bytes(4))
    assert peer.send(data(1, b"late"), headers(1, flags=FULL | END)) == []
    assert peer.connection.is_clear


def test_a_status_waits_behind_its_messages(peer):
    peer.send(frames.settings({Setting.INITIAL_WINDOW_SIZE: 3}), headers(1))
    assert not peer.connection.send(1, b"abc")
    peer.connection.end(1, 0)
    assert [kind for kind, *_ in peer.answers()] == [frames.SETTINGS, frames.HEADERS, frames.DATA]
    assert not peer.connection.is_clear
    assert peer.send(frames.window_update(1, 100)) == [Drained(1)]
    assert [kind for kind, *_ in peer.answers()][:2] == [frames.DATA, frames.HEADERS]
    assert peer.connection.is_clear


def test_a_large_status_is_cut_into_frames(peer):
    peer.send(headers(1, flags=FULL | END))
    peer.connection.end(1, 3, "", (("x-bin", bytes(30_000)),))
    out = peer.connection.take()
    kinds, at = [], 0
    while at < len(out):
        kinds.append(out[at + 3])
        at += 9 + int.from_bytes(out[at : at + 3], "big")
    assert kinds == [frames.HEADERS, frames.CONTINUATION, frames.CONTINUATION]


def test_what_is_over_is_answered_no_more(peer):
    peer.send(headers(1), frames.reset(1, Code.CANCEL))
    for act in (
        lambda: peer.connection.send(1, b"x"),
        lambda: peer.connection.end(1),
        lambda: peer.connection.abandon(1),
        lambda: peer.connection.consumed(1, 3),
    ):
        act()
    assert peer.answers() == []


def test_a_call_abandoned_with_messages_that_wait(peer):
    peer.send(frames.settings({Setting.INITIAL_WINDOW_SIZE: 0}), headers(1))
    peer.connection.send(1, b"abc")
    peer.connection.end(1, 4)
    peer.connection.abandon(1)
    assert peer.resets() == [(1, Code.CANCEL)]
    assert peer.connection.is_clear


def test_padding_counts_for_windows_only():
    peer = Peer(stream_window=65_535)
    padded = b"\x05" + framed(b"abc") + bytes(5)
    assert peer.send(headers(1), data(1, padded, frames.PADDED))[1:] == [Came(1, b"abc")]
    peer = Peer(stream_window=65_535)
    events = peer.send(headers(1), *[data(1, b"\xff" + bytes(255), frames.PADDED)] * 256)
    assert [type(event) for event in events] == [Began]
    assert not peer.connection.is_broken  # windows were given back


@pytest.mark.parametrize("kind", [frames.DATA, frames.HEADERS])
@pytest.mark.parametrize("content", [b"", b"\x01", b"\x05abc"])
def test_padding_longer_than_its_frame(peer, kind, content):
    peer.send(headers(1))
    raw = one(kind, frames.PADDED | FULL, 1 if kind == frames.DATA else 3, content)
    assert peer.is_broken_by(raw) is Code.PROTOCOL_ERROR


def test_priorities_are_read_over(peer):
    flags = FULL | frames.PADDED | frames.PRIORITIZED
    (began,) = peer.send(headers(1, b"\x02" + bytes(5) + BLOCK + bytes(2), flags))
    assert began.head.path == "/s/m"
    assert peer.send(one(frames.PRIORITY, 0, 7, bytes(5))) == []
    assert peer.is_broken_by(headers(3, bytes(4), FULL | frames.PRIORITIZED)) is (
        Code.FRAME_SIZE_ERROR
    )


# -- faults of messages ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (framed(bytes(1_001)), Fault.TOO_LARGE),
        (b"\x01" + framed(b"x")[1:], Fault.MALFORMED),
        (b"\x07" + framed(b"x")[1:], Fault.MALFORMED),
    ],
)
def test_a_fault_of_a_message_is_the_call_s(peer, raw, fault):
    _, event = peer.send(headers(1), data(1, raw))
    assert isinstance(event, Faulted)
    assert event.error.fault is fault
    assert peer.send(data(1, framed(b"more"))) == []
    peer.connection.end(1, fault)
    assert peer.connection.is_clear


def test_a_message_cut_short_by_the_end(peer):
    _, event = peer.send(headers(1), data(1, framed(b"abc")[:6], END))
    assert isinstance(event, Faulted)
    peer.connection.end(1, 13)
    assert peer.connection.is_clear


def test_too_many_unfinished_messages_cost_the_call_that_adds_to_them():
    peer = Peer(incomplete_bytes=1_000, most=100_000)
    events = peer.send(*(headers(n) + data(n, framed(bytes(900))[:800]) for n in (1, 3, 5, 7)))
    assert [event.stream for event in events if isinstance(event, Faulted)] == [5, 7]
    assert peer.send(data(1, bytes(105), END))[0] == Came(1, bytes(900))
    for number in (1, 3, 5, 7):
        peer.connection.end(number)
    assert peer.connection.is_clear


@pytest.mark.parametrize(("announced", "is_well"), [("8", True), ("7", False), ("9", False)])
def test_a_content_length_must_be_kept(peer, announced, is_well):
    content = block(("content-length", announced))
    *_, last = peer.send(headers(1, content), data(1, framed(b"abc"), END))
    assert last == (HalfClosed(1) if is_well else Reset(1, Code.PROTOCOL_ERROR))
    assert peer.resets() == ([] if is_well else [(1, Code.PROTOCOL_ERROR)])


# -- streams ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 2, 4])
def test_streams_of_clients_are_odd(peer, number):
    assert peer.is_broken_by(headers(number)) is Code.PROTOCOL_ERROR


IDLE = [
    data(5, b""),
    data(0, b""),
    data(2, b""),
    frames.window_update(5, 1),
    frames.window_update(2, 1),
    frames.reset(5, Code.CANCEL),
    frames.reset(0, Code.CANCEL),
]


@pytest.mark.parametrize("raw", IDLE)
def test_frames_of_streams_that_were_never_opened(peer, raw):
    peer.send(headers(3))
    assert peer.is_broken_by(raw) is Code.PROTOCOL_ERROR


@pytest.mark.parametrize(
    "raw",
    [
        data(3, framed(b"x"), END),
        frames.window_update(3, 1),
        frames.window_update(3, 0),
        frames.reset(3, Code.CANCEL),
        headers(3, flags=FULL | END),
        one(frames.PRIORITY, 0, 3, bytes(5)),
    ],
)
def test_frames_of_streams_that_are_over_may_be_late(peer, raw):
    peer.send(headers(3))
    peer.connection.end(3)
    peer.answers()
    assert peer.send(raw) == []
    assert peer.answers() == []
    assert peer.send(headers(5))


@pytest.mark.parametrize("raw", [data(1, b""), headers(1), headers(1, flags=FULL | END)])
def test_a_stream_closed_by_its_peer_takes_nothing_more(peer, raw):
    peer.send(headers(1, flags=FULL | END), headers(3))
    assert peer.send(raw) == [Reset(1, Code.STREAM_CLOSED)]
    assert peer.resets() == [(1, Code.STREAM_CLOSED)]
    assert not peer.connection.is_broken


def test_a_reset(peer):
    peer.send(headers(1), data(1, framed(b"abc") + b"\0"))
    assert peer.send(frames.reset(1, Code.CANCEL)) == [Reset(1, Code.CANCEL)]
    assert peer.connection.is_clear


def test_rapid_resets_leave_nothing(peer):
    for begin in range(1, 40_001, 2_000):
        peer.send(
            *(
                headers(number) + frames.reset(number, Code.CANCEL)
                for number in range(begin, begin + 2_000, 2)
            )
        )
    assert peer.connection.is_clear
    assert not peer.connection.has_output


def test_more_streams_than_allowed_are_refused_and_read_all_the_same():
    peer = Peer(streams=1)
    indexing = BLOCK + b"\x40\x01x\x01y"
    events = peer.send(headers(1), headers(3, indexing), frames.reset(1, Code.CANCEL))
    assert [type(event) for event in events] == [Began, Reset]
    assert peer.resets() == [(3, Code.REFUSED_STREAM)]
    (began,) = peer.send(headers(5, BLOCK + b"\xbe"))
    assert began.head.metadata == (("x", "y"),)


def test_a_call_refused_by_its_server(peer):
    peer.send(headers(1))
    peer.connection.refuse(1)
    assert peer.resets() == [(1, Code.REFUSED_STREAM)]


# -- header blocks ---------------------------------------------------------------------------------


def test_a_block_in_parts(peer):
    parts = [BLOCK[at : at + 7] for at in range(0, len(BLOCK), 7)]
    raw = [headers(1, parts[0], 0)]
    raw += [one(frames.CONTINUATION, 0, 1, part) for part in parts[1:]]
    assert peer.send(*raw) == []
    (began,) = peer.send(one(frames.CONTINUATION, FULL, 1, b""))
    assert began.head.path == "/s/m"


def test_the_end_of_a_stream_in_a_block_of_parts(peer):
    raw = headers(1, BLOCK[:9], END), one(frames.CONTINUATION, FULL, 1, BLOCK[9:])
    assert peer.send(*raw)[1:] == [HalfClosed(1)]


@pytest.mark.parametrize(
    "raw",
    [
        data(1, b""),
        headers(3),
        one(frames.CONTINUATION, 0, 3, b"x"),
        one(frames.PING, 0, 0, bytes(8)),
        one(99, 0, 0, b""),
    ],
)
def test_nothing_comes_between_the_parts_of_a_block(peer, raw):
    assert peer.is_broken_by(headers(1, b"", 0), raw) is Code.PROTOCOL_ERROR


def test_a_part_of_no_block(peer):
    peer.send(headers(1))
    assert peer.is_broken_by(one(frames.CONTINUATION, FULL, 1, b"")) is Code.PROTOCOL_ERROR


@pytest.mark.parametrize("part", [b"", b"\0", bytes(5_000)])
def test_parts_without_end_come_to_an_end(peer, part):
    flood = [one(frames.CONTINUATION, 0, 1, part)] * 70_000
    assert peer.is_broken_by(headers(1, b"", 0), *flood) is Code.ENHANCE_YOUR_CALM


def test_a_block_that_is_too_large(peer):
    assert peer.is_broken_by(headers(1, bytes(65_537))) is Code.ENHANCE_YOUR_CALM


def test_a_call_with_too_many_fields_is_answered(peer):
    assert peer.send(headers(1, block(*[("x", "y" * 90)] * 200))) == []
    answer, reset = peer.answers()
    assert answer[3] == {":status": "431"}
    assert reset[0] == frames.RST_STREAM


def test_no_hpack_is_the_end(peer):
    assert peer.is_broken_by(headers(1, b"\x80")) is Code.COMPRESSION_ERROR


def test_no_hpack_is_the_end_also_where_nobody_needs_it(peer):
    peer.send(headers(1), frames.reset(1, Code.CANCEL))
    assert peer.is_broken_by(headers(1, b"\x80")) is Code.COMPRESSION_ERROR


def test_a_malformed_head_costs_its_call_only(peer):
    assert peer.send(headers(1, block(("Upper", "x"))), headers(3))[0].stream == 3
    assert peer.resets() == [(1, Code.PROTOCOL_ERROR)]


@pytest.mark.parametrize("flags", [FULL, FULL | END])
def test_what_is_no_grpc_call_gets_a_status_of_http(peer, flags):
    raw = BLOCK.replace(b"\x04POST", b"\x03GET")
    assert peer.send(headers(1, raw, flags)) == []
    answer, *reset = peer.answers()
    assert answer == (frames.HEADERS, FULL | END, 1, {":status": "405"})
    assert len(reset) == (flags == FULL)


def test_trailers_of_a_client_end_its_stream(peer):
    peer.send(headers(1))
    assert peer.send(headers(1, b"\0\x01x\x01y", FULL | END)) == [HalfClosed(1)]


@pytest.mark.parametrize(
    ("content", "flags"), [(b"\0\x01x\x01y", FULL), (b"\0\x05:path\x01/", FULL | END)]
)
def test_trailers_that_are_none(peer, content, flags):
    peer.send(headers(1))
    assert peer.send(headers(1, content, flags)) == [Reset(1, Code.PROTOCOL_ERROR)]


# -- control frames --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (one(frames.SETTINGS, 0, 1, b""), Code.PROTOCOL_ERROR),
        (one(frames.SETTINGS, 0, 0, bytes(5)), Code.FRAME_SIZE_ERROR),
        (one(frames.SETTINGS, frames.ACK, 0, bytes(6)), Code.FRAME_SIZE_ERROR),
        (frames.settings({Setting.INITIAL_WINDOW_SIZE: 2**31}), Code.FLOW_CONTROL_ERROR),
        (frames.settings({Setting.MAX_FRAME_SIZE: 16_383}), Code.PROTOCOL_ERROR),
        (frames.settings({Setting.MAX_FRAME_SIZE: 2**24}), Code.PROTOCOL_ERROR),
        (frames.settings({Setting.ENABLE_PUSH: 2}), Code.PROTOCOL_ERROR),
        (one(frames.PING, 0, 1, bytes(8)), Code.PROTOCOL_ERROR),
        (one(frames.PING, 0, 0, bytes(7)), Code.FRAME_SIZE_ERROR),
        (one(frames.GOAWAY, 0, 1, bytes(8)), Code.PROTOCOL_ERROR),
        (one(frames.GOAWAY, 0, 0, bytes(7)), Code.FRAME_SIZE_ERROR),
        (one(frames.PUSH_PROMISE, 0, 1, bytes(8)), Code.PROTOCOL_ERROR),
        (one(frames.PRIORITY, 0, 0, bytes(5)), Code.PROTOCOL_ERROR),
        (one(frames.PRIORITY, 0, 1, bytes(4)), Code.FRAME_SIZE_ERROR),
        (one(frames.WINDOW_UPDATE, 0, 0, bytes(3)), Code.FRAME_SIZE_ERROR),
        (frames.window_update(0, 0), Code.PROTOCOL_ERROR),
        (frames.window_update(0, 2**31 - 1), Code.FLOW_CONTROL_ERROR),
        (one(frames.RST_STREAM, 0, 1, bytes(3)), Code.FRAME_SIZE_ERROR),
        (b"\x04\0\x01\0\0\0\0\0\x01", Code.FRAME_SIZE_ERROR),
    ],
)
def test_rules_of_the_whole_connection(peer, raw, code):
    peer.send(headers(1), data(1, framed(b"abc")))
    assert peer.is_broken_by(raw) is code


@pytest.mark.parametrize("more", [0, 2**31 - 1])
def test_a_window_that_cannot_be_costs_its_call(peer, more):
    peer.send(headers(1), headers(3))
    events = peer.send(frames.window_update(1, more))
    assert [(type(event), event.stream) for event in events] == [(Reset, 1)]
    assert not peer.connection.is_broken


def test_unknown_frames_and_settings_are_read_over(peer):
    assert peer.send(one(99, 255, 1, b"abc"), one(frames.SETTINGS, 0, 0, b"\xff" * 6)) == []
    assert peer.answers() == [(frames.SETTINGS, frames.ACK, 0, b"")]


def test_pings(peer):
    assert peer.send(one(frames.PING, 0, 0, b"12345678")) == []
    assert peer.answers() == [(frames.PING, frames.ACK, 0, b"12345678")]
    peer.connection.ping()
    ((_, flags, _, content),) = peer.answers()
    assert flags == 0
    assert peer.send(one(frames.PING, frames.ACK, 0, content)) == [Ponged()]


@pytest.mark.parametrize(
    "raw",
    [
        one(frames.PING, 0, 0, bytes(8)),
        frames.settings({}),
        frames.settings({Setting.INITIAL_WINDOW_SIZE: 7}),
    ],
)
def test_floods_that_want_answers_come_to_an_end(peer, raw):
    assert peer.is_broken_by(raw * 10_001) is Code.ENHANCE_YOUR_CALM
    peer = Peer()
    for _ in range(3):
        peer.send(raw * 9_999)
        assert len(peer.answers()) == 9_999


def test_floods_of_calls_refused_come_to_an_end():
    peer = Peer(streams=0)
    flood = b"".join(headers(number) for number in range(1, 20_003, 2))
    assert peer.is_broken_by(flood) is Code.ENHANCE_YOUR_CALM


def test_more_than_its_window_costs_a_call():
    peer = Peer(stream_window=65_535, most=10**6)
    peer.send(headers(1), data(1, framed(bytes(40_000))))
    *_, last = peer.send(data(1, framed(bytes(40_000))))
    assert last == Reset(1, Code.FLOW_CONTROL_ERROR)
    assert peer.connection.is_clear


def test_more_than_the_connection_s_window_is_the_end():
    peer = Peer(stream_window=10**6, window=65_535, unread_bytes=0, most=10**6)
    peer.send(headers(1), data(1, framed(bytes(60_000))), data(1, framed(bytes(60_000))))
    assert peer.is_broken_by(data(1, framed(bytes(6_000)))) is Code.FLOW_CONTROL_ERROR


def test_data_of_past_streams_is_given_back(peer):
    peer.send(headers(1), frames.reset(1, Code.CANCEL))
    for _ in range(100):
        assert peer.send(data(1, bytes(100_000))) == []
    assert not peer.connection.is_broken


def test_a_goaway_of_the_peer_changes_nothing(peer):
    raw = headers(1), one(frames.GOAWAY, 0, 0, bytes(8)), data(1, framed(b""))
    assert peer.send(*raw)[1:] == [Came(1, b"")]


# -- leaving ---------------------------------------------------------------------------------------


def test_whoever_leaves_lets_calls_end_and_no_new_ones_in(peer):
    peer.send(headers(1), headers(3))
    peer.connection.leave()
    peer.connection.leave()
    assert peer.answers() == [(frames.GOAWAY, 0, 0, b"\0\0\0\x03" + bytes(4))]
    assert peer.send(headers(5), data(1, framed(b"x"))) == [Came(1, b"x")]
    assert peer.resets() == [(5, Code.REFUSED_STREAM)]
    peer.connection.end(1)
    assert peer.answers()


def test_reasons_quote_nothing_of_the_peer(peer):
    peer.send(headers(1, block(path="/secret/path")))
    peer.send(headers(3, b"\0\x7fsecret"))
    out = peer.connection.take()
    assert b"secret" not in out
    assert b"path" not in out
