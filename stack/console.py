"""The console of a running `up`: the table, the status lines and what a person types."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable

from servicekit.clock import Clock
from servicekit.lifecycle import Stop
from stack import console_lines, live_table, table
from stack.live_table import Look
from stack.monitor import Monitor
from stack.screen import Screen

_REFRESH_SECONDS = 0.5
_LINE_SECONDS = 5.0
_HINT_SECONDS = 10.0
_DECISIONS = 3

Hold = Callable[[bool], Awaitable[str]]
"""Holds scaling (True) or lets it go on; returns a sentence."""


class Console:
    """Shows the run and takes lines until the run ends."""

    def __init__(
        self,
        screen: Screen,
        monitor: Monitor,
        *,
        clock: Clock,
        stop: Stop,
        describe_load: Callable[[], str],
        set_delta: Callable[[float], str],
        hold: Hold,
    ) -> None:
        """`set_delta` returns a sentence, or why it cannot be done."""
        self._screen = screen
        self._monitor = monitor
        self._clock = clock
        self._stop = stop
        self._describe_load = describe_load
        self._set_delta = set_delta
        self._hold = hold
        self._editor = console_lines.LineEditor()
        self._lines: asyncio.Queue[str] = asyncio.Queue()
        self._hint = ""
        self._hint_until = 0.0

    async def run(self) -> None:
        """Shows and listens for ever; cancel it."""
        is_table = self._screen.is_terminal
        if is_table:
            self._screen.open_table()
        descriptor = self._listen(by_key=is_table and sys.stdin.isatty())
        lines = asyncio.create_task(self._obey())
        try:
            while True:
                if is_table and self._screen.is_terminal:
                    self._draw()
                    await self._clock.sleep(_REFRESH_SECONDS)
                else:
                    self._screen.tell(
                        table.status_line(self._monitor.snapshot(), load=self._describe_load())
                    )
                    await self._clock.sleep(_LINE_SECONDS)
        finally:
            lines.cancel()
            if descriptor is not None:
                asyncio.get_running_loop().remove_reader(descriptor)
            self._screen.close_table()

    def _draw(self) -> None:
        hint = self._hint if self._clock.monotonic() < self._hint_until else ""
        footer = (*([hint] if hint else []), f"> {self._editor.text}_")
        look = Look(
            pool=self._monitor.pool,
            load=self._describe_load(),
            decisions=_DECISIONS,
            footer=footer,
        )
        size = self._screen.size
        # The table stands below what was told; a screen of it alone would scroll that away.
        lines = live_table.draw(self._monitor.snapshot(), size, look, table.clock)
        self._screen.show(lines)

    def _listen(self, *, by_key: bool) -> int | None:
        try:
            descriptor = sys.stdin.fileno()
            loop = asyncio.get_running_loop()
            # Regular files cannot be waited for; they are no console either.
            loop.add_reader(descriptor, self._read, descriptor, by_key)
        except (OSError, ValueError, AttributeError):
            return None
        return descriptor

    def _read(self, descriptor: int, by_key: bool) -> None:
        try:
            data = os.read(descriptor, 4096)
        except OSError:
            data = b""
        if not data:
            # The end of input is not the wish to end: it may be /dev/null from the start.
            asyncio.get_running_loop().remove_reader(descriptor)
            return
        for line in self._editor.feed(data.decode("utf-8", "replace")):
            self._lines.put_nowait(line)
        if by_key and self._screen.is_terminal:
            self._draw()

    async def _obey(self) -> None:
        while True:
            line = console_lines.understand(await self._lines.get())
            if line.kind == "terminate":
                self._stop.request("terminate")
            elif line.kind == "delta":
                self._say(self._set_delta(line.delta))
            elif line.kind in ("pause", "resume"):
                self._say(await self._hold(line.kind == "pause"))
            elif line.kind == "status":
                self._screen.print(
                    table.render(self._monitor.snapshot(), load=self._describe_load())
                )
            elif line.kind in ("help", "hint"):
                self._say(console_lines.HELP if line.kind == "help" else line.hint)

    def _say(self, text: str) -> None:
        self._hint, self._hint_until = text, self._clock.monotonic() + _HINT_SECONDS
        if not self._screen.is_terminal:
            self._screen.tell(text)
        else:
            with contextlib.suppress(ValueError):
                self._draw()
