import pytest

from dispatcher.grpc_server import frames
from dispatcher.grpc_server.frames import Code, FatalError
from dispatcher.grpc_server.inbox import MESSAGE_COST, Inbox
from dispatcher.grpc_server.messages import MessageReader, framed
from dispatcher.grpc_server.streams import Limits, Stream

WINDOW = 100_000
LIMITS = Limits(
    window=4 * WINDOW, stream_window=WINDOW, incomplete_bytes=5 * WINDOW, unread_bytes=2 * WINDOW
)


class World:
    def __init__(self):
        self.put = []
        self.inbox = Inbox(LIMITS, self.put.append)
        self.streams = {}

    def open(self, number):
        self.streams[number] = Stream(number, MessageReader(10 * WINDOW, "identity"), WINDOW)

    def send(self, number, data):
        """As `Connection` does it; the messages, and whether it was too much."""
        stream = self.streams[number]
        self.inbox.came(len(data))
        stream.left -= len(data)
        assert stream.left >= 0
        stream.owed += len(data)
        before = stream.reader.held
        found = stream.reader.feed(data)
        is_well = self.inbox.read(stream, stream.reader.held - before, found)
        self.inbox.give_back(stream)
        return found, is_well

    def given(self):
        found = [(int.from_bytes(each[5:9], "big"), frames.word(each[9:])) for each in self.put]
        self.put.clear()
        return found

    @property
    def is_clear(self):
        return not (self.inbox.unread or self.inbox.incomplete or self.inbox.reserved)


@pytest.fixture
def world():
    world = World()
    for number in (1, 3, 5):
        world.open(number)
    return world


def test_room_is_given_back_when_there_is_some(world):
    world.send(1, framed(bytes(WINDOW // 4 - 6)))
    assert world.given() == []
    world.send(1, framed(b"")[:1])
    assert world.given() == [(1, WINDOW // 4)]


def test_a_reader_that_is_behind_makes_its_peer_wait(world):
    world.send(1, framed(bytes(60_000)))
    world.send(1, framed(bytes(30_000)))
    assert world.given() == []
    world.inbox.taken(world.streams[1], 60_000)
    assert world.given() == [(1, 90_010)]
    world.inbox.taken(world.streams[1], 30_000)
    assert world.is_clear


def test_empty_messages_are_not_free(world):
    found, _ = world.send(1, framed(b"") * 5_100)
    assert world.inbox.unread == len(found) * MESSAGE_COST
    assert world.given() == []


def test_more_than_the_connection_s_window_is_the_end():
    inbox = Inbox(LIMITS, lambda _frame: None)
    inbox.unread = LIMITS.unread_bytes + 1
    inbox.came(LIMITS.window)
    with pytest.raises(FatalError) as caught:
        inbox.came(1)
    assert caught.value.code is Code.FLOW_CONTROL_ERROR


def test_what_calls_leave_unread_is_free_when_they_are_over(world):
    for number in (1, 3, 5):
        world.send(number, framed(bytes(90_000)))
    world.given()
    world.open(7)
    world.send(7, framed(bytes(99_000))[:95_000])
    assert world.given() == [(7, 95_000)]  # not the connection's: too much is unread
    world.inbox.forget(world.streams[1])
    assert [number for number, _ in world.given()] == [0]
    for number in (3, 5, 7):
        world.inbox.forget(world.streams[number])
    assert world.is_clear


def test_large_messages_come_to_their_ends_one_after_another(world):
    large = framed(bytes(3 * WINDOW))
    for number in (1, 3, 5):
        world.send(number, large[: WINDOW // 2])
    assert (1, WINDOW // 2) in world.given()
    assert world.inbox.reserved == len(large)
    for at in range(WINDOW // 2, len(large), WINDOW // 2):
        found, _ = world.send(1, large[at : at + WINDOW // 2])
    assert len(found) == 1
    assert [number for number, _ in world.given() if number] == [1] * 5 + [3]
    world.inbox.forget(world.streams[3])
    assert [number for number, _ in world.given() if number] == [5]
    for number in (1, 5):
        world.inbox.forget(world.streams[number])
    assert world.is_clear


def test_a_single_message_may_be_larger_than_all_may_be(world):
    world.send(1, framed(bytes(9 * WINDOW))[: WINDOW // 2])
    assert world.given() == [(1, WINDOW // 2)]


def test_a_call_over_while_it_waits_for_room(world):
    large = framed(bytes(4 * WINDOW))
    for number in (1, 3):
        world.send(number, large[: WINDOW // 2])
    world.given()
    world.inbox.forget(world.streams[3])
    world.inbox.forget(world.streams[1])
    assert world.given() == []
    assert world.is_clear


def test_unfinished_messages_have_an_end_too(world):
    world.inbox.unread = -(10**9)
    well = []
    for number in range(11, 51, 2):
        world.open(number)
        well.append(world.send(number, framed(bytes(WINDOW - 5))[: WINDOW - 10])[1])
    assert well == [True] * 10 + [False] * 10
