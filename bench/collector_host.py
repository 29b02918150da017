"""A private libvirtd with tiny domains that run: what the exporters are asked to read."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from bench.libvirtd import Daemon
from bench.usage import cpu_clock

_SETTLE_SECONDS = 60.0
_WINDOW_SECONDS = 0.5
_IDLE_SHARE = 0.1
"""Of one core, for all domains together."""
_BOOT_SECTOR = b"\xfa\xf4\xeb\xfd".ljust(510, b"\0") + b"\x55\xaa"
"""Forbids interrupts and halts, for ever: a guest that runs and takes no CPU time."""
_DISK_BYTES = 1 << 20
_DOMAIN = """
<domain type='qemu'>
  <name>{name}</name><title>benchmark</title>
  <memory unit='MiB'>16</memory><vcpu>2</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/>
      <source file='{disk}'/><target dev='vda' bus='virtio'/></disk>
    <interface type='user'><model type='virtio'/></interface>
    <memballoon model='virtio'/>
  </devices>
</domain>
"""


def domain_name(number: int) -> str:
    """Of the domain with this number, from 0."""
    return f"bench-{number:03}"


class Host:
    """Domains of two vCPUs, a disk and an interface, emulated and without a system."""

    def __init__(self) -> None:
        self.daemon = Daemon()
        self.names: list[str] = []

    def grow(self, count: int) -> None:
        """Starts domains until so many run, and waits until they are idle."""
        with self.daemon.connection() as connection:
            while len(self.names) < count:
                name = domain_name(len(self.names))
                disk = self.daemon.root / "home" / f"{name}.img"
                disk.write_bytes(_BOOT_SECTOR.ljust(_DISK_BYTES, b"\0"))
                disk.chmod(0o666)
                connection.createXML(_DOMAIN.format(name=name, disk=disk))
                self.names.append(name)
        self._settle()

    def _settle(self) -> None:
        """Returns when the guests have come to their halt, or after a minute."""
        ends = time.monotonic() + _SETTLE_SECONDS
        pids = [self.pid(name) for name in self.names]
        while time.monotonic() < ends:
            before = sum(map(cpu_clock, pids))
            time.sleep(_WINDOW_SECONDS)
            if sum(map(cpu_clock, pids)) - before < _IDLE_SHARE * _WINDOW_SECONDS:
                return

    def pid(self, name: str) -> int:
        """Of the domain's QEMU."""
        return int((self.daemon.root / f"run/libvirt/qemu/run/{name}.pid").read_text())

    @contextlib.contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """Stops the domain's QEMU with SIGSTOP inside the block."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def close(self) -> None:
        """Ends every domain and the daemon."""
        for name in self.names:
            with contextlib.suppress(OSError, ValueError):
                # Not through libvirt, which may be stopped or stuck when something went wrong.
                os.kill(self.pid(name), signal.SIGKILL)
        self.daemon.close()


@contextlib.contextmanager
def host() -> Iterator[Host]:
    """A host without domains, removed at the end."""
    made = Host()
    try:
        yield made
    finally:
        made.close()


def eof_lines(log: Path) -> int:
    """How often libvirtd has complained of a client that left without a word."""
    return log.read_text(errors="replace").count("End of file while reading data")
