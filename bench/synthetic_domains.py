"""Readings of a host that does not exist: 1 to 10,000 domains whose statistics are all there.

What libvirt 9.0 tells of a QEMU domain whose guest tells its memory, with keys in libvirt's order:
71 numbers and names with 2 virtual CPUs, a disk and an interface. The same seed gives the same
host. Each reading is a copy of its own with counters that have grown since the one before, so that
nothing downstream lives on values that it has seen before.
"""

import random
from collections.abc import Iterator
from uuid import UUID

from collector.domain_xml import Description, describe
from collector.records import (
    DEFAULT_GROUPS,
    CellRecord,
    DomainRecord,
    Group,
    HostReading,
    NodeRecord,
    Part,
    StoragePoolRecord,
    Versions,
)

_STATE_RUNNING = 1
_KIBIBYTE = 1024
_GIBIBYTE = 1 << 30
_SECOND = 1_000_000_000
_GROUP_OF_PREFIX = {
    "state": Group.STATE,
    "cpu": Group.CPU,
    "balloon": Group.BALLOON,
    "vcpu": Group.VCPU,
    "net": Group.INTERFACE,
    "block": Group.BLOCK,
}
_XML = """<domain type='kvm' id='{number}'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <title>Front office {number}</title>
  <metadata>
    <virtscale:domain xmlns:virtscale="urn:virtscale:domain:1" pool="default" tier="cold"
      generation="sha256:0" owner="virtscale"/>
  </metadata>
  <memory unit='KiB'>2097152</memory>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
  <devices>{disks}{interfaces}</devices>
</domain>"""
_DISK = """
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none' discard='unmap'/>
      <source file='/var/lib/libvirt/images/{name}-{target}.qcow2' index='1'/>
      <target dev='{target}' bus='virtio'/>
      <serial>{name}-{target}</serial>
    </disk>"""
_INTERFACE = """
    <interface type='bridge'>
      <mac address='{mac}'/>
      <source bridge='br0'/>
      <target dev='{target}'/>
      <model type='virtio'/>
      <mtu size='1500'/>
    </interface>"""


class SyntheticHost:
    """A host with `domains` running domains, all alike but for names and numbers.

    `reading()` is the host a second after the reading before. For one thread.
    """

    def __init__(
        self,
        domains: int,
        *,
        seed: int = 0,
        vcpus: int = 2,
        disks: int = 1,
        interfaces: int = 1,
        groups: frozenset[Group] = DEFAULT_GROUPS,
    ) -> None:
        self._random = random.Random(seed)
        self._groups = groups
        self._names = [f"domain-{number:05d}" for number in range(1, domains + 1)]
        self._uuids = [str(UUID(int=self._random.getrandbits(128))) for _ in self._names]
        self._statistics = [
            self._first(number, vcpus, disks, interfaces) for number in range(1, domains + 1)
        ]
        self._descriptions: list[Description | None] = [
            self._describe(number, disks, interfaces) if Group.INFO in groups else None
            for number in range(1, domains + 1)
        ]
        self._growing = _counters(self._statistics[0]) if self._statistics else []

    def reading(self) -> HostReading:
        """The next reading; its records share nothing with earlier ones but descriptions."""
        for statistics in self._statistics:
            step = self._random.randrange(1, 1000)
            for key, pace in self._growing:
                statistics[key] += pace * step  # type: ignore[operator]
        return HostReading(
            domains=tuple(
                DomainRecord(name, uuid, number, dict(statistics), description)
                for number, (name, uuid, statistics, description) in enumerate(
                    zip(
                        self._names, self._uuids, self._statistics, self._descriptions, strict=True
                    ),
                    start=1,
                )
            ),
            parts={
                "stats": Part(0.1, True),
                **{
                    group.value: Part(0.01, True)
                    for group in sorted(self._groups & {Group.INFO, Group.NODE, Group.POOL})
                },
            },
            versions=Versions("7.2.22", "9.0.0", "9.0.0")
            if Group.VERSIONS in self._groups
            else None,
            node=_node() if Group.NODE in self._groups else None,
            storage_pools=_storage_pools() if Group.POOL in self._groups else None,
        )

    def _first(self, number: int, vcpus: int, disks: int, interfaces: int) -> dict[str, object]:
        pairs = [
            *_common(self._random),
            *_vcpus(self._random, vcpus),
            *_interfaces(self._random, number, interfaces),
            *_disks(self._random, self._names[number - 1], disks),
        ]
        return {
            key: value
            for key, value in pairs
            if _GROUP_OF_PREFIX[key.partition(".")[0]] in self._groups | {Group.STATE}
        }

    def _describe(self, number: int, disks: int, interfaces: int) -> Description:
        name = self._names[number - 1]
        return describe(
            _XML.format(
                number=number,
                name=name,
                uuid=self._uuids[number - 1],
                disks="".join(
                    _DISK.format(name=name, target=_disk_target(disk)) for disk in range(disks)
                ),
                interfaces="".join(
                    _INTERFACE.format(
                        mac=f"52:54:00:{interface:02x}:{number >> 8:02x}:{number & 255:02x}",
                        target=_interface_target(number, interface),
                    )
                    for interface in range(interfaces)
                ),
            )
        )


def _disk_target(number: int) -> str:
    return f"vd{chr(ord('a') + number)}"


def _interface_target(domain: int, number: int) -> str:
    return f"vnet{domain}x{number}"


def _common(random_: random.Random) -> Iterator[tuple[str, object]]:
    uptime = random_.randrange(10**5) * _SECOND
    yield "state.state", _STATE_RUNNING
    yield "state.reason", 1
    yield "cpu.time", uptime
    yield "cpu.user", uptime * 2 // 3
    yield "cpu.system", uptime // 3
    yield "cpu.cache.monitor.count", 0
    yield "cpu.haltpoll.success.time", 0
    yield "cpu.haltpoll.fail.time", 0
    memory = 2 * _GIBIBYTE // _KIBIBYTE
    for name, value in (
        ("current", memory),
        ("maximum", memory),
        ("swap_in", random_.randrange(10**4)),
        ("swap_out", random_.randrange(10**4)),
        ("major_fault", random_.randrange(10**5)),
        ("minor_fault", random_.randrange(10**9)),
        ("unused", memory // 3),
        ("available", memory - 65536),
        ("usable", memory // 2),
        ("last-update", 1_790_000_000),
        ("disk_caches", memory // 5),
        ("hugetlb_pgalloc", 0),
        ("hugetlb_pgfail", 0),
        ("rss", memory + random_.randrange(memory // 10)),
    ):
        yield f"balloon.{name}", value


def _vcpus(random_: random.Random, count: int) -> Iterator[tuple[str, object]]:
    yield "vcpu.current", count
    yield "vcpu.maximum", count
    for number in range(count):
        yield f"vcpu.{number}.state", 1
        yield f"vcpu.{number}.time", random_.randrange(10**5) * _SECOND
        yield f"vcpu.{number}.wait", random_.randrange(_SECOND)
        yield f"vcpu.{number}.halted", False
        yield f"vcpu.{number}.delay", random_.randrange(_SECOND)


def _interfaces(random_: random.Random, domain: int, count: int) -> Iterator[tuple[str, object]]:
    yield "net.count", count
    for number in range(count):
        yield f"net.{number}.name", _interface_target(domain, number)
        for direction in ("rx", "tx"):
            yield f"net.{number}.{direction}.bytes", random_.randrange(10**12)
            yield f"net.{number}.{direction}.pkts", random_.randrange(10**9)
            yield f"net.{number}.{direction}.errs", 0
            yield f"net.{number}.{direction}.drop", random_.randrange(100)


def _disks(random_: random.Random, name: str, count: int) -> Iterator[tuple[str, object]]:
    yield "block.count", count
    for number in range(count):
        target = _disk_target(number)
        yield f"block.{number}.name", target
        yield f"block.{number}.path", f"/var/lib/libvirt/images/{name}-{target}.qcow2"
        yield f"block.{number}.backingIndex", 1
        for kind in ("rd", "wr"):
            yield f"block.{number}.{kind}.reqs", random_.randrange(10**8)
            yield f"block.{number}.{kind}.bytes", random_.randrange(10**12)
            yield f"block.{number}.{kind}.times", random_.randrange(10**4) * _SECOND
        yield f"block.{number}.fl.reqs", random_.randrange(10**6)
        yield f"block.{number}.fl.times", random_.randrange(10**3) * _SECOND
        yield f"block.{number}.allocation", 3 * _GIBIBYTE
        yield f"block.{number}.capacity", 20 * _GIBIBYTE
        yield f"block.{number}.physical", 4 * _GIBIBYTE


def _counters(statistics: dict[str, object]) -> list[tuple[str, int]]:
    """What grows, and how much of it in one step of 1,000."""
    paces = {".time": 10**6, ".times": 10**4, ".user": 6 * 10**5, ".system": 3 * 10**5}
    paces |= {".wait": 100, ".delay": 1000, ".bytes": 4096, ".reqs": 3, ".pkts": 5}
    paces |= {"_fault": 2}
    return [
        (key, pace)
        for key in statistics
        if not key.startswith("cpu.haltpoll")
        for suffix, pace in paces.items()
        if key.endswith(suffix)
    ]


def _node() -> NodeRecord:
    return NodeRecord(
        cpus=64,
        cpu_mhz=2600,
        model="x86_64",
        cpu_seconds={"user": 1e6, "kernel": 1e5, "idle": 1e7, "iowait": 1e3},
        memory_bytes={"total": 512.0 * _GIBIBYTE, "free": 64.0 * _GIBIBYTE},
        cells=(
            CellRecord(0, 256.0 * _GIBIBYTE, 30.0 * _GIBIBYTE),
            CellRecord(1, 256.0 * _GIBIBYTE, 34.0 * _GIBIBYTE),
        ),
    )


def _storage_pools() -> tuple[StoragePoolRecord, ...]:
    return (
        StoragePoolRecord("default", 2, 4096.0 * _GIBIBYTE, 1024.0 * _GIBIBYTE, 3072.0 * _GIBIBYTE),
    )
