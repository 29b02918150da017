"""`virtscale top` while it runs: looks, keys, and the end of the stack it looks at."""

import asyncio
import contextlib
import dataclasses
import signal
import sys
import time
from typing import Any

from servicekit.config import ConfigError
from stack import (
    endpoints,
    http_api,
    live_table,
    lock,
    observation,
    scaler_api,
    table,
    terminal,
    up_entry,
)
from stack.endpoints import Endpoints
from stack.full_screen import FullScreen
from stack.live_table import Look
from stack.monitor import Monitor
from stack.paths import StateDirectory
from stack.pool_view import Snapshot

_FIRST_LOOK_SECONDS = 3.0
_SAID_SECONDS = 8.0
_KEYS = "q: leave  arrows: select, why  Enter: all of it  s: sort by {order}  p: {pause}"
_SHORT_KEYS = "q leave, arrows why, s sort, p {pause}"
_PAGE = 10
_FAR = 1_000_000
_STEPS = {"up": -1, "down": 1, "page up": -_PAGE, "page down": _PAGE, "home": -_FAR, "end": _FAR}
_QUESTION = "pause scaling until somebody resumes it? y: yes, any other key: no"
_QUESTION_BACK = "let scaling go on? y: yes, any other key: no"


class TopSession:
    """Runs once; returns the exit code."""

    def __init__(
        self,
        directory: StateDirectory,
        *,
        interval: float,
        author: str,
        is_live: bool,
        is_once: bool,
    ) -> None:
        """`interval` in seconds; `author` is who pauses; `is_live`: on a terminal that can move."""
        self._directory = directory
        self._interval = interval
        self._author = author
        self._is_live = is_live
        self._is_once = is_once
        self._code: int | None = None
        self._is_ended = False
        self._changed = asyncio.Event()
        self._screen = FullScreen(self._press, self._changed.set)
        self._look = Look()
        self._snapshot = Snapshot(at=0.0)
        self._reading: list[str] | None = None
        self._offset = 0
        self._is_asking = False
        self._is_explaining = False
        self._said = ("", 0.0)
        self._scaler = ""
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """Until somebody or the stack ends it.

        Raises:
            StartError: when no stack runs, or when it has ended without saying so.

        """
        found = endpoints.read(self._directory)
        # The private libvirtd answers only its own user.
        up_entry.become_stack_user(self._directory)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._end_by, number)
        with self._screen.opened() if self._is_live else contextlib.nullcontext():
            while self._code is None:
                found = await self._watch(found)
        return self._farewell()

    async def _watch(self, found: Endpoints) -> Endpoints:
        """Shows one stack until it or we end; the next one's addresses if there is a next."""
        self._scaler = found.scaler
        self._look = dataclasses.replace(self._look, pool=found.pool)
        async with observation.of(found) as monitor:
            following = asyncio.create_task(monitor.follow(seconds=self._interval))
            try:
                await self._first_look(monitor)
                while self._code is None:
                    self._snapshot = monitor.snapshot()
                    self._show(self._snapshot)
                    if self._is_once:
                        self._code = 0
                        break
                    self._explain()
                    await self._wait()
                    if following.done():
                        following.result()
                    now = self._stack_now(found)
                    if now != found:
                        return now
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
        return found

    async def _first_look(self, monitor: Monitor) -> None:
        """The first picture is a whole one, unless a part of the stack takes its time."""
        waits = [
            asyncio.ensure_future(monitor.wait_for_all()),
            asyncio.ensure_future(self._changed.wait()),
        ]
        await asyncio.wait(waits, timeout=_FIRST_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _wait(self) -> None:
        """Until the next look is due; keys and a new size are shown at once."""
        deadline = time.monotonic() + self._interval
        while self._code is None and (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left)
            if self._changed.is_set() and self._code is None:
                self._changed.clear()
                if self._is_live:
                    self._show(self._snapshot)

    def _stack_now(self, found: Endpoints) -> Endpoints:
        """The stack as announced. A stack that is ending has no announcement but still its lock."""
        try:
            return endpoints.read(self._directory)
        except endpoints.NotRunningError:
            if lock.holder(self._directory.lock) is not None:
                self._say("the stack is stopping, or starting")
                return found
            self._is_ended = True
            self._code = 1 if self._directory.endpoints.exists() else 0
            return found

    def _farewell(self) -> int:
        assert self._code is not None
        root = self._directory.root
        if self._is_ended and self._code:
            sys.stderr.write(
                f"error: the stack in {root} is gone without an orderly end; "
                "remove what it left with: virtscale down\n"
            )
        elif self._is_ended:
            sys.stderr.write(f"the stack in {root} has ended\n")
        return self._code

    def _end_by(self, number: int) -> None:
        self._code = 0 if number == signal.SIGINT else 128 + number
        self._changed.set()

    # What is shown.

    def _show(self, snapshot: Snapshot) -> None:
        if not self._is_live:
            if self._is_once and sys.stdout.isatty():
                self._print_once(snapshot)
            else:
                sys.stdout.write(table.status_line(snapshot) + "\n")
                sys.stdout.flush()
            return
        size = self._screen.size
        if self._reading is not None:
            title = f"{self._look.selected}: why"
            lines = live_table.draw_text(title, self._reading, size, offset=self._offset)
        else:
            look = dataclasses.replace(self._look, footer=self._footer(size.columns))
            lines = live_table.draw(snapshot, size, look, table.clock)
        try:
            self._screen.paint(lines)
        except OSError:
            # The terminal is gone; so is whoever looked.
            self._end_by(signal.SIGHUP)

    def _print_once(self, snapshot: Snapshot) -> None:
        from rich.text import Text

        size = dataclasses.replace(terminal.size(sys.stdout.fileno()), lines=_FAR)
        for line in live_table.draw(snapshot, size, self._look, table.clock):
            text = Text.assemble(*(span for span in line if span[0]), no_wrap=True)
            terminal.console().print(text, soft_wrap=True)

    def _footer(self, columns: int) -> tuple[str, ...]:
        if self._is_asking:
            return (_QUESTION_BACK if self._snapshot.scaler.hold else _QUESTION,)
        text, until = self._said
        pause = "resume" if self._snapshot.scaler.hold else "pause"
        keys = _KEYS.format(order=live_table.next_order(self._look.order), pause=pause)
        if len(keys) > columns:
            keys = _SHORT_KEYS.format(pause=pause)
        return (text, keys) if text and time.monotonic() < until else (keys,)

    def _say(self, text: str) -> None:
        self._said = (text, time.monotonic() + _SAID_SECONDS)
        self._changed.set()

    # Keys.

    def _press(self, key: str) -> None:
        if self._is_asking:
            self._is_asking = False
            if key in ("y", "Y"):
                self._start(self._hold(is_held=not self._snapshot.scaler.hold))
            else:
                self._say("nothing was changed")
        elif self._reading is not None:
            self._scroll(key)
        elif key in ("q", "Q"):
            self._code = 0
        elif key in _STEPS:
            selected = live_table.next_selected(self._snapshot, self._look, _STEPS[key])
            self._look = dataclasses.replace(self._look, selected=selected, why=("asking ...",))
            self._explain()
        elif key == "enter" and self._look.why:
            self._reading, self._offset = list(self._look.why), 0
        elif key == "escape":
            self._look = dataclasses.replace(self._look, selected="", why=())
        elif key in ("s", "S"):
            order = live_table.next_order(self._look.order)
            self._look = dataclasses.replace(self._look, order=order)
            self._say(f"sorted by {order}")
        elif key in ("p", "P"):
            self._is_asking = True
        elif len(key) == 1:
            self._say(f"no such key: {key}")
        self._changed.set()

    def _scroll(self, key: str) -> None:
        if key in ("enter", "escape", "q", "Q"):
            self._reading = None
        elif key in _STEPS and self._reading is not None:
            last = sum(1 + len(line) // self._screen.size.columns for line in self._reading)
            self._offset = max(0, min(last, self._offset + _STEPS[key]))

    def _start(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _explain(self) -> None:
        if self._is_live and self._look.selected and not self._is_explaining:
            self._is_explaining = True
            self._start(self._ask_why())

    async def _ask_why(self) -> None:
        """One question at a time, however fast somebody moves and however slow the scaler is."""
        domain = ""
        why: tuple[str, ...] = ()
        try:
            while domain != self._look.selected:
                domain = self._look.selected
                why = await self._why(domain)
            self._look = dataclasses.replace(self._look, why=why)
        finally:
            self._is_explaining = False
        self._changed.set()

    async def _why(self, domain: str) -> tuple[str, ...]:
        if not domain:
            return ()
        try:
            answer = await scaler_api.explain(self._scaler, {"domain": domain, "actions": "5"})
            return tuple(scaler_api.explanation_lines(answer))
        except http_api.HttpError as error:
            return (f"{domain}: {error}",)

    async def _hold(self, *, is_held: bool) -> None:
        from stack import site_secrets

        try:
            await scaler_api.hold(
                self._scaler,
                is_held=is_held,
                token=site_secrets.control_token(self._directory),
                author=self._author,
                reason="key p in virtscale top",
            )
        except (http_api.HttpError, ConfigError) as error:
            self._say(f"the scaler did not take it: {error}")
            return
        self._say("scaling is paused until somebody resumes it" if is_held else "scaling goes on")
