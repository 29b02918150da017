import time

import pytest

from dispatcher.grpc_server import frames
from dispatcher.grpc_server.frames import Code, FatalError
from dispatcher.grpc_server.messages import MessageReader, framed
from dispatcher.grpc_server.outbox import Outbox
from dispatcher.grpc_server.streams import Stream


def stream(number):
    return Stream(number, MessageReader(1, "identity"), 65_535)


def sent(outbox):
    """The DATA frames that are to be sent now: stream and content."""
    out, at, found = outbox.take(), 0, []
    while at < len(out):
        high, low, kind, _, number = frames.HEAD.unpack_from(out, at)
        length = high << 8 | low
        assert kind == frames.DATA
        assert length <= frames.LEAST_MAX_FRAME
        found.append((number, out[at + 9 : at + 9 + length]))
        at += 9 + length
    return found


def sizes(outbox):
    return [(number, len(content)) for number, content in sent(outbox)]


@pytest.fixture
def outbox():
    return Outbox(100)


def test_a_small_message_goes_at_once(outbox):
    assert outbox.message(stream(1), b"abc")
    assert sent(outbox) == [(1, framed(b"abc"))]
    assert outbox.is_empty


def test_a_large_message_is_cut_into_frames(outbox):
    message = bytes(range(256)) * 200
    assert outbox.message(stream(1), message)
    assert b"".join(content for _, content in sent(outbox)) == framed(message)


def test_a_window_of_a_call_is_used_to_its_end(outbox):
    outbox.widen(10**6)
    one, two = stream(1), stream(3)
    assert not outbox.message(one, bytes(65_535 - 5 + 7))
    assert sum(size for _, size in sizes(outbox)) == 65_535
    assert outbox.message(two, b"other calls go on")
    assert sizes(outbox) == [(3, 22)]
    assert outbox.widen_stream(one, 3) == []
    assert sizes(outbox) == [(1, 3)]
    assert outbox.widen_stream(one, 4) == [one]
    assert sizes(outbox) == [(1, 4)]


def test_the_window_of_the_connection_is_shared_in_turn(outbox):
    first = stream(1)
    assert outbox.message(first, bytes(65_535 - 5))
    sizes(outbox)
    two, three = stream(3), stream(5)
    assert not outbox.message(two, bytes(15))
    assert not outbox.message(three, bytes(15))
    assert outbox.widen(8) == []
    assert sizes(outbox) == [(3, 8)]
    assert outbox.widen(8) == []
    assert sizes(outbox) == [(5, 8)]
    assert outbox.widen(100) == [two, three]
    assert sizes(outbox) == [(3, 12), (5, 12)]
    assert outbox.message(two, b"")


def test_nothing_overtakes_what_waits(outbox):
    one = stream(1)
    outbox.resize(4, [one])
    assert not outbox.message(one, b"first")
    assert not outbox.message(one, b"second")
    outbox.resize(1_000, [one])
    assert outbox.resume() == [one]
    assert b"".join(content for _, content in sent(outbox)) == framed(b"first") + framed(b"second")


def test_a_window_may_become_negative(outbox):
    one = stream(1)
    assert outbox.message(one, bytes(95))
    sizes(outbox)
    outbox.resize(0, [one])
    assert not outbox.message(one, b"")
    assert outbox.resume() == []
    assert outbox.widen_stream(one, 100) == []
    assert sizes(outbox) == []
    assert outbox.widen_stream(one, 2) == []
    assert sizes(outbox) == [(1, 2)]
    outbox.resize(3, [one])
    assert outbox.resume() == [one]
    assert sizes(outbox) == [(1, 3)]


def test_a_call_that_got_smaller_while_it_waited_for_the_connection(outbox):
    one, two = stream(1), stream(3)
    outbox.message(one, bytes(65_530))
    assert not outbox.message(two, b"abc")
    sizes(outbox)
    outbox.resize(0, [one, two])
    assert outbox.widen(1_000) == []
    assert not outbox.message(two, b"")
    assert sizes(outbox) == []
    outbox.resize(20, [one, two])
    assert outbox.resume() == [two]
    assert sizes(outbox) == [(3, 8), (3, 5)]


def test_a_call_that_is_over_sends_nothing_more(outbox):
    one, two = stream(1), stream(3)
    outbox.message(one, bytes(65_530))
    outbox.message(two, b"waits")
    outbox.resize(0, [])
    three = stream(5)
    outbox.message(three, b"waits")
    sizes(outbox)
    for each in (two, three):
        outbox.forget(each)
    outbox.resize(1_000, [])
    assert outbox.resume() == outbox.widen(1_000) == []
    assert outbox.is_empty


@pytest.mark.parametrize(
    ("more", "code"), [(0, Code.PROTOCOL_ERROR), (2**31 - 65_535, Code.FLOW_CONTROL_ERROR)]
)
def test_windows_that_cannot_be(outbox, more, code):
    for act in (lambda: outbox.widen(more), lambda: outbox.widen_stream(stream(1), more)):
        with pytest.raises(FatalError) as caught:
            act()
        assert caught.value.code is code
    if more:
        outbox.widen(more - 1)


def test_a_first_window_that_makes_a_call_s_too_large(outbox):
    with pytest.raises(FatalError):
        outbox.resize(2**31, [])
    one = stream(1)
    outbox.widen_stream(one, 2**31 - 1 - 65_535)
    outbox.resize(1_000, [one])
    with pytest.raises(FatalError) as caught:
        outbox.resize(65_536, [one])
    assert caught.value.code is Code.FLOW_CONTROL_ERROR
    outbox.resize(2**31 - 1, [])  # that call is over


def test_answers_that_nobody_reads_are_bounded(outbox):
    for _ in range(100):
        outbox.answer(b"x")
    with pytest.raises(FatalError) as caught:
        outbox.answer(b"x")
    assert caught.value.code is Code.ENHANCE_YOUR_CALM
    outbox.take()
    outbox.answer(b"x")


def test_windows_opened_byte_by_byte_cost_no_copies():
    """Nor looks at calls that they do not help."""
    outbox = Outbox(100)
    outbox.message(stream(1), bytes(65_530))
    outbox.widen(2**30)
    for number in range(3, 8_003, 2):
        starved = stream(number)
        starved.widened = -65_535
        outbox.message(starved, b"x")
    large = stream(9_001)
    large.widened = 2**30
    outbox._window = 0
    outbox.message(large, bytes(4_000_000))
    began = time.process_time()
    for _ in range(5_000):
        outbox.widen(1)
    assert sum(size for _, size in sizes(outbox)) == 5_000 + 65_535
    assert time.process_time() - began < 2


def test_new_first_windows_cost_nothing_for_calls():
    outbox = Outbox(100)
    open_streams = [stream(number) for number in range(1, 20_001, 2)]
    began = time.process_time()
    for turn in range(50_000):
        outbox.resize(turn, open_streams)
    assert time.process_time() - began < 2
