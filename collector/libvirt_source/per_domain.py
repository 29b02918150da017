"""Statistics of one domain by calls of its own, for drivers without bulk statistics.

The answers carry the names of the bulk statistics. A driver that lacks a call, or fails at it,
leaves out what that call would have told.
"""

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import libvirt

from collector.libvirt_source.devices import Devices, devices
from collector.records import Group

_MEMORY_KEYS = {
    "actual": "current",
    "last_update": "last-update",
}
"""virDomainMemoryStats's words where the bulk statistics have others."""
_INTERFACE_KEYS = tuple(
    f"{way}.{kind}" for way in ("rx", "tx") for kind in ("bytes", "pkts", "errs", "drop")
)
_BLOCK_KEYS = ("rd.reqs", "rd.bytes", "wr.reqs", "wr.bytes")
_SIZE_KEYS = ("capacity", "allocation", "physical")

Told = dict[str, object]


def statistics(domain: Any, groups: frozenset[Group]) -> Told:
    """What the driver tells of an active domain."""
    told: Told = {}
    if groups & {Group.CPU, Group.BALLOON, Group.VCPU, Group.STATE}:
        _add(told, lambda: _basics(domain))
    if Group.CPU in groups:
        _add(told, lambda: _cpu(domain))
    if Group.VCPU in groups:
        _add(told, lambda: _vcpus(domain))
    if Group.BALLOON in groups:
        _add(told, lambda: _memory(domain))
    if groups & {Group.BLOCK, Group.BLOCK_TRAFFIC, Group.INTERFACE}:
        present = Devices()
        with contextlib.suppress(libvirt.libvirtError, ValueError):
            present = devices(domain.XMLDesc(0))
        if groups & {Group.BLOCK, Group.BLOCK_TRAFFIC}:
            has_sizes = Group.BLOCK in groups
            _add_each(told, "block", present.disks, lambda name: _block(domain, name, has_sizes))
        if Group.INTERFACE in groups:
            _add_each(told, "net", present.interfaces, lambda name: _interface(domain, name))
    return told


def limits(domain: Any, groups: frozenset[Group]) -> Told:
    """What the driver tells of an inactive domain: what it would have, but no counters."""
    told: Told = {}
    if groups & {Group.BALLOON, Group.VCPU, Group.STATE}:
        _add(told, lambda: _basics(domain))
        told.pop("cpu.time", None)
    return told


def _add(told: Told, read: Callable[[], Told]) -> None:
    try:
        told.update(read())
    except libvirt.libvirtError:
        return


def _add_each(told: Told, prefix: str, names: Iterable[str], read: Callable[[str], Told]) -> None:
    count = 0
    for name in names:
        try:
            found = read(name)
        except libvirt.libvirtError:
            continue
        told.update({f"{prefix}.{count}.{key}": value for key, value in found.items()})
        count += 1
    if count:
        told[f"{prefix}.count"] = count


def _basics(domain: Any) -> Told:
    _, maximum, memory, vcpus, cpu_time = domain.info()
    return {
        "cpu.time": cpu_time,
        "vcpu.current": vcpus,
        "balloon.current": memory,
        "balloon.maximum": maximum,
    }


def _cpu(domain: Any) -> Told:
    # The total comes from `info`, here as without this group: two clocks would not agree.
    (total,) = domain.getCPUStats(True, 0)
    names = {"user_time": "cpu.user", "system_time": "cpu.system"}
    return {names[key]: value for key, value in total.items() if key in names}


def _vcpus(domain: Any) -> Told:
    told: Told = {}
    for number, state, time, *_ in domain.vcpus()[0]:
        told[f"vcpu.{number}.state"] = state
        told[f"vcpu.{number}.time"] = time
    _add(told, lambda: {"vcpu.maximum": domain.maxVcpus()})
    return told


def _memory(domain: Any) -> Told:
    return {
        f"balloon.{_MEMORY_KEYS.get(key, key)}": value
        for key, value in domain.memoryStats().items()
    }


def _block(domain: Any, name: str, has_sizes: bool) -> Told:
    told: Told = {"name": name}
    values = domain.blockStats(name)
    # libvirt's word for what a driver does not count is -1.
    told.update({key: value for key, value in zip(_BLOCK_KEYS, values, strict=False) if value >= 0})
    if has_sizes:
        _add(told, lambda: dict(zip(_SIZE_KEYS, domain.blockInfo(name, 0)[:3], strict=False)))
    return told


def _interface(domain: Any, name: str) -> Told:
    told: Told = {"name": name}
    values = domain.interfaceStats(name)
    told.update(
        {key: value for key, value in zip(_INTERFACE_KEYS, values, strict=False) if value >= 0}
    )
    return told
