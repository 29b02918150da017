import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.call_counter import BULK, Calls

REMOTE, KEEPALIVE = 0x20008086, 0x6B656570


def message(program, procedure, kind, body=b""):
    head = struct.pack(">7I", 28 + len(body), program, 1, procedure, kind, 7, 0)
    return head + body


STREAM = b"".join(
    (
        message(REMOTE, 66, 0),
        message(REMOTE, BULK, 0, b"x" * 100),
        message(KEEPALIVE, 1, 2),
        message(REMOTE, 5, 1, b"an answer"),
        message(REMOTE, BULK, 0),
    )
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_calls_are_counted_however_the_stream_is_cut(cuts):
    places = [0, *sorted(cuts), len(STREAM)]
    calls = Calls()
    found = []
    for begin, end in pairwise(places):
        found += calls.feed(STREAM[begin:end])
    assert found == [66, BULK, BULK]


def test_another_protocol_is_refused():
    with pytest.raises(ValueError, match="message of 3 bytes"):
        Calls().feed(struct.pack(">7I", 3, 0, 0, 0, 0, 0, 0))
