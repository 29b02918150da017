"""What the kernel tells of a network card that announced itself."""

import struct

import pytest

from guest_worker.announcements import Announcements, is_announcement


def message(kind, *attributes):
    body = b"\0" * 16
    for number, value in attributes:
        data = value if isinstance(value, bytes) else struct.pack("=I", value)
        padding = b"\0" * (-len(data) % 4)
        body += struct.pack("=HH", 4 + len(data), number) + data + padding
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


NAME = (3, b"eth0\0")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (message(16, NAME, (44, 4)), True),
        (message(16, NAME) + message(16, NAME, (44, 4)), True),
        (message(16, NAME), False),
        (message(16, NAME, (44, 1)), False),
        (message(17, NAME, (44, 4)), False),
        (b"", False),
        (b"\0" * 64, False),
        (message(16, NAME, (44, 4))[:-3], False),
        (b"\xff" * 64, False),
    ],
)
def test_tells_an_announcement_from_other_news(data, expected):
    assert is_announcement(data) is expected


def test_nothing_arrives_before_it_listens_and_after_it_ends():
    news = Announcements()
    assert (news.file_descriptors(), news.take()) == ((), False)
    news.open()
    assert not news.take()
    news.close()
    assert (news.file_descriptors(), news.take()) == ((), False)
