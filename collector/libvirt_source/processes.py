"""QEMU's processes on this host: how much memory they hold, as libvirt itself reads it.

libvirt takes the resident size of a domain from field 24 of /proc/PID/stat, and so do we.
"""

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

_PROGRAMS = (b"qemu", b"kvm")
_UUID_OPTION = b"-uuid"
_LONGEST_COMMAND = 1 << 18
_AFTER_NAME = 3
"""The number of the first field behind the program's name, which may hold anything."""
_STARTED, _RESIDENT = 22 - _AFTER_NAME, 24 - _AFTER_NAME


@dataclass(frozen=True, slots=True)
class Process:
    """One process. Its number may belong to another one later, which began at another time."""

    pid: int
    started: int
    """Clock ticks after the host's boot."""


class Processes:
    """The processes that can be seen here: those of a container, or one's own, may be all."""

    def __init__(self, root: Path = Path("/proc")) -> None:
        self._root = root
        self._page_kib = os.sysconf("SC_PAGE_SIZE") // 1024

    def find(self, uuids: Collection[str]) -> dict[str, Process]:
        """The QEMU of each domain, by UUID; without those that have none, or more than one, here.

        So nobody is believed who takes the looks of a domain that runs. It can take as long as a
        process is busy with its own memory: until then the kernel does not tell its command line.
        """
        wanted = {uuid.encode(): uuid for uuid in uuids}
        found: dict[str, list[Process]] = {}
        for pid in self._pids():
            uuid = wanted.get(self._uuid(pid))
            if uuid is not None and (stat := self._stat(pid)) is not None:
                found.setdefault(uuid, []).append(Process(pid, stat[0]))
        return {uuid: several[0] for uuid, several in found.items() if len(several) == 1}

    def resident_kib(self, process: Process) -> int | None:
        """Resident memory; None when the process has ended."""
        stat = self._stat(process.pid)
        if stat is None or stat[0] != process.started:
            return None
        return stat[1] * self._page_kib

    def _pids(self) -> Iterator[int]:
        try:
            names = os.listdir(self._root)
        except OSError:
            return
        yield from (int(name) for name in names if name.isdecimal())

    def _uuid(self, pid: int) -> bytes:
        """What stands behind `-uuid` in a QEMU's command line; empty when nothing does."""
        if not any(one in self._read(pid, "comm") for one in _PROGRAMS):
            return b""
        words = self._read(pid, "cmdline").split(b"\0")
        try:
            return words[words.index(_UUID_OPTION) + 1]
        except (ValueError, IndexError):
            return b""

    def _stat(self, pid: int) -> tuple[int, int] | None:
        """When it was started, and how many pages are resident."""
        fields = self._read(pid, "stat").rpartition(b")")[2].split()
        try:
            return int(fields[_STARTED]), int(fields[_RESIDENT])
        except (ValueError, IndexError):
            return None

    def _read(self, pid: int, name: str) -> bytes:
        try:
            file = os.open(f"{self._root}/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return b""
        try:
            return os.read(file, _LONGEST_COMMAND)
        except OSError:
            return b""
        finally:
            os.close(file)
