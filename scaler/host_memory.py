"""How much memory and disk the host of a libvirt connection has left."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from scaler.host_room import HostRoom

_MEMORY = Path("/proc/meminfo")
_SYSTEM_SAVES = Path("/var/lib/libvirt/qemu/save")


def room(connection: Any, uri: str, save_directory: Path | None) -> HostRoom:
    """What is left. `save_directory` is where this libvirt keeps saved images, when it is known.

    On this host the kernel says what is available; of another host libvirt tells what is free and
    what caches hold, which is more than can be had when much of it is shared memory.
    """
    if _is_this_host(uri):
        fields = _kibibytes(_MEMORY.read_text(encoding="ascii"))
        total, available = fields.get("MemTotal"), fields.get("MemAvailable")
        directory = save_directory
        if directory is None and uri == "qemu:///system":
            directory = _SYSTEM_SAVES
        return HostRoom(_bytes(total), _bytes(available), _disk_free(directory))
    stats = connection.getMemoryStats(-1, 0)
    total = stats.get("total")
    parts = [stats[name] for name in ("free", "buffers", "cached") if name in stats]
    return HostRoom(_bytes(total), _bytes(sum(parts)) if parts else None, None)


def _is_this_host(uri: str) -> bool:
    try:
        return urlsplit(uri).hostname is None
    except ValueError:
        return False


def _kibibytes(text: str) -> dict[str, int]:
    found = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            found[name] = int(words[0])
    return found


def _bytes(kibibytes: int | None) -> int | None:
    return None if kibibytes is None else kibibytes * 1024


def _disk_free(directory: Path | None) -> int | None:
    """Free space where the directory is, or will be: libvirt makes it when it first saves."""
    if directory is None:
        return None
    for place in (directory, *directory.parents):
        try:
            found = os.statvfs(place)
        except FileNotFoundError:
            continue
        except OSError:
            return None
        return found.f_bavail * found.f_frsize
    return None
