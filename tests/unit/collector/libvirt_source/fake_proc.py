"""A /proc with QEMUs in it."""

import os
from pathlib import Path

PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


def add(root: Path, pid: int, uuid: str, *, started: int = 5, pages: int = 1000) -> None:
    """A process with this UUID in its command line, or in its place another one."""
    directory = root / str(pid)
    directory.mkdir(exist_ok=True)
    (directory / "comm").write_text("qemu-system-x86\n")
    (directory / "cmdline").write_bytes(f"qemu\0-name\0guest\0-uuid\0{uuid}\0-S\0".encode())
    fields = ["S", *("0" for _ in range(49))]
    fields[22 - 3], fields[24 - 3] = str(started), str(pages)
    (directory / "stat").write_text(f"{pid} (a ) b) {' '.join(fields)}\n")
