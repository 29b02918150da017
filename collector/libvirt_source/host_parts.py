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
_MOST = 1024
"""More NUMA cells fit into no answer of libvirt's protocol."""


def node(session: Session) -> NodeRecord:
    """CPU, memory and NUMA cells of the host.

    Raises:
        libvirt.libvirtError: the driver cannot even tell what the host is.

    """
    handle = session.handle
    model, _, cpus, mhz, *_ = handle.getInfo()
    cpu: dict[str, Any] = _unless_unsupported(lambda: handle.getCPUStats(_ALL, 0), {})
    memory = _memory(handle, _ALL)
    return NodeRecord(
        cpus=cpus,
        cpu_mhz=mhz or None,
        model=str(model),
        cpu_seconds={mode: value * _NANOSECOND for mode, value in cpu.items()},
        memory_bytes={kind: value * float(_KIBIBYTE) for kind, value in memory.items()},
        cells=_cells(session) if memory else (),
    )


def _cells(session: Session) -> tuple[CellRecord, ...]:
    handle = session.handle
    if session.cells is None:
        # virNodeGetInfo says one where the topology is unusual, and asking beyond the last cell
        # would leave an error in the daemon's log.
        session.cells = len(_unless_unsupported(lambda: handle.getCellsFreeMemory(0, _MOST), []))
    told = ((number, _memory(handle, number)) for number in range(session.cells))
    return tuple(
        CellRecord(number, _bytes(memory.get("total")), _bytes(memory.get("free")))
        for number, memory in told
        if memory
    )


def _memory(handle: Any, cell: int) -> dict[str, int]:
    return _unless_unsupported(lambda: handle.getMemoryStats(cell, 0), {})


def _bytes(kibibytes: int | None) -> float | None:
    return None if kibibytes is None else float(kibibytes * _KIBIBYTE)


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
