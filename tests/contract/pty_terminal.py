"""A terminal in which a program runs: keys go in, frames come out, its size can change."""

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence

# Makes the pseudo-terminal the program's own, so that a new size and Ctrl-C reach it as signals.
_LAUNCH = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)
_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_HOME = "\x1b[H"


class Terminal:
    """Runs `python ARGUMENTS` in a terminal of so many columns and lines."""

    def __init__(
        self, arguments: Sequence[str], environ: Mapping[str, str], *, columns: int, lines: int
    ) -> None:
        self.written = ""
        self._master, slave = os.openpty()
        self._slave = slave
        self.resize(columns, lines)
        self.mode_before = termios.tcgetattr(slave)
        self.process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCH, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={"TERM": "xterm-256color", **environ},
        )

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)
        os.close(self._slave)

    def resize(self, columns: int, lines: int) -> None:
        """The window has another size now; the program is told."""
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    def press(self, keys: str) -> None:
        """Types."""
        os.write(self._master, keys.encode())

    def frame(self) -> list[str]:
        """The lines last drawn."""
        last = self.written.rpartition(_HOME)[2]
        return [_SEQUENCE.sub("", line).rstrip("\r") for line in last.split("\n")]

    def shows(self, text: str) -> bool:
        """True when it stands on the screen."""
        return any(text in line for line in self.frame())

    def wait_for(self, what: str, is_so: Callable[[], bool], *, seconds: float = 20.0) -> None:
        """Reads what is drawn until something is so."""
        deadline = time.monotonic() + seconds
        while not is_so():
            left = deadline - time.monotonic()
            assert left > 0, (
                f"{what}: not within {seconds} s; last written:\n{self.written[-2000:]}"
            )
            ready, _, _ = select.select([self._master], [], [], min(left, 0.1))
            if ready:
                self.written += os.read(self._master, 65_536).decode("utf-8", "replace")

    def wait_for_text(self, text: str) -> None:
        """Until a text stands on the screen."""
        self.wait_for(f"{text!r} is shown", lambda: self.shows(text))

    def wait(self) -> int:
        """Until the program has ended; its exit code."""
        self.wait_for("the program ends", lambda: self.process.poll() is not None)
        while select.select([self._master], [], [], 0)[0]:
            self.written += os.read(self._master, 65_536).decode("utf-8", "replace")
        return int(self.process.wait())

    def is_restored(self) -> bool:
        """True when keys echo, the cursor shows and the screen is the one from before."""
        after = termios.tcgetattr(self._slave)
        shown = self.written.rfind("\x1b[?25h") > self.written.rfind("\x1b[?25l")
        back = self.written.rfind("\x1b[?1049l") > self.written.rfind("\x1b[?1049h")
        return after == self.mode_before and shown and back
