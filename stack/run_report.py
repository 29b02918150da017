"""The report at the end of a run: written while domains shut down, never in the way of anything."""

import asyncio
import contextlib
import math
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from servicekit import logs
from servicekit.lifecycle import Stop
from stack import service_plan
from stack.paths import StateDirectory

FILE_NAME = "report.html"
_SECONDS = 30.0
"""Counted from the end of the scaler; domains shut down meanwhile."""
# Domains that shut down go first.
_COMMAND = ("nice", "-n", "10", sys.executable, "-P", "-m", "scaler", "report")
_SHOWN = 300


class ReportFile:
    """Opened before privileges are dropped: its directory may be the caller's alone."""

    def __init__(self, path: Path) -> None:
        """Opens the file without emptying it: a refused start must not cost an old report."""
        self.path = path.absolute()
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def write(self, source: Path) -> None:
        """Replaces the file's content by that of another file."""
        with source.open("rb") as made, open(self._descriptor, "wb", closefd=False) as file:
            file.truncate(0)
            file.seek(0)
            shutil.copyfileobj(made, file)


class RunReport:
    """Has the scaler's program write the report; whatever fails is told and nothing else."""

    def __init__(
        self,
        state: StateDirectory,
        given: ReportFile | None,
        *,
        tell: Callable[[str], None],
        command: tuple[str, ...] = _COMMAND,
        seconds: float = _SECONDS,
    ) -> None:
        """`given`: where the caller wants it besides the state directory."""
        self._state = state
        self._given = given
        self._tell = tell
        self._command = command
        self._seconds = seconds
        self._task: asyncio.Task[None] | None = None

    def begin(self, *, since: float) -> None:
        """Once the scaler has recorded its last turn, while Prometheus still answers."""
        self._task = asyncio.create_task(self._write(since))

    async def finish(self, stop: Stop) -> None:
        """Waits for it, and no longer than it is worth; raises nothing."""
        task = self._task
        if task is None:
            return
        urgent = asyncio.create_task(stop.wait_urgent())
        try:
            await asyncio.wait({task, urgent}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                task.cancel()
                self._failed("not waited for")
            with contextlib.suppress(asyncio.CancelledError):
                await task
        except Exception as error:
            self._failed(repr(error))
        finally:
            urgent.cancel()

    async def _write(self, since: float) -> None:
        made = self._state.root / FILE_NAME
        fresh = made.with_name(f"{FILE_NAME}.new.html")
        try:
            said = await asyncio.wait_for(self._run(since, fresh), self._seconds)
            if said is not None:
                self._failed(said)
                return
            fresh.replace(made)
            if self._given is not None:
                await asyncio.to_thread(self._given.write, made)
        except TimeoutError:
            self._failed(f"not written within {self._seconds:.0f} s")
        except OSError as error:
            self._failed(f"{error.strerror}: {error.filename}")
        else:
            where = made if self._given is None else self._given.path
            self._tell(f"report of the run: {where}")
        finally:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)

    async def _run(self, since: float, path: Path) -> str | None:
        """Runs the program; returns what it said when it failed."""
        state = self._state
        process = await asyncio.create_subprocess_exec(
            *self._command,
            *("--config", str(state.configs / "scaler.yaml")),
            *("--state-dir", str(state.of("scaler"))),
            *(f"--from={math.floor(since)}", "--out", str(path)),
            env=service_plan.environment(state),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            _, said = await process.communicate()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        if process.returncode == 0:
            return None
        return said.decode("utf-8", "replace").strip()[-_SHOWN:] or f"code {process.returncode}"

    def _failed(self, why: str) -> None:
        logs.get().warning("report.not_written", reason=why)
        self._tell(f"no report of this run: {why}; try: virtscale report")
