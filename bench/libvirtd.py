"""A private libvirtd of its own user, with directories of its own, for the benchmarks."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.rig import PROGRAMS, wait_until

_NOBODY = 65534


class Daemon:
    """One libvirtd, which can be stopped, frozen and started again under its domains.

    It belongs to nobody when root calls, as root's own is the system's.
    """

    def __init__(self) -> None:
        # Not in TMPDIR: a Unix socket's path has 107 bytes, and nobody must be able to enter.
        self.root = Path(tempfile.mkdtemp(prefix="vs-", dir="/tmp"))
        self._user = _NOBODY if os.geteuid() == 0 else None
        self.socket = self.root / "run/libvirt/libvirt-sock"
        self.uri = f"qemu+unix:///session?socket={self.socket}"
        for part in ("run", "config", "home"):
            (self.root / part).mkdir()
            if self._user is not None:
                os.chown(self.root / part, self._user, self._user)
        self.root.chmod(0o755)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> Path:
        """What it has said, over all its lives."""
        return self.root / "libvirtd.log"

    def start(self) -> None:
        """Starts it; returns when it answers."""
        leash = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*leash, shutil.which("libvirtd", path=PROGRAMS) or "libvirtd"],
                env={
                    "PATH": PROGRAMS,
                    "HOME": str(self.root / "home"),
                    "XDG_RUNTIME_DIR": str(self.root / "run"),
                    "XDG_CONFIG_HOME": str(self.root / "config"),
                    "XDG_CACHE_HOME": str(self.root / "home/cache"),
                },
                user=self._user,
                group=self._user,
                extra_groups=None if self._user is None else [],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(self._answers, "libvirtd answers")

    def stop(self) -> None:
        """Ends it; domains that run go on."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(20)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Stops it with SIGSTOP inside the block."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    @contextlib.contextmanager
    def connection(self) -> Iterator[Any]:
        """A connection that may change things."""
        import libvirt

        libvirt.registerErrorHandler(lambda *_: None, None)
        handle = libvirt.open(self.uri)
        try:
            yield handle
        finally:
            handle.close()

    def _answers(self) -> bool:
        import libvirt

        try:
            with self.connection():
                return True
        except libvirt.libvirtError:
            return False

    def close(self) -> None:
        """Ends it and removes its directories. Its domains must have been ended before."""
        self.stop()
        shutil.rmtree(self.root, ignore_errors=True)
