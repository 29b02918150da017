"""How long this machine's disk takes to keep 4 KiB: the floor under every durable answer."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

_BLOCK = os.urandom(4096)


@dataclass(frozen=True)
class Baseline:
    """fdatasync of 4 KiB appended, in milliseconds."""

    p50: float
    p99: float

    def __str__(self) -> str:
        return f"fdatasync of 4 KiB on this disk now: p50 {self.p50:.2f} ms, p99 {self.p99:.2f} ms"


def fdatasync_baseline(directory: Path, writes: int = 300) -> Baseline:
    """Measures in this directory, for some hundredths of a second."""
    path = directory / "fdatasync"
    took = []
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        for _ in range(writes):
            os.write(descriptor, _BLOCK)
            began = time.perf_counter()
            os.fdatasync(descriptor)
            took.append((time.perf_counter() - began) * 1000)
    finally:
        os.close(descriptor)
        path.unlink()
    took.sort()
    return Baseline(took[writes // 2], took[writes * 99 // 100])
