"""What the person sees: sentences, steps and the live table; with or without a terminal."""

import contextlib
import re
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from typing import IO, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from stack import cells, terminal
from stack.cells import Line
from stack.live_table import Size

_SHARE = re.compile(r"\[ *(\d+)%\] (.*)")


class _PipedConsole(Console):
    """rich ends the process when nobody reads its output any more; the stack must go on."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        raise BrokenPipeError


class Screen:
    """Writes to standard output and survives its loss.

    A closed terminal must not stop the ordered end of the stack, so a write that fails switches
    output off for good.
    """

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._console = terminal.console_of(stream or sys.stdout, kind=_PipedConsole)
        self._live: Live | None = None
        self._is_lost = False
        self._terminal_mode: list[Any] | None = None
        self._stdin = sys.stdin

    @property
    def is_terminal(self) -> bool:
        """True when a person can look at a table that moves."""
        return terminal.can_move(self._console.file) and not self._is_lost

    @property
    def size(self) -> Size:
        """Of what a table may fill: the terminal but its last line, where the cursor waits."""
        return Size(self._console.width, max(1, self._console.height - 1))

    def tell(self, text: str) -> None:
        """A line of its own, above the table."""
        if self._is_lost:
            return
        with self._guarded():
            self._console.print(text, markup=False)
            self._console.file.flush()

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        """A piece of work: named when it begins, with its time when it is done."""
        begin = time.monotonic()
        if self.is_terminal:
            with self._guarded():
                self._console.print(f"  {text} ...", end="\r", markup=False)
        try:
            yield
        except BaseException:
            self.tell(f"  {text}: failed")
            raise
        self.tell(f"  {text}: done in {time.monotonic() - begin:.1f} s")

    def work(self, text: str) -> None:
        """A line about work under way, such as `[ 45%] Compiling`; a bar where it can be one."""
        found = _SHARE.fullmatch(text)
        if found is None or not self.is_terminal:
            self.tell(f"    {text}")
            return
        share = int(found[1]) / 100
        line = cells.fit(
            f"    {cells.bar(share, 20)} {share:4.0%} {found[2]}", self.size.columns - 1
        )
        with self._guarded():
            # The next line takes its place; the last one stays.
            end = "\n" if share >= 1 else "\r"
            self._console.print(cells.left(line, self.size.columns - 1), end=end, markup=False)

    def open_table(self) -> None:
        """Begins the live table; key presses come one by one from now on."""
        if self._is_lost:
            return
        with self._guarded():
            self._live = Live(
                console=self._console, auto_refresh=False, transient=True, redirect_stdout=False
            )
            self._live.start()
        with contextlib.suppress(termios.error, OSError, ValueError):
            descriptor = self._stdin.fileno()
            mode = termios.tcgetattr(descriptor)
            self._terminal_mode = mode[:]
            # Keys at once and without echo; Ctrl-C stays a signal.
            mode[3] &= ~(termios.ICANON | termios.ECHO)
            termios.tcsetattr(descriptor, termios.TCSANOW, mode)

    def show(self, lines: Sequence[Line]) -> None:
        """Redraws the table."""
        if self._live is not None:
            texts = [Text.assemble(*line, no_wrap=True) for line in lines]
            with self._guarded():
                self._live.update(Group(*texts), refresh=True)

    def print(self, renderable: RenderableType) -> None:
        """Prints a renderable once."""
        if self._is_lost:
            return
        with self._guarded():
            self._console.print(renderable, soft_wrap=False)

    def close_table(self) -> None:
        """Ends the live table and gives the terminal back as it was."""
        live, self._live = self._live, None
        if live is not None:
            with self._guarded():
                live.stop()
        mode, self._terminal_mode = self._terminal_mode, None
        if mode is not None:
            with contextlib.suppress(termios.error, OSError, ValueError):
                termios.tcsetattr(self._stdin.fileno(), termios.TCSANOW, mode)

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError):
            self._is_lost = True
            self._live = None
