"""The whole terminal for a while: drawn as lines, given back as it was, whatever happens."""

import asyncio
import contextlib
import io
import os
import signal
import sys
import termios
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from stack import keys, terminal
from stack.cells import Line
from stack.live_table import Size

# A screen of its own (what was there comes back), no cursor; and both again at the end.
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J"
_LEAVE = "\x1b[?25h\x1b[?1049l"
_HOME, _CLEAR_LINE, _CLEAR_REST = "\x1b[H", "\x1b[K", "\x1b[J"


class FullScreen:
    """On standard output and, when that is a terminal too, standard input.

    `on_key` is called with each key's name, `on_resize` when the size is another or the program
    was in the background.
    """

    def __init__(self, on_key: Callable[[str], None], on_resize: Callable[[], None]) -> None:
        self._on_key = on_key
        self._on_resize = on_resize
        self._input: int | None = None
        self._mode: list[Any] | None = None
        plain = terminal.console()
        self._console = Console(
            file=io.StringIO(),
            force_terminal=True,
            color_system=plain.color_system or None,  # type: ignore[arg-type]
            highlight=False,
            legacy_windows=False,
        )

    @property
    def size(self) -> Size:
        """As it is now."""
        return terminal.size(sys.stdout.fileno())

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """The screen and the keys are ours until the end of the block."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ValueError, OSError):
            self._input = sys.stdin.fileno() if sys.stdin.isatty() else None
        try:
            self._enter()
            if self._input is not None:
                loop.add_reader(self._input, self._read)
            loop.add_signal_handler(signal.SIGWINCH, self._on_resize)
            loop.add_signal_handler(signal.SIGTSTP, self._stand_aside)
            yield
        finally:
            for number in (signal.SIGWINCH, signal.SIGTSTP):
                loop.remove_signal_handler(number)
            if self._input is not None:
                loop.remove_reader(self._input)
            # A terminal that is gone cannot be restored and need not be.
            with contextlib.suppress(OSError):
                self._leave()

    def paint(self, lines: Sequence[Line]) -> None:
        """Replaces everything on the screen.

        Raises:
            OSError: the terminal is gone.

        """
        rendered = [self._ansi(line) for line in lines]
        self._write(_HOME + (_CLEAR_LINE + "\r\n").join(rendered) + _CLEAR_LINE + _CLEAR_REST)

    def _ansi(self, line: Line) -> str:
        text = Text.assemble(*(span for span in line if span[0]), no_wrap=True, end="")
        with self._console.capture() as captured:
            self._console.print(text, overflow="ignore", crop=False, soft_wrap=True, end="")
        return captured.get()

    def _enter(self) -> None:
        if self._input is not None:
            with contextlib.suppress(termios.error):
                self._mode = termios.tcgetattr(self._input)
                mode = [*self._mode]
                # Keys at once and without echo; Ctrl-C and Ctrl-Z stay signals.
                mode[3] &= ~(termios.ICANON | termios.ECHO)
                termios.tcsetattr(self._input, termios.TCSANOW, mode)
        self._write(_ENTER)

    def _leave(self) -> None:
        mode, self._mode = self._mode, None
        if mode is not None and self._input is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._input, termios.TCSADRAIN, mode)
        self._write(_LEAVE)

    def _stand_aside(self) -> None:
        """Ctrl-Z: the shell gets a terminal that works; `fg` brings the table back."""
        self._leave()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._enter()
        self._on_resize()

    def _read(self) -> None:
        assert self._input is not None
        try:
            data = os.read(self._input, 4096)
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._input)
            return
        for key in keys.pressed(data.decode("utf-8", "replace")):
            self._on_key(key)

    def _write(self, text: str) -> None:
        encoded = text.encode(sys.stdout.encoding or "utf-8", "replace")
        descriptor = sys.stdout.fileno()
        while encoded:
            encoded = encoded[os.write(descriptor, encoded) :]
