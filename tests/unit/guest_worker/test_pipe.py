import os
from collections.abc import Iterator

import pytest

from guest_worker import pipe


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)


def test_frames_arrive_whole_however_the_pipe_cuts_them(ends: tuple[int, int]) -> None:
    reader, writer = ends
    pipe.write(writer, ("jobs", (1, "legacy-sha256", b"\0\xff", "", None, None)))
    pipe.write(writer, ("cancel", 1))
    data = os.read(reader, 65536)
    cut = pipe.Reader(reader)
    frames: list[pipe.Frame] = []
    for byte in data:
        os.write(writer, bytes([byte]))
        frames.extend(cut.read() or [])
    assert frames == [("jobs", (1, "legacy-sha256", b"\0\xff", "", None, None)), ("cancel", 1)]
    os.close(writer)
    assert cut.read() is None
