"""A private libvirtd with tiny domains without an operating system, for the contract suite."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import libvirt

from scaler.libvirt_domains import METADATA_URI
from scaler.libvirt_hypervisor import LibvirtHypervisor
from servicekit.clock import SystemClock

_DOMAIN = """
<domain type='qemu'>
  <name>{name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
  {metadata}
</domain>
"""
_NOBODY = 65534


class PrivateLibvirtd:
    """Runs as an unprivileged user with directories of its own; restartable under its domains."""

    def __init__(self, prepare: Callable[[Path], Sequence[str]] = lambda root: ()) -> None:
        """`prepare` puts files below the root and returns further arguments of the daemon."""
        # Unix sockets allow 107 bytes; the temporary directories of pytest may be longer.
        self.root = Path(tempfile.mkdtemp(prefix="vs-"))
        self._user = _NOBODY if os.geteuid() == 0 else None
        for part in ("run", "config", "home"):
            (self.root / part).mkdir()
            if self._user is not None:
                os.chown(self.root / part, self._user, self._user)
        self.root.chmod(0o755)
        self._arguments = prepare(self.root)
        self.uri = f"qemu+unix:///session?socket={self.root}/run/libvirt/libvirt-sock"
        self.log = self.root / "home/libvirtd.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root / "home"),
            "XDG_RUNTIME_DIR": str(self.root / "run"),
            "XDG_CONFIG_HOME": str(self.root / "config"),
            "XDG_CACHE_HOME": str(self.root / "home/cache"),
            "LIBVIRT_LOG_OUTPUTS": f"3:file:{self.log}",
        }
        self._process = subprocess.Popen(
            ["libvirtd", *self._arguments],
            env=environ,
            user=self._user,
            group=self._user,
            extra_groups=[] if self._user is not None else None,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(lambda: self._answers(), "libvirtd to answer")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(20)

    def close(self) -> None:
        with contextlib.suppress(libvirt.libvirtError):
            connection = libvirt.open(self.uri)
            for domain in connection.listAllDomains():
                if domain.isActive():
                    domain.destroy()
            connection.close()
        self.stop()
        shutil.rmtree(self.root, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            libvirt.open(self.uri).close()
        except libvirt.libvirtError:
            return False
        return True


class LibvirtWorld:
    """What the contract suite needs beside the hypervisor itself."""

    def __init__(self, daemon):
        self._daemon = daemon
        self.hypervisor = self.scaler(None)

    def scaler(self, name):
        """What a scaler of that name sees; None: one that looks at no owners."""
        uri = self._daemon.uri
        return LibvirtHypervisor(uri, "default", clock=SystemClock(), scaler=name)

    def define(self, name, pool="default", generation=""):
        metadata = ""
        if pool is not None:
            image = f" generation='{generation}'" if generation else ""
            metadata = (
                f"<metadata><v:domain xmlns:v='{METADATA_URI}' pool='{pool}' tier='cold'"
                f" owner='virtscale'{image}/></metadata>"
            )
        with self._connection() as connection:
            text = _DOMAIN.format(name=name, metadata=metadata)
            present = {domain.name(): domain for domain in connection.listAllDomains()}
            if name in present:
                identity = f"<uuid>{present[name].UUIDString()}</uuid>"
                text = text.replace("</name>", f"</name>{identity}", 1)
            connection.defineXML(text)

    def crash(self, name):
        pid = int((self._daemon.root / f"run/libvirt/qemu/run/{name}.pid").read_text())
        os.kill(pid, signal.SIGKILL)

    def pause(self, name):
        with self._connection() as connection:
            connection.lookupByName(name).suspend()

    def metadata(self, name):
        with self._connection() as connection:
            return connection.lookupByName(name).metadata(2, METADATA_URI, 0)

    def close(self):
        self.hypervisor.close()
        with self._connection() as connection:
            for domain in connection.listAllDomains():
                if domain.isActive():
                    domain.destroy()
                domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE)

    @contextlib.contextmanager
    def _connection(self):
        connection = libvirt.open(self._daemon.uri)
        try:
            yield connection
        finally:
            connection.close()


def until(condition: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.02)
