"""Frames between the worker and its hashing processes: length (4 bytes), then a marshalled tuple.

`marshal` is part of the interpreter and costs no import; both ends are the same interpreter. A
frame of answers fits into an empty pipe, so a hashing process never waits for its worker; a frame
of requests may be larger, and the worker waits until the process has read it.
"""

import marshal
import os
from typing import Any

# One plain tuple of strings, bytes, numbers and tuples of them.
Frame = tuple[Any, ...]

_LENGTH_BYTES = 4


def write(descriptor: int, frame: Frame) -> None:
    """Write one frame. OSError when the other end is gone."""
    body = marshal.dumps(frame)
    data = len(body).to_bytes(_LENGTH_BYTES, "little") + body
    while data:
        data = data[os.write(descriptor, data) :]


class Reader:
    """Cuts what a pipe delivers into frames."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = b""

    def read(self) -> list[Frame] | None:
        """Read once; the frames that are complete, perhaps none. None at the end of the pipe.

        Blocks as the descriptor does; on a non-blocking one BlockingIOError means "nothing yet".
        """
        data = os.read(self._descriptor, 65536)
        if not data:
            return None
        self._buffer += data
        frames: list[Frame] = []
        while len(self._buffer) >= _LENGTH_BYTES:
            end = _LENGTH_BYTES + int.from_bytes(self._buffer[:_LENGTH_BYTES], "little")
            if len(self._buffer) < end:
                break
            frames.append(marshal.loads(self._buffer[_LENGTH_BYTES:end]))
            self._buffer = self._buffer[end:]
        return frames
