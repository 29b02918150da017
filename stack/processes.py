"""Processes by pid and start time: a pid alone may belong to somebody else by now."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class ProcessId:
    """A process that cannot be mistaken for a later one with the same pid."""

    pid: int
    start_ticks: int

    @staticmethod
    def of(pid: int) -> "ProcessId | None":
        """The process with this pid now; None when there is none (a zombie is none)."""
        fields = _stat(pid)
        return None if fields is None else ProcessId(pid, int(fields[19]))

    @property
    def is_alive(self) -> bool:
        """True while this very process runs."""
        return ProcessId.of(self.pid) == self

    def cpu_seconds(self) -> float:
        """CPU time it used so far, without its children; 0 when it is gone."""
        fields = _stat(self.pid)
        if fields is None or int(fields[19]) != self.start_ticks:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def write_pid_file(path: Path, process: ProcessId) -> None:
    """Records a started process, for a later run to find."""
    temporary = path.with_suffix(".new")
    temporary.write_text(f"{process.pid} {process.start_ticks}\n", encoding="ascii")
    temporary.replace(path)


def read_pid_file(path: Path) -> ProcessId | None:
    """The recorded process if it still runs."""
    try:
        pid, ticks = path.read_text(encoding="ascii").split()
        process = ProcessId(int(pid), int(ticks))
    except (OSError, ValueError):
        return None
    return process if process.is_alive else None


def end(process: ProcessId, *, grace_seconds: float) -> None:
    """SIGTERM, and SIGKILL after the grace; returns when it is gone."""
    for number, wait_seconds in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 5.0)):
        if not process.is_alive:
            return
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + wait_seconds
        while process.is_alive and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)


def end_recorded(directory: Path, *, grace_seconds: float = 5.0) -> list[str]:
    """Ends every process recorded in the directory's pid files; returns the services' names."""
    ended = []
    for path in sorted(directory.glob("*.pid")):
        process = read_pid_file(path)
        if process is not None:
            end(process, grace_seconds=grace_seconds)
            ended.append(path.stem)
        path.unlink(missing_ok=True)
    return ended


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    # The name may hold spaces and parentheses: everything of use comes after the last one.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields
