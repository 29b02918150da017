"""A small file system of its own for the store, that can be filled to the last byte."""

import asyncio
import contextlib
import os
import subprocess
from pathlib import Path


class Disk:
    """A tmpfs when the user may mount one (root, not in every container), else a plain folder."""

    def __init__(self, directory: Path, megabytes: int) -> None:
        self.path = directory / "store"
        self.path.mkdir()
        self._megabytes = megabytes
        self.reason = ""
        made = _mount("-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", str(self.path))
        self.can_fill = made == ""
        if not self.can_fill:
            self.reason = made

    async def fill(self) -> None:
        """Shrinks the file system to what is in it: the next write finds no space."""
        for _ in range(20):
            kilobytes = _used_kilobytes(self.path)
            option = f"remount,size={kilobytes}k"
            if await asyncio.to_thread(_mount, "-o", option, str(self.path)) == "":
                return
            await asyncio.sleep(0.01)  # it has grown in between

    async def free(self) -> None:
        """Gives the space back."""
        await asyncio.to_thread(_mount, "-o", f"remount,size={self._megabytes}m", str(self.path))

    def close(self) -> None:
        """Unmounts it; what was in it is gone."""
        if self.can_fill:
            with contextlib.suppress(OSError):
                subprocess.run(["umount", "-l", str(self.path)], capture_output=True)


def _used_kilobytes(path: Path) -> int:
    found = os.statvfs(path)
    return max(4, (found.f_blocks - found.f_bfree) * found.f_frsize // 1024)


def _mount(*arguments: str) -> str:
    """Empty when it worked, else why not."""
    try:
        made = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    except OSError as error:
        return str(error)
    return "" if made.returncode == 0 else (made.stderr.strip() or "mount failed")
