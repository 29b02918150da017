import threading
from collections.abc import Iterator
from typing import Any

import pytest

from collector.libvirt_source.lane import Lane


@pytest.fixture
def lane() -> Iterator[Any]:
    made = Lane("test-lane")
    yield made
    made.end()


def test_runs_one_job_after_the_other(lane: Any) -> None:
    order: list[object] = []
    gate = threading.Event()
    first = lane.submit(lambda: order.append(gate.wait(5)))
    second = lane.submit(lambda: order.append("second"))
    assert lane.in_flight is second
    gate.set()
    second.result(5)
    assert first.done()
    assert order == [True, "second"]
    assert lane.in_flight is None


def test_a_job_that_waits_can_be_taken_back(lane: Any) -> None:
    gate, ran = threading.Event(), []
    lane.submit(lambda: gate.wait(5))
    second = lane.submit(lambda: ran.append(1))
    assert second.cancel()
    gate.set()
    lane.submit(lambda: None).result(5)
    assert not ran


def test_an_error_is_the_answer(lane: Any) -> None:
    def broken() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        lane.submit(broken).result(5)
    assert lane.submit(lambda: 7).result(5) == 7
