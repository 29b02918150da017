"""What processes use, from /proc: CPU time, resident memory, proportional memory."""

import contextlib
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PSS = re.compile(r"^Pss:\s+(\d+) kB", re.M)
_PRIVATE = re.compile(r"^Private_(?:Clean|Dirty):\s+(\d+) kB", re.M)
_RSS = re.compile(r"^VmRSS:\s+(\d+) kB", re.M)


def family(pid: int) -> list[int]:
    """The process and its living descendants."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(fields[1])
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time used so far by these processes and by the children they have waited for."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError, IndexError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / _TICKS_PER_SECOND


def cpu_clock(pid: int) -> float:
    """CPU seconds of one living process and its threads, to the nanosecond.

    What `/proc` tells is counted in hundredths of a second: too coarse for a single scrape.

    Raises:
        OSError: there is no such process.

    """
    # How Linux makes a clock of a process id: its complement, and 2 for scheduled time.
    return time.clock_gettime((~pid << 3) | 2)


def resident_bytes(pid: int) -> int:
    """Resident memory of one process; 0 when it is gone."""
    try:
        found = _RSS.search(Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def proportional_bytes(pids: Iterable[int]) -> int:
    """Memory of several processes, each shared page counted once in all."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            found = _PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_text())
            total += int(found[1]) * 1024 if found else 0
    return total


def alone_bytes(pids: Sequence[int]) -> int:
    """Memory that these processes would take on a machine with nothing else on it.

    The first one's resident pages, which hold all that it shares, and the others' private ones. The
    sum of proportional memory is less here, where other processes share the same libraries.
    """
    total = resident_bytes(pids[0])
    for pid in pids[1:]:
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += sum(map(int, _PRIVATE.findall(text))) * 1024
    return total


def busy_seconds() -> float:
    """CPU time that all processes of the machine have used since its start."""
    user, nice, system, _idle, _wait, irq, softirq, *_ = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) / _TICKS_PER_SECOND


class CpuMeter:
    """CPU time of named process families between two instants."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._families = {name: family(pid) for name, pid in pids.items()}
        self._before = self._read()
        self._busy = busy_seconds()

    def _read(self) -> dict[str, float]:
        return {name: cpu_seconds(pids) for name, pids in self._families.items()}

    def seconds(self) -> dict[str, float]:
        """CPU seconds by name since the meter was made."""
        now = self._read()
        return {name: now[name] - self._before[name] for name in now}

    def others(self) -> float:
        """CPU seconds that the rest of the machine used since the meter was made."""
        return max(0.0, busy_seconds() - self._busy - sum(self.seconds().values()))
