"""The kernel's files: the ELF image inside a bzImage, and modules in the order they load."""

import gzip
import lzma
import re
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path

from stack.image import tools
from stack.image.values import ImageError

_SETUP_SECTORS = 0x1F1
_PAYLOAD = 0x248
_MAGIC = 0x202
_LZ4_LEGACY, _ZSTD = b"\x02\x21\x4c\x18", b"\x28\xb5\x2f\xfd"
_GZIP, _XZ = b"\x1f\x8b", b"\xfd7zXZ"
_PVH_NOTE = struct.pack("<III", 4, 4, 18) + b"Xen\0"
_PVH_NOTE_64 = struct.pack("<III", 4, 8, 18) + b"Xen\0"
_SUFFIX = re.compile(r"\.ko(\.xz|\.zst|\.gz)?$")


def extract(bzimage: bytes) -> bytes | None:
    """The ELF kernel in a bzImage, if QEMU can start it directly (PVH); None if not.

    The guest then need not unpack its kernel, which takes over half a second on an emulated CPU.
    """
    if len(bzimage) < 0x250 or bzimage[_MAGIC : _MAGIC + 4] != b"HdrS":
        return None
    sectors = bzimage[_SETUP_SECTORS] or 4
    offset, length = struct.unpack_from("<II", bzimage, _PAYLOAD)
    start = (sectors + 1) * 512 + offset
    elf = _unpack(bzimage[start : start + length])
    if elf is None or not elf.startswith(b"\x7fELF"):
        return None
    return elf if _PVH_NOTE in elf or _PVH_NOTE_64 in elf else None


def _unpack(payload: bytes) -> bytes | None:
    # The last four bytes are the kernel build's note of the unpacked size, not compressed data.
    data = payload[:-4]
    if data.startswith(_LZ4_LEGACY):
        return _filter(["lz4", "-d", "-c"], data)
    if data.startswith(_ZSTD):
        return _filter(["zstd", "-d", "-c", "-q"], data)
    if data.startswith(_GZIP):
        return gzip.decompress(data)
    if data.startswith(_XZ):
        return lzma.decompress(data)
    return None


def _filter(command: list[str], data: bytes) -> bytes | None:
    result = subprocess.run(
        [tools.find(command[0]), *command[1:]], input=data, capture_output=True, check=False
    )
    return result.stdout if result.returncode == 0 else None


class Modules:
    """The modules of one kernel release, from its unpacked package."""

    def __init__(self, directory: Path) -> None:
        """`directory` is `lib/modules/<release>`."""
        self._files = {
            _plain(path.name): path
            for path in sorted(directory.rglob("*.ko*"))
            if _SUFFIX.search(path.name)
        }
        builtin = directory / "modules.builtin"
        lines = builtin.read_text(encoding="utf-8").split() if builtin.exists() else []
        self._builtin = {_plain(line.rpartition("/")[2]) for line in lines}

    def load_order(self, wanted: Iterable[str], *, loaded: Iterable[str] = ()) -> list[str]:
        """`wanted` and what they need, each after its dependencies; without those built in.

        Raises:
            ImageError: when the kernel has a module neither built in nor as a file.

        """
        done = {_plain(name) for name in loaded}
        order: list[str] = []

        def visit(name: str) -> None:
            if name in done or name in self._builtin:
                return
            done.add(name)
            if name not in self._files:
                raise ImageError(
                    f"the kernel package has no module {name!r}: this release of the distribution "
                    f"is not supported; use Debian 12 or Ubuntu 22.04 or newer"
                )
            for dependency in dependencies(self.content(name)):
                visit(dependency)
            order.append(name)

        for name in wanted:
            visit(_plain(name))
        return order

    def content(self, name: str) -> bytes:
        """A module, unpacked."""
        path = self._files[name]
        data = path.read_bytes()
        if path.suffix == ".xz":
            return lzma.decompress(data)
        if path.suffix == ".gz":
            return gzip.decompress(data)
        if path.suffix == ".zst":
            unpacked = _filter(["zstd", "-d", "-c", "-q"], data)
            if unpacked is None:
                raise ImageError(f"{path}: not a zstd file; the download is damaged")
            return unpacked
        return data


def dependencies(module: bytes) -> list[str]:
    """What a module says it depends on."""
    found = re.search(rb"\0depends=([^\0]*)\0", module)
    if found is None or not found[1]:
        return []
    return [_plain(name) for name in found[1].decode("ascii").split(",")]


def _plain(name: str) -> str:
    return _SUFFIX.sub("", name).replace("-", "_")
