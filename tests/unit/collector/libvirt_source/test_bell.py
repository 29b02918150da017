import threading
import time
from concurrent.futures import Future

from collector.libvirt_source.bell import Bell

_LONG, _SHORT = 5.0, 0.02


def took(bell: Bell, seconds: float, rings: int = 1) -> float:
    began = time.monotonic()
    bell.wait(seconds, rings=rings)
    return time.monotonic() - began


def test_a_ring_before_the_wait_is_heard_and_once() -> None:
    bell = Bell()
    bell.ring()
    assert took(bell, _LONG) < _LONG / 2
    assert took(bell, _SHORT) >= _SHORT


def test_waits_for_as_many_rings_as_it_is_told_and_no_longer_than_that() -> None:
    bell = Bell()
    bell.ring()
    assert took(bell, _SHORT, rings=2) >= _SHORT
    bell.ring()
    future: Future[None] = Future()
    future.add_done_callback(bell.ring)
    other = threading.Thread(target=lambda: future.set_result(None))
    other.start()
    assert took(bell, _LONG, rings=2) < _LONG / 2
    other.join()


def test_a_time_that_is_over_is_not_waited_for() -> None:
    assert took(Bell(), -1.0) < _LONG / 2
