"""Whether guests can use KVM here: only if a tiny one really runs with it.

`/dev/kvm` may be there, open and answer, and its guests still hang (nested or restricted hosts).
"""

import json
import os
import platform
import shutil
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from stack.hypervisor.errors import HypervisorError
from stack.paths import StateDirectory

DEVICE = Path("/dev/kvm")
PROBE_SECONDS = 4.0

# isa-debug-exit ends QEMU with twice the written value plus one.
_EXIT_PORT, _EXIT_VALUE = 0xF4, 0x10
_EXIT_CODE = 2 * _EXIT_VALUE + 1
_SECTOR = 512
# The firmware takes a disk of a few sectors for an unreadable one.
_DISK_BYTES = 1 << 20


@dataclass(frozen=True)
class Acceleration:
    """What domains run on, and why. `tcg` is QEMU's emulation: slower, works everywhere."""

    kind: Literal["kvm", "tcg"]
    reason: str


def probe(state: Path) -> Acceleration:
    """What this machine's domains can run on; remembered until kernel, CPU or QEMU change.

    Raises:
        HypervisorError: when QEMU is not installed.

    """
    qemu = qemu_program()
    cache = StateDirectory(state).of("libvirt") / "acceleration.json"
    key = _key(qemu)
    known = _read(cache, key)
    if known is not None:
        return known
    found = _probe(qemu)
    cache.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = cache.with_suffix(".new")
    temporary.write_text(json.dumps({"key": key, **asdict(found)}) + "\n", encoding="utf-8")
    temporary.replace(cache)
    return found


def qemu_program() -> str:
    """QEMU's path.

    Raises:
        HypervisorError: when it is not installed.

    """
    qemu = shutil.which("qemu-system-x86_64")
    if qemu is None:
        raise HypervisorError(
            "QEMU is missing; install it with: apt-get install --no-install-recommends "
            "qemu-system-x86"
        )
    return qemu


def boot_disk() -> bytes:
    """A disk whose boot code ends QEMU with a code that nothing else gives."""
    port, value = _EXIT_PORT.to_bytes(2, "little"), bytes([_EXIT_VALUE])
    # mov dx, port; mov al, value; out dx, al; hlt; jmp back to hlt
    code = b"\xba" + port + b"\xb0" + value + b"\xee" + b"\xf4\xeb\xfd"
    return (code.ljust(_SECTOR - 2, b"\0") + b"\x55\xaa").ljust(_DISK_BYTES, b"\0")


def _probe(qemu: str) -> Acceleration:
    if not DEVICE.exists():
        return Acceleration("tcg", f"{DEVICE} does not exist")
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return Acceleration(
            "tcg", f"{DEVICE} may not be opened by this user; adding it to the group kvm allows it"
        )
    with tempfile.NamedTemporaryFile(prefix="virtscale-probe-") as disk:
        disk.write(boot_disk())
        disk.flush()
        return _boot(qemu, disk.name)


def _boot(qemu: str, disk: str) -> Acceleration:
    command = [
        qemu, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-machine", "q35", "-accel", "kvm", "-cpu", "host", "-m", "32",
        "-drive", f"file={disk},format=raw,if=ide,snapshot=on",
        "-device", f"isa-debug-exit,iobase={_EXIT_PORT:#x},iosize=1",
    ]  # fmt: skip
    try:
        result = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Acceleration(
            "tcg", f"a probe guest under KVM did not run within {PROBE_SECONDS:g} s"
        )
    if result.returncode == _EXIT_CODE:
        return Acceleration("kvm", "a probe guest ran under KVM")
    lines = result.stderr.strip().splitlines()
    said = lines[-1] if lines else f"QEMU ended with code {result.returncode}"
    return Acceleration("tcg", f"a probe guest under KVM failed: {said}")


def _key(qemu: str) -> str:
    status = os.stat(qemu)
    usable = DEVICE.exists() and os.access(DEVICE, os.R_OK | os.W_OK)
    # QEMU's own version takes as long to ask as a probe: the file's identity says as much.
    return json.dumps(
        [platform.release(), _cpu_model(), status.st_size, status.st_mtime_ns, usable]
    )


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    models = (line for line in text.splitlines() if line.startswith("model name"))
    return next(models, "").partition(":")[2].strip()


def _read(cache: Path, key: str) -> Acceleration | None:
    try:
        values = json.loads(cache.read_text(encoding="utf-8"))
        if values["key"] != key or values["kind"] not in ("kvm", "tcg"):
            return None
        return Acceleration(values["kind"], str(values["reason"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
