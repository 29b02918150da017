"""How far a longer piece of work is: a bar at a terminal, now and then a plain line elsewhere.

Nothing is shown in the first second: what is quick needs no bar.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import IO

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

from stack import terminal, ticking

_QUIET_SECONDS = 1.0
_LINE_SECONDS = 5.0
_DRAW_SECONDS = 0.1


class Progress:
    """One piece of work. `total` may become known later; without it only time is shown."""

    def __init__(
        self,
        text: str,
        *,
        total: int | None = None,
        noun: str = "",
        is_silent: bool = False,
        stream: IO[str] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`noun` is what is counted; without one, shares are shown. `is_silent`: never a bar."""
        self._text = text
        self._total = total
        self._noun = noun
        self._done = 0
        self._is_silent = is_silent
        self._stream = sys.stderr if stream is None else stream
        self._monotonic = monotonic
        self._began = monotonic()
        self._next_line = self._began + _LINE_SECONDS
        self._next_draw = self._began
        self._can_move = terminal.can_move(self._stream)
        self._console = terminal.console_of(self._stream)
        counted: list[ProgressColumn] = [MofNCompleteColumn()] if noun else [TaskProgressColumn()]
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            *counted,
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            auto_refresh=False,
        )
        self._task = self._bar.add_task(text, total=total)
        self._is_shown = False
        self._said = ""

    def set(self, done: int, total: int | None = None, text: str | None = None) -> None:
        """How far it is now."""
        self._done = done
        self._total = self._total if total is None else total
        self._text = self._text if text is None else text
        self.tick()

    def advance(self, count: int = 1) -> None:
        """So much more is done."""
        self.set(self._done + count)

    def tick(self) -> None:
        """Time has passed: shows it."""
        now = self._monotonic()
        if self._is_silent or now - self._began < _QUIET_SECONDS:
            return
        if self._can_move:
            if now < self._next_draw:
                return
            self._next_draw = now + _DRAW_SECONDS
            if not self._is_shown:
                self._bar.start()
                self._is_shown = True
            self._bar.update(
                self._task, completed=self._done, total=self._total, description=self._text
            )
            self._bar.refresh()
        elif now >= self._next_line:
            self._next_line = now + _LINE_SECONDS
            self.say(f"{self._text}: {self._how_far(now - self._began)}")

    def say(self, text: str) -> None:
        """A line of its own, above the bar; not twice the same in a row."""
        if text == self._said:
            return
        self._said = text
        # Somebody who closed standard error wants the work all the same.
        with contextlib.suppress(OSError, ValueError):
            self._console.print(text, markup=False)

    def close(self) -> None:
        """The bar disappears."""
        if self._is_shown:
            self._bar.stop()
            self._is_shown = False

    def _how_far(self, seconds: float) -> str:
        if self._total is None:
            return f"still working after {seconds:.0f} s"
        share = self._done / self._total if self._total else 1.0
        counted = f"{self._done:,} of {self._total:,} {self._noun}, " if self._noun else ""
        return f"{counted}{share:.0%} after {seconds:.0f} s"


@contextlib.contextmanager
def shown(
    text: str, *, total: int | None = None, noun: str = "", is_silent: bool = False
) -> Iterator[Progress]:
    """Shows a piece of work on standard error until the end of the block."""
    progress = Progress(text, total=total, noun=noun, is_silent=is_silent)
    try:
        yield progress
    finally:
        progress.close()


@contextlib.contextmanager
def waiting(text: str, *, seconds: float = 0.25) -> Iterator[None]:
    """Shows that somebody else works, such as a program that says nothing until it is done."""
    with shown(text) as progress, ticking.beside(progress.tick, seconds=seconds):
        yield
