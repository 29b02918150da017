"""Wall clocks that jump and writes that fail, in processes that know nothing of it.

A small library is compiled and preloaded (`shim.c`). It needs a C compiler; without one the faults
it makes are left out, loudly.
"""

import contextlib
import errno
import mmap
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

_SOURCE = Path(__file__).with_name("shim.c")
_FORM = struct.Struct("3q")
_DISK_FAULTS = {
    # kind -> errno of writes, errno of syncs
    "disk_full": (errno.ENOSPC, 0),
    "disk_read_only": (errno.EROFS, errno.EROFS),
    "disk_error": (0, errno.EIO),
}


def build(directory: Path) -> tuple[Path | None, str]:
    """The compiled library, or None and why not."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None, "no C compiler here"
    library = directory / "shim.so"
    command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(_SOURCE), "-ldl"]
    made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode != 0:
        return None, f"{compiler} failed: {made.stderr[-300:]}"
    return library, ""


class Shim:
    """One process's bent clock and disk, through every restart of it."""

    def __init__(self, library: Path | None, state: Path, prefix: Path | None = None) -> None:
        self.works = library is not None
        self.environment: dict[str, str] = {}
        self._values = [0, 0, 0]
        if library is None:
            return
        state.write_bytes(bytes(_FORM.size))
        with state.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), _FORM.size)
        self.environment = {"LD_PRELOAD": str(library), "CHAOS_STATE": str(state)}
        if prefix is not None:
            self.environment["CHAOS_PREFIX"] = str(prefix)

    def step(self, seconds: float) -> None:
        """Sets the wall clock off by so many seconds, from now on."""
        self._values[0] = int(seconds * 1e9)
        self._write()

    @contextlib.contextmanager
    def disk(self, kind: str) -> Iterator[None]:
        """Writes or syncs fail meanwhile."""
        self._values[1:] = _DISK_FAULTS[kind]
        self._write()
        try:
            yield
        finally:
            self._values[1:] = (0, 0)
            self._write()

    def _write(self) -> None:
        self._page[: _FORM.size] = _FORM.pack(*self._values)
