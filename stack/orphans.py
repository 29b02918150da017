"""Orphans of the stack's own tree: adopted here and reaped, whatever PID 1 is.

libvirtd starts QEMU detached, so QEMU's parent becomes PID 1. In a plain container PID 1 is often
a program that never reaps; libvirt then waits 40 s for each dead QEMU to leave the process table,
holding its locks. As a subreaper, `virtscale up` becomes the parent instead.
"""

import contextlib
import ctypes
import os
import threading
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_LOOK_SECONDS = 0.25


def adopt_and_reap() -> None:
    """Makes this process the parent of its orphaned descendants and reaps them from now on."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    threading.Thread(target=_reap_for_ever, name="orphans", daemon=True).start()


def _reap_for_ever() -> None:
    pause = threading.Event()
    seen: frozenset[int] = frozenset()
    while True:
        pause.wait(_LOOK_SECONDS)
        seen = reap(seen)


def reap(seen: frozenset[int]) -> frozenset[int]:
    """Reaps the zombies that were there at the last look already; returns those there now.

    A child that somebody here waits for is gone long before a second look finds it.
    """
    zombies = frozenset(pid for pid in _children() if _is_zombie(pid))
    for pid in zombies & seen:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    return zombies


def _children() -> list[int]:
    pids: list[int] = []
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            pids += [int(pid) for pid in (thread / "children").read_text().split()]
    return pids


def _is_zombie(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] == "Z"
