"""A private libvirtd, run by an ordinary user, with every file below the state directory.

A user's own domains, of the session or of the system, are never seen by it.
"""

import asyncio
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import libvirt

from stack import processes
from stack.hypervisor.errors import HypervisorError
from stack.paths import StateDirectory
from stack.processes import ProcessId

_GRACE_SECONDS = 5.0
_PROGRAMS = ("qemu-system-", "libvirtd", "virtlogd")

_DAEMON_CONFIG = """\
# Written by virtscale at every start.
listen_tls = 0
listen_tcp = 0
auth_unix_ro = "none"
auth_unix_rw = "none"
max_clients = 200
max_workers = 20
max_client_requests = 20
log_outputs = "2:stderr"
# Not a fault of ours or the user's: libvirt asks for optional programs and drivers.
log_filters = "4:util.file 4:util.command 4:node_device"
"""

_QEMU_CONFIG = """\
# Written by virtscale at every start.
# Else libvirtd starts a virtlogd, which would outlive it.
stdio_handler = "file"
security_driver = "none"
nvram = []
"""


def uri(state: Path) -> str:
    """What to connect to."""
    socket = quote(str(_run(state) / "libvirt" / "libvirt-sock"))
    return f"qemu+unix:///session?socket={socket}"


def write_config(state: Path) -> None:
    """Writes the daemon's configuration and makes its directories.

    Raises:
        HypervisorError: when the state directory's path is too long for the sockets.

    """
    fault = StateDirectory(state).fault()
    if fault is not None:
        raise HypervisorError(fault)
    directories = (_run(state), *(_home(state) / name for name in ("config", "cache", "data")))
    for directory in (*directories, _home(state) / "config" / "libvirt"):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    guest_logs(state).mkdir(mode=0o755, parents=True, exist_ok=True)
    configuration = _home(state) / "config" / "libvirt"
    (configuration / "libvirtd.conf").write_text(_DAEMON_CONFIG, encoding="ascii")
    (configuration / "qemu.conf").write_text(_QEMU_CONFIG, encoding="ascii")


def libvirtd_command(state: Path) -> tuple[tuple[str, ...], dict[str, str]]:
    """The daemon's command line and its whole environment.

    Raises:
        HypervisorError: as root, or when libvirtd is not installed.

    """
    if os.geteuid() == 0:
        raise HypervisorError(
            "a private libvirtd cannot be run by root, because root's is the system's; "
            "run it as the user 'virtscale' or as an ordinary user"
        )
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    program = shutil.which("libvirtd", path=path)
    if program is None:
        raise HypervisorError(
            "libvirtd is missing; install it with: apt-get install --no-install-recommends "
            "libvirt-daemon libvirt-daemon-driver-qemu"
        )
    configuration = _home(state) / "config" / "libvirt" / "libvirtd.conf"
    pid_file = _run(state) / "libvirtd-own.pid"
    command = (program, "--config", str(configuration), "--pid-file", str(pid_file))
    return command, environment(state, path=path)


def environment(state: Path, *, path: str = os.defpath) -> dict[str, str]:
    """Where libvirtd and its clients keep things: below the state directory only."""
    home = _home(state)
    given = {name: os.environ[name] for name in ("LANG", "TZ", "TMPDIR") if name in os.environ}
    return {
        **given,
        "PATH": path,
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(_run(state)),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_STATE_HOME": str(home / "data"),
    }


def probe(address: str) -> str | None:
    """Why libvirt does not answer at this URI yet; None when it does."""
    try:
        connection = libvirt.open(address)
        try:
            connection.getVersion()
        finally:
            connection.close()
    except libvirt.libvirtError as error:
        return str(error)
    return None


async def answers(state: Path) -> str | None:
    """`probe` of the private daemon, for a loop that must not block."""
    return await asyncio.to_thread(probe, uri(state))


def guest_logs(state: Path) -> Path:
    """Directory of the serial consoles' output, one file per domain."""
    return StateDirectory(state).logs / "guests"


def cleanup(state: Path) -> list[str]:
    """Ends what a killed run left: QEMUs and daemons of this state directory, stale files.

    Only this user's processes whose command line names the directory. The names of the domains
    that were ended. Call it while no libvirtd of this directory is wanted.
    """
    found = _left_processes(state)
    _end(found)
    for pattern in ("libvirt/*-sock*", "*.pid", "libvirt/*.pid", "libvirt/qemu/run/*"):
        for path in _run(state).glob(pattern):
            # The supervisor's pid files are beside libvirtd's and no business of this module.
            is_foreign = path.parent == _run(state) and not path.name.startswith(
                ("libvirt", "virt")
            )
            if not path.is_dir() and not is_foreign:
                path.unlink(missing_ok=True)
    for path in (_home(state) / "config" / "libvirt" / "qemu" / "lib").glob("domain-*"):
        shutil.rmtree(path, ignore_errors=True)
    return sorted(left.domain for left in found if left.domain)


@dataclass(frozen=True)
class _Left:
    process: ProcessId
    domain: str


def _end(left: list[_Left]) -> None:
    # The daemons first: a libvirtd that watches its guests die would write to their files.
    for one in sorted(left, key=lambda one: bool(one.domain)):
        processes.end(one.process, grace_seconds=_GRACE_SECONDS)


def _left_processes(state: Path) -> list[_Left]:
    marks = {f"{path}/".encode() for path in (state.absolute(), state.resolve())}
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if entry.stat().st_uid != os.geteuid():
                continue
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        program = Path(command.partition(b"\0")[0].decode(errors="replace")).name
        process = ProcessId.of(int(entry.name))
        if (
            process is not None
            and program.startswith(_PROGRAMS)
            and any(mark in command for mark in marks)
        ):
            name = re.search(rb"\0-name\0guest=([^,\0]+)", command)
            found.append(_Left(process, name[1].decode(errors="replace") if name else ""))
    return found


def _run(state: Path) -> Path:
    return StateDirectory(state).run


def _home(state: Path) -> Path:
    return StateDirectory(state).of("libvirt")
