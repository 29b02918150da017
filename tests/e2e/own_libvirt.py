"""A libvirtd that is not the stack's: the user's own, of a session or of the whole system."""

import contextlib
import dataclasses
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import libvirt

from stack import privilege
from stack.hypervisor import acceleration, libvirtd
from tests.e2e import machine

# A system's libvirtd has its places built in, so it gets others under these names.
_PLACES = {
    "/etc/libvirt": "etc",
    "/var/lib/libvirt": "lib",
    "/run/libvirt": "run",
    "/var/cache/libvirt": "cache",
    "/var/log/libvirt": "log",
}
_QEMU_USER = 64055
# Takes the place of an init that reaps: PID 1 of a container may not, and libvirt then waits most
# of a minute for each QEMU that it ended.
_INIT = """
import signal, subprocess, sys
from stack import orphans
orphans.adopt_and_reap()
daemon = subprocess.Popen(sys.argv[1:])
signal.signal(signal.SIGTERM, lambda *_: daemon.terminate())
sys.exit(daemon.wait())
"""
_TINY = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices><controller type='usb' model='none'/><memballoon model='none'/></devices></domain>"""

_HALTS = b"\xfa\xf4".ljust(510, b"\0") + b"\x55\xaa"
_TEMPLATE = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features>
<devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{disk}'/>
<target dev='vda' bus='virtio'/></disk><interface type='user'/><controller type='usb' model='none'/>
</devices></domain>"""


@dataclasses.dataclass(frozen=True)
class OwnLibvirt:
    """Where it answers."""

    uri: str

    @contextlib.contextmanager
    def connected(self) -> Iterator[libvirt.virConnect]:
        with contextlib.closing(libvirt.open(self.uri)) as connection:
            yield connection

    def define_tiny(self, name: str, *, is_running: bool) -> None:
        """Somebody's domain: nothing to boot from, nothing of virtscale in it."""
        with self.connected() as connection:
            domain = connection.defineXML(_TINY.format(name=name))
            if is_running:
                domain.create()

    def define_template(self, name: str, disk: Path) -> None:
        """A domain with a disk of its own, whose boot sector halts."""
        disk.write_bytes(_HALTS.ljust(1 << 20, b"\0"))
        disk.chmod(0o600)
        if os.geteuid() == 0:
            os.chown(disk, stack_user().pw_uid, stack_user().pw_gid)
        with self.connected() as connection:
            connection.defineXML(_TEMPLATE.format(name=name, disk=disk))

    def names(self) -> list[str]:
        with self.connected() as connection:
            return sorted(domain.name() for domain in connection.listAllDomains())

    def looks(self, *names: str) -> list[tuple[object, ...]]:
        """All that would differ if somebody had touched them."""
        with self.connected() as connection:
            domains = [connection.lookupByName(name) for name in names]
            return [
                (
                    domain.name(),
                    domain.UUIDString(),
                    domain.ID(),
                    domain.state()[0],
                    domain.autostart(),
                    domain.XMLDesc(0),
                    domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE),
                )
                for domain in domains
            ]


def stack_user() -> pwd.struct_passwd:
    """As whom the stack runs."""
    return privilege.account() if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())


def acting_as_stack_user() -> contextlib.AbstractContextManager[None]:
    if os.geteuid() == 0:
        return privilege.acting_as(stack_user())
    return contextlib.nullcontext()


@contextlib.contextmanager
def session() -> Iterator[OwnLibvirt]:
    """An ordinary user's."""
    home = Path(tempfile.mkdtemp(prefix="own-", dir="/var/tmp"))
    user = stack_user()
    if os.geteuid() == 0:
        os.chown(home, user.pw_uid, user.pw_gid)
    with acting_as_stack_user():
        libvirtd.write_config(home)
        command, environment = libvirtd.libvirtd_command(home)
    with _running(command, environment, libvirtd.uri(home), as_user=True) as own:
        yield own
    with acting_as_stack_user():
        libvirtd.cleanup(home)
    shutil.rmtree(home)


@contextlib.contextmanager
def system() -> Iterator[OwnLibvirt]:
    """The system's: run by root, its QEMUs by a user of their own."""
    home = Path(tempfile.mkdtemp(prefix="own-", dir="/var/tmp"))
    home.chmod(0o755)
    for name in ("socket", *_PLACES.values()):
        (home / name).mkdir(mode=0o755)
    (home / "etc" / "libvirtd.conf").write_text(
        'listen_tls = 0\nauth_unix_ro = "none"\nauth_unix_rw = "none"\n'
        f'unix_sock_dir = "{home}/socket"\nunix_sock_rw_perms = "0777"\n'
    )
    (home / "etc" / "qemu.conf").write_text(
        'security_driver = "none"\ncgroup_controllers = []\nnamespaces = []\n'
        'stdio_handler = "file"\n'
    )
    made = [Path(place) for place in _PLACES if not Path(place).exists()]
    for place in made:
        place.mkdir(parents=True)
    script = home / "start.sh"
    script.write_text("\n".join(["set -e", *_mounts(home), f"exec {_program()} {_options(home)}"]))
    uri = f"qemu+unix:///system?socket={home}/socket/libvirt-sock"
    try:
        with _running(("unshare", "--mount", "sh", str(script)), dict(os.environ), uri) as own:
            yield own
    finally:
        for place in made:
            place.rmdir()
        shutil.rmtree(home)


def _mounts(home: Path) -> list[str]:
    lines = [f"mount --bind {home}/{name} {place}" for place, name in _PLACES.items()]
    for name, entry in (
        ("passwd", f"libvirt-qemu:x:{_QEMU_USER}:{_QEMU_USER}::/nonexistent:/usr/sbin/nologin\n"),
        ("group", f"libvirt-qemu:x:{_QEMU_USER}:\n"),
    ):
        text = Path("/etc", name).read_text()
        if "libvirt-qemu:" not in text:
            (home / name).write_text(text + entry)
            lines.append(f"mount --bind {home}/{name} /etc/{name}")
    with acting_as_stack_user(), tempfile.TemporaryDirectory() as scratch:
        kind = acceleration.probe(Path(scratch)).kind
    if kind == "tcg" and acceleration.DEVICE.exists():
        # Root may open it even where its guests hang; a file that is no device ends the matter.
        (home / "kvm").touch(mode=0o000)
        lines.append(f"mount --bind {home}/kvm {acceleration.DEVICE}")
    return lines


def _program() -> str:
    return shutil.which("libvirtd", path=f"{os.environ['PATH']}:/usr/sbin") or "libvirtd"


def _options(home: Path) -> str:
    return f"--config /etc/libvirt/libvirtd.conf --pid-file {home}/libvirtd.pid"


@contextlib.contextmanager
def _running(
    command: tuple[str, ...], environment: dict[str, str], uri: str, *, as_user: bool = False
) -> Iterator[OwnLibvirt]:
    libvirt.registerErrorHandler(lambda *_: None, None)
    user = stack_user()
    identity = ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups")
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            (
                *(sys.executable, "-c", _INIT),
                *(identity if as_user and os.geteuid() == 0 else ()),
                *command,
            ),
            cwd=machine.ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            machine.wait_for(
                "the user's libvirtd answers", lambda: libvirtd.probe(uri) is None, within=30
            )
            own = OwnLibvirt(uri)
            yield own
            with own.connected() as connection:
                for domain in connection.listAllDomains():
                    if domain.isActive():
                        domain.destroy()
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
