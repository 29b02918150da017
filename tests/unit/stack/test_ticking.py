import threading

import pytest

from stack import ticking


def test_it_is_called_again_and_again_until_the_end() -> None:
    calls: list[int] = []
    twice = threading.Event()

    def tick() -> None:
        calls.append(len(calls))
        if len(calls) >= 2:
            twice.set()

    before = set(threading.enumerate())
    with ticking.beside(tick, seconds=0.001):
        assert twice.wait(10)
    assert set(threading.enumerate()) <= before


def test_nothing_is_called_when_the_work_is_quick_and_its_fault_goes_on() -> None:
    calls: list[None] = []
    with (
        pytest.raises(RuntimeError, match="at work"),
        ticking.beside(lambda: calls.append(None), seconds=60.0),
    ):
        raise RuntimeError("at work")
    assert calls == []
