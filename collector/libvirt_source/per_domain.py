"""Statistics of one domain by calls of its own, for drivers without bulk statistics.

The answers carry the names of the bulk statistics. A driver that lacks a call, or fails at it,
leaves out what that call would have told. What a driver lacks is asked for once: each such question
is a line in the daemon's log.
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

_CONTAINERS = "LXC"

Told = dict[str, object]


class PerDomain:
    """Asks the domains of one connection, and remembers what its driver lacks."""

    def __init__(self, driver: str) -> None:
        """`driver` is what virConnectGetType says."""
        self._is_of_containers = driver == _CONTAINERS
        self._lacking: set[str] = set()

    def statistics(self, domain: Any, groups: frozenset[Group]) -> Told:
        """What the driver tells of an active domain."""
        told: Told = {}
        if groups & {Group.CPU, Group.BALLOON, Group.VCPU, Group.STATE}:
            self._add(told, "info", lambda: _basics(domain))
            if self._is_of_containers:
                # What the container uses, where other drivers tell what the domain was given.
                told.pop("balloon.current", None)
        if Group.CPU in groups:
            self._add(told, "getCPUStats", lambda: _cpu(domain))
        if Group.VCPU in groups:
            self._add(told, "vcpus", lambda: _vcpus(domain))
            self._add(told, "maxVcpus", lambda: {"vcpu.maximum": domain.maxVcpus()})
        if Group.BALLOON in groups:
            self._add(told, "memoryStats", lambda: _memory(domain))
            if self._is_of_containers:
                # How much is swapped out (with control groups 1 what is not, too): no counter.
                told.pop("balloon.swap_in", None)
        if groups & {Group.BLOCK, Group.BLOCK_TRAFFIC, Group.INTERFACE}:
            self._add_devices(told, domain, groups)
        return told

    def limits(self, domain: Any, groups: frozenset[Group]) -> Told:
        """What the driver tells of an inactive domain: what it would have, but no counters."""
        told: Told = {}
        if groups & {Group.BALLOON, Group.VCPU, Group.STATE}:
            self._add(told, "info", lambda: _basics(domain))
            told.pop("cpu.time", None)
        return told

    def _add_devices(self, told: Told, domain: Any, groups: frozenset[Group]) -> None:
        present = Devices()
        with contextlib.suppress(libvirt.libvirtError, ValueError):
            present = devices(domain.XMLDesc(0))
        # libvirt's driver of containers fails at every disk that it is asked about.
        if groups & {Group.BLOCK, Group.BLOCK_TRAFFIC} and not self._is_of_containers:
            has_sizes = Group.BLOCK in groups
            self._add_each(
                told, "block", present.disks, lambda name: self._block(domain, name, has_sizes)
            )
        if Group.INTERFACE in groups:
            self._add_each(
                told, "net", present.interfaces, lambda name: self._interface(domain, name)
            )

    def _block(self, domain: Any, name: str, has_sizes: bool) -> Told:
        told: Told = {}
        self._add(told, "blockStats", lambda: _traffic(domain, name))
        if told and has_sizes:
            self._add(
                told,
                "blockInfo",
                lambda: dict(zip(_SIZE_KEYS, domain.blockInfo(name, 0)[:3], strict=False)),
            )
        return told

    def _interface(self, domain: Any, name: str) -> Told:
        told: Told = {}
        self._add(told, "interfaceStats", lambda: _packets(domain, name))
        return told

    def _add(self, told: Told, call: str, read: Callable[[], Told]) -> None:
        if call in self._lacking:
            return
        try:
            told.update(read())
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT:
                self._lacking.add(call)

    def _add_each(
        self, told: Told, prefix: str, names: Iterable[str], read: Callable[[str], Told]
    ) -> None:
        count = 0
        for name in names:
            found = read(name)
            if not found:
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
    return told


def _memory(domain: Any) -> Told:
    return {
        f"balloon.{_MEMORY_KEYS.get(key, key)}": value
        for key, value in domain.memoryStats().items()
    }


def _traffic(domain: Any, name: str) -> Told:
    values = domain.blockStats(name)
    return {"name": name, **_counted(_BLOCK_KEYS, values)}


def _packets(domain: Any, name: str) -> Told:
    values = domain.interfaceStats(name)
    return {"name": name, **_counted(_INTERFACE_KEYS, values)}


def _counted(keys: Iterable[str], values: Iterable[int]) -> Told:
    # libvirt's word for what a driver does not count is -1.
    return {key: value for key, value in zip(keys, values, strict=False) if value >= 0}
