import io
import os
import select

import pytest

from stack.progress import Progress


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_piped_it_is_now_and_then_a_plain_line(clock):
    stream = io.StringIO()
    progress = Progress("hashing", total=4000, noun="numbers", stream=stream, monotonic=clock)
    progress.advance(100)
    assert stream.getvalue() == ""
    clock.now = 5.0
    progress.advance(900)
    progress.advance(1)
    clock.now = 10.0
    progress.advance(999)
    progress.close()
    assert stream.getvalue() == (
        "hashing: 1,000 of 4,000 numbers, 25% after 5 s\n"
        "hashing: 2,000 of 4,000 numbers, 50% after 10 s\n"
    )


def test_without_a_total_it_says_that_it_works(clock):
    stream = io.StringIO()
    progress = Progress("simulating", stream=stream, monotonic=clock)
    clock.now = 6.0
    progress.tick()
    assert stream.getvalue() == "simulating: still working after 6 s\n"


def test_silent_it_says_only_what_it_is_told_to_and_not_twice(clock):
    stream = io.StringIO()
    progress = Progress("exporting", is_silent=True, stream=stream, monotonic=clock)
    clock.now = 60.0
    progress.advance()
    for text in ("waiting: [x]", "waiting: [x]", "line 3"):
        progress.say(text)
    assert stream.getvalue() == "waiting: [x]\nline 3\n"


def test_nobody_at_the_other_end_stops_no_work(clock):
    stream = io.StringIO()
    progress = Progress("hashing", total=1, stream=stream, monotonic=clock)
    stream.close()
    clock.now = 60.0
    progress.advance()
    progress.close()


def test_at_a_terminal_it_is_a_bar_drawn_ten_times_a_second_at_most(clock, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    master, slave = os.openpty()
    written = ""
    with os.fdopen(slave, "w") as stream:
        progress = Progress("hashing", total=3000, noun="numbers", stream=stream, monotonic=clock)
        for number in range(3000):
            clock.now = number / 1000
            progress.advance()
            while select.select([master], [], [], 0)[0]:
                written += os.read(master, 65_536).decode("utf-8", "replace")
        progress.close()
    os.close(master)
    # Nothing in the first second, then ten a second.
    assert 15 <= written.count("/3000") <= 25
