import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from collector.libvirt_source.epoll_loop import EpollLoop

_READABLE, _WRITABLE, _HANGUP = 1, 2, 8
_NEVER = -1
_PATIENCE_SECONDS = 5.0
_FAR_MILLISECONDS = 3_600_000


class Seen:
    """What the loop has called back with, or given back."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.calls: list[Any] = []

    def __call__(self, *call: Any) -> None:
        with self._changed:
            self.calls.append(call)
            self._changed.notify_all()

    def wait_for(self, count: int) -> list[Any]:
        """The calls, once there are so many."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.calls) >= count, _PATIENCE_SECONDS)
            return list(self.calls)


class Running:
    """A loop that runs, a pair of sockets, and what was given back."""

    def __init__(self) -> None:
        self.freed = Seen()
        self.loop = EpollLoop(self.freed)
        self.ours, self.theirs = socket.socketpair()
        self._thread = threading.Thread(target=self.loop.run)
        self._thread.start()

    def close(self) -> None:
        self.loop.end()
        self._thread.join(_PATIENCE_SECONDS)
        assert not self._thread.is_alive()
        self.ours.close()
        self.theirs.close()

    def turn(self) -> None:
        """Returns once the loop has looked around after now."""
        once = Seen()
        timer = self.loop.add_timer(0, once, "turn")
        # What was ready at the first call may have become so after the kernel was asked.
        once.wait_for(2)
        self.loop.remove_timer(timer)
        self.freed.wait_for(1)
        self.freed.calls.clear()


@pytest.fixture
def running() -> Iterator[Running]:
    made = Running()
    yield made
    made.close()


def test_tells_what_can_be_read(running: Running) -> None:
    seen = Seen()
    number = running.loop.add_handle(running.ours.fileno(), _READABLE, seen, "opaque")
    running.theirs.send(b"x")
    assert seen.wait_for(1)[0] == (number, running.ours.fileno(), _READABLE, "opaque")
    running.loop.remove_handle(number)


def test_tells_what_can_be_written_when_asked_later(running: Running) -> None:
    seen = Seen()
    number = running.loop.add_handle(running.ours.fileno(), _READABLE, seen, None)
    running.turn()
    assert not seen.calls
    running.loop.update_handle(number, _READABLE | _WRITABLE)
    assert seen.wait_for(1)[0][2] == _WRITABLE
    running.loop.remove_handle(number)


def test_what_is_not_watched_is_not_told_and_does_not_spin(running: Running) -> None:
    seen = Seen()
    number = running.loop.add_handle(running.ours.fileno(), 0, seen, None)
    running.theirs.close()
    running.turn()
    assert not seen.calls
    running.loop.update_handle(number, _READABLE)
    assert seen.wait_for(1)[0][2] == _READABLE | _HANGUP
    running.loop.remove_handle(number)


def test_gives_back_what_a_handle_held_from_its_own_thread(running: Running) -> None:
    number = running.loop.add_handle(running.ours.fileno(), _READABLE, Seen(), "held")
    assert running.loop.remove_handle(number) == 0
    assert running.freed.wait_for(1) == [("held",)]
    running.theirs.send(b"x")
    running.turn()


def test_a_handle_may_be_removed_and_made_again_in_its_own_callback(running: Running) -> None:
    second = Seen()

    def first(number: int, descriptor: int, _events: int, _opaque: Any) -> None:
        running.loop.remove_handle(number)
        running.loop.add_handle(descriptor, _READABLE, second, "second")

    running.loop.add_handle(running.ours.fileno(), _READABLE, first, "first")
    running.theirs.send(b"x")
    assert second.wait_for(1)[0][3] == "second"
    assert running.freed.wait_for(1) == [("first",)]


def test_refuses_what_cannot_be_watched(running: Running) -> None:
    number = running.loop.add_handle(running.ours.fileno(), _READABLE, Seen(), None)
    assert running.loop.add_handle(running.ours.fileno(), _READABLE, Seen(), None) == -1
    with open(os.devnull) as unpollable:
        assert running.loop.add_handle(unpollable.fileno(), _READABLE, Seen(), None) == -1
    gone = os.dup(running.ours.fileno())
    os.close(gone)
    assert running.loop.add_handle(gone, _READABLE, Seen(), None) == -1
    assert running.loop.remove_handle(number) == 0
    assert running.loop.remove_handle(number) == -1
    assert running.loop.remove_timer(1234) == -1


def test_a_timer_goes_off_again_and_again_until_it_is_stopped(running: Running) -> None:
    seen = Seen()
    timer = running.loop.add_timer(1, seen, "opaque")
    assert seen.wait_for(3)[:3] == [(timer, "opaque")] * 3
    running.loop.update_timer(timer, _NEVER)
    running.turn()
    before = len(seen.calls)
    running.turn()
    assert len(seen.calls) == before


def test_a_timer_may_be_brought_forward_while_the_loop_waits(running: Running) -> None:
    seen = Seen()
    timer = running.loop.add_timer(_FAR_MILLISECONDS, seen, None)
    running.turn()
    assert not seen.calls
    running.loop.update_timer(timer, 0)
    seen.wait_for(1)
    assert running.loop.remove_timer(timer) == 0


def test_a_timer_that_never_goes_off_costs_nothing_and_can_start(running: Running) -> None:
    seen = Seen()
    timer = running.loop.add_timer(_NEVER, seen, None)
    running.turn()
    assert not seen.calls
    running.loop.update_timer(timer, 1)
    seen.wait_for(1)


def test_a_timer_can_stop_itself(running: Running) -> None:
    freed = running.freed

    def once(number: int, _opaque: Any) -> None:
        running.loop.remove_timer(number)

    running.loop.add_timer(0, once, "held")
    assert freed.wait_for(1) == [("held",)]


def test_an_ended_loop_takes_anything_and_does_nothing() -> None:
    made = Running()
    seen = Seen()
    number = made.loop.add_handle(made.ours.fileno(), _READABLE, seen, None)
    timer = made.loop.add_timer(_FAR_MILLISECONDS, seen, None)
    made.close()
    made.loop.update_handle(number, _WRITABLE)
    made.loop.update_timer(timer, 0)
    assert (made.loop.remove_handle(number), made.loop.remove_timer(timer)) == (0, 0)
    with suppress(OSError):
        made.theirs.send(b"x")
    assert not seen.calls
    assert not made.freed.calls
