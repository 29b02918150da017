"""The lock that keeps a second process off a store's file; its holder's death frees it."""

import fcntl
import os
from pathlib import Path


class LockedError(Exception):
    """Another process has the store. The text names it and the fix."""


def take(path: Path) -> int:
    """Locks the store at `path`; close the descriptor to let go.

    Raises:
        LockedError: another process has it.
        OSError: the lock file cannot be made.

    """
    file = os.open(
        path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
    )
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.pread(file, 32, 0).decode(errors="replace").strip()
        os.close(file)
        raise LockedError(
            f"{path}: in use by another dispatcher (process {holder or 'unknown'}); stop it or "
            "configure another database"
        ) from None
    os.ftruncate(file, 0)
    os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
    return file
