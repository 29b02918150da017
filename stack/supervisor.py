"""The stack's services as child processes: started, watched, restarted, stopped in order."""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from servicekit.clock import Clock
from servicekit.lifecycle import StartError
from stack.paths import StateDirectory
from stack.processes import ProcessId, write_pid_file
from stack.restart import CrashHistory

Probe = Callable[[], Awaitable[str | None]]
"""Says why a service is not ready; None when it is."""

_TAIL_LINES = 12
_PROBE_SECONDS = 0.1
_USAGE_ERROR = 2


@dataclass(frozen=True)
class Service:
    """A child process of the stack."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    stop_seconds: float = 10.0
    """Time from SIGTERM to SIGKILL."""


@dataclass
class _Child:
    service: Service
    process: asyncio.subprocess.Process | None = None
    identity: ProcessId | None = None
    watch: asyncio.Task[None] | None = None
    crashes: CrashHistory = field(default_factory=CrashHistory)
    restarts: int = 0
    cpu_of_the_dead: float = 0.0
    last_cpu: float = 0.0
    exit_code: int | None = None
    is_stopping: bool = False


class Supervisor:
    """Owns the children. Their processes die with this one, even when it is killed."""

    def __init__(self, state: StateDirectory, clock: Clock, *, tell: Callable[[str], None]) -> None:
        """`tell` takes a sentence for the person at the screen."""
        self._state = state
        self._clock = clock
        self._tell = tell
        self._children: dict[str, _Child] = {}
        self._setpriv = shutil.which("setpriv")

    async def start(self, service: Service) -> None:
        """Starts a service and keeps it running from now on.

        Raises:
            StartError: when its program cannot be run at all.

        """
        log = self._state.log(service.name)
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        child = _Child(service)
        self._children[service.name] = child
        await self._spawn(child)
        child.watch = asyncio.create_task(self._watch(child), name=f"watch {service.name}")

    async def wait_ready(self, name: str, probe: Probe, *, seconds: float) -> None:
        """Returns when the probe says so.

        Raises:
            StartError: when it is not ready in time or dies while starting; shows its log's end.

        """
        child = self._children[name]
        deadline = self._clock.monotonic() + seconds
        while True:
            reason = await probe()
            if reason is None:
                return
            if child.exit_code == _USAGE_ERROR or child.restarts >= 2:
                raise StartError(
                    f"the {name} cannot start (exit code {child.exit_code}); {self.tail(name)}"
                )
            if self._clock.monotonic() > deadline:
                raise StartError(
                    f"the {name} is not ready after {seconds:.0f} s ({reason}); {self.tail(name)}"
                )
            await self._clock.sleep(_PROBE_SECONDS)

    def tail(self, name: str) -> str:
        """The last lines of a service's log, with its path."""
        path = self._state.log(name)
        try:
            with path.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 16_384))
                lines = file.read().decode("utf-8", "replace").splitlines()[-_TAIL_LINES:]
        except OSError:
            lines = []
        if not lines:
            return f"its log {path} is empty"
        return f"the end of its log {path}:\n" + "\n".join(f"    {line}" for line in lines)

    async def stop(self, name: str) -> None:
        """Ends one service: SIGTERM, and SIGKILL after its time; returns when it is gone."""
        child = self._children.get(name)
        if child is None:
            return
        child.is_stopping = True
        process = child.process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), child.service.stop_seconds)
            except TimeoutError:
                self._tell(f"the {name} did not stop in time and is killed")
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if child.watch is not None:
            child.watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await child.watch
        self._sample(child)
        (self._state.run / f"{name}.pid").unlink(missing_ok=True)

    def hurry(self) -> None:
        """Kills every child that still runs; the stop under way then ends at once."""
        for child in self._children.values():
            child.is_stopping = True
            if child.process is not None and child.process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.process.pid, signal.SIGKILL)

    def cpu_seconds(self) -> dict[str, float]:
        """CPU time each service used since its first start, restarts included."""
        for child in self._children.values():
            self._sample(child)
        return {
            name: child.cpu_of_the_dead + child.last_cpu for name, child in self._children.items()
        }

    def restarts(self) -> dict[str, int]:
        """How often each service had to be started again."""
        return {name: child.restarts for name, child in self._children.items()}

    def pid(self, name: str) -> int | None:
        """The service's process now."""
        child = self._children.get(name)
        return None if child is None or child.identity is None else child.identity.pid

    def _sample(self, child: _Child) -> None:
        if child.identity is not None:
            child.last_cpu = max(child.last_cpu, child.identity.cpu_seconds())

    async def _spawn(self, child: _Child) -> None:
        service = child.service
        # setpriv sets the signal between fork and exec; doing it in Python would run code in a
        # forked copy of a process with threads, which can deadlock.
        guard = (self._setpriv, "--pdeathsig", "TERM", "--") if self._setpriv else ()
        log = self._state.log(service.name)
        try:
            with log.open("ab") as file:
                child.process = await asyncio.create_subprocess_exec(
                    *guard,
                    *service.command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    cwd=self._state.root,
                    env=dict(service.environment),
                    start_new_session=True,
                )
        except OSError as error:
            raise StartError(
                f"the {service.name} cannot be started: {service.command[0]}: {error.strerror}"
            ) from None
        child.cpu_of_the_dead += child.last_cpu
        child.last_cpu = 0.0
        child.identity = ProcessId.of(child.process.pid)
        if child.identity is not None:
            write_pid_file(_pid_file(self._state.run, service.name), child.identity)

    async def _watch(self, child: _Child) -> None:
        name = child.service.name
        while True:
            assert child.process is not None
            code = await child.process.wait()
            if child.is_stopping:
                return
            child.exit_code = code
            child.crashes = child.crashes.after_crash(self._clock.monotonic())
            delay = child.crashes.delay_seconds
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited ({code})"
            self._tell(f"the {name} {how}; started again in {delay:.1f} s")
            await self._clock.sleep(delay)
            with contextlib.suppress(StartError):
                await self._spawn(child)
            child.restarts += 1


def _pid_file(directory: Path, name: str) -> Path:
    return directory / f"{name}.pid"
