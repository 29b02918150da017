"""What libvirt tells of the host itself. Whatever a driver does not tell is absent."""

from collections.abc import Callable
from typing import Any, TypeVar

import libvirt

from collector.libvirt_source.connection import Session
from collector.records import CellRecord, NodeRecord, Versions

Value = TypeVar("Value")
_NANOSECOND = 1e-9
_KIBIBYTE = 1024
_ALL = -1


def node(session: Session) -> NodeRecord:
    """CPU, memory and NUMA cells of the host.

    Raises:
        libvirt.libvirtError: the driver cannot even tell what the host is.

    """
    handle = session.handle
    model, _memory, cpus, mhz, cells, *_ = handle.getInfo()
    cpu: dict[str, Any] = _unless_unsupported(lambda: handle.getCPUStats(_ALL, 0), {})
    memory: dict[str, Any] = _unless_unsupported(lambda: handle.getMemoryStats(_ALL, 0), {})
    return NodeRecord(
        cpus=cpus,
        cpu_mhz=mhz or None,
        model=str(model),
        cpu_seconds={mode: value * _NANOSECOND for mode, value in cpu.items()},
        memory_bytes={kind: value * float(_KIBIBYTE) for kind, value in memory.items()},
        cells=tuple(_cell(handle, number) for number in range(cells)) if memory else (),
    )


def _cell(handle: Any, number: int) -> CellRecord:
    told: dict[str, Any] = _unless_unsupported(lambda: handle.getMemoryStats(number, 0), {})
    total, free = told.get("total"), told.get("free")
    return CellRecord(
        number=number,
        memory_bytes=None if total is None else total * float(_KIBIBYTE),
        free_bytes=None if free is None else free * float(_KIBIBYTE),
    )


def versions(session: Session) -> Versions:
    """Asked once per connection; a hypervisor that is replaced meanwhile shows after the next."""
    if session.versions is None:
        session.versions = Versions(
            hypervisor=_version(session.handle.getVersion),
            daemon=_version(session.handle.getLibVersion),
            library=_version(libvirt.getVersion),
        )
    return session.versions


def _version(read: Callable[[], int]) -> str:
    number = _unless_unsupported(read, 0)
    if not number:
        return ""
    return f"{number // 1_000_000}.{number // 1_000 % 1_000}.{number % 1_000}"


def _unless_unsupported(read: Callable[[], Value], otherwise: Value) -> Value:
    try:
        return read()
    except libvirt.libvirtError:
        return otherwise
