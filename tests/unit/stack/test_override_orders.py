import time

import pytest

from stack import override_orders


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1.5d", 129_600)]
)
def test_reads_how_long(text, seconds):
    assert override_orders.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "-1h", "0s", "2 h", "1w", "soon"])
def test_a_time_that_cannot_be_read_says_what_can(text):
    with pytest.raises(ValueError, match="90s, 30m, 2h or 1d"):
        override_orders.seconds(text)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ({"kind": "floor", "domains": 0}, "floor 0"),
        ({"kind": "drain", "domain": "vs-1"}, "drain vs-1"),
        ({"kind": "block_out"}, "block out"),
        ({"kind": "dry_run"}, "dry-run"),
    ],
)
def test_says_what_is_ordered(override, words):
    assert override_orders.what(override) == words


def test_says_who_until_when_and_why():
    override = {"id": "a1", "kind": "pause", "author": "ann", "reason": "fair", "created_at": 0.0}
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(0))
    assert override_orders.line(override) == f"a1  pause, until removed, by ann at {began}: fair"
    end = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(60))
    line = override_orders.line({**override, "reason": "", "expires_at": 60.0})
    assert line == f"a1  pause, until {end}, by ann at {began}"
