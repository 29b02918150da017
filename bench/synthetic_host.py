"""A host of as many running domains as one likes, made up: what libvirt 9 says of such domains.

Each has two vCPUs, a disk, an interface and a guest that tells its memory. Two readings are kept
and given in turn; every counter differs between them, so that nothing can be remembered by value.
"""

from collections.abc import Iterator

from collector.domain_xml import Description, describe
from collector.records import DomainRecord, Group, HostReading, Part, Versions

_XML = """
<domain type='kvm' id='{number}'>
  <name>{name}</name><uuid>{uuid}</uuid><title>web server {number}</title>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none' discard='unmap'/>
      <source file='/var/lib/libvirt/images/{name}.qcow2'/><target dev='vda' bus='virtio'/></disk>
    <interface type='bridge'><mac address='52:54:00:00:{high:02x}:{low:02x}'/>
      <source bridge='br0'/><target dev='vnet{number}'/><model type='virtio'/></interface>
  </devices>
</domain>
"""
_SECOND = 1_000_000_000


def domain_name(number: int) -> str:
    """Of the domain with this number."""
    return f"domain-{number:05}"


def _uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


def _description(number: int) -> Description:
    high, low = divmod(number % 65_536, 256)
    return describe(
        _XML.format(name=domain_name(number), uuid=_uuid(number), number=number, high=high, low=low)
    )


def _statistics(number: int, turn: int) -> dict[str, object]:
    spent = 10_000 * _SECOND + number * 1_234_567 + turn * (_SECOND // 2 + number)
    found: dict[str, object] = {
        "state.state": 1,
        "state.reason": 1,
        "cpu.time": spent,
        "cpu.user": spent // 2,
        "cpu.system": spent // 8,
        "balloon.current": 2_097_152,
        "balloon.maximum": 2_097_152,
        "balloon.rss": 1_600_000 + number + turn,
        "balloon.swap_in": turn,
        "balloon.swap_out": turn,
        "balloon.major_fault": 400 + turn,
        "balloon.minor_fault": 900_000 + number + turn,
        "balloon.unused": 900_000 - turn,
        "balloon.available": 2_010_000,
        "balloon.usable": 1_400_000 - turn,
        "balloon.last-update": 1_700_000_000 + turn,
        "balloon.disk_caches": 300_000 + turn,
        "balloon.hugetlb_pgalloc": 0,
        "balloon.hugetlb_pgfail": 0,
        "vcpu.current": 2,
        "vcpu.maximum": 2,
        "net.count": 1,
        "net.0.name": f"vnet{number}",
        "block.count": 1,
        "block.0.name": "vda",
        "block.0.path": f"/var/lib/libvirt/images/{domain_name(number)}.qcow2",
        "block.0.backingIndex": 1,
    }
    for vcpu in range(2):
        prefix = f"vcpu.{vcpu}."
        found[prefix + "state"] = 1
        found[prefix + "time"] = spent // 2 - vcpu
        found[prefix + "wait"] = 0
        found[prefix + "delay"] = spent // 1000 + vcpu
        found[prefix + "halted"] = "no"
    for direction in ("rx", "tx"):
        for place, kind in enumerate(("bytes", "pkts", "errs", "drop")):
            found[f"net.0.{direction}.{kind}"] = (spent >> 8 * (place + 1)) + turn
    for kind in ("rd", "wr", "fl"):
        found[f"block.0.{kind}.reqs"] = 50_000 + number + turn
        found[f"block.0.{kind}.times"] = spent // 100 + turn
    for kind in ("rd", "wr"):
        found[f"block.0.{kind}.bytes"] = (50_000 + number + turn) * 4096
    found |= {f"block.0.{kind}": 10 << 30 for kind in ("allocation", "capacity", "physical")}
    return found


def _reading(descriptions: list[Description], turn: int) -> HostReading:
    return HostReading(
        domains=tuple(
            DomainRecord(
                name=domain_name(number),
                uuid=_uuid(number),
                number=number + 1,
                statistics=_statistics(number, turn),
                description=description,
            )
            for number, description in enumerate(descriptions)
        ),
        parts={"stats": Part(0.1, True), "info": Part(0.0, True)},
        versions=Versions("7.2.0", "9.0.0", "9.0.0"),
    )


class SyntheticSource:
    """See `collector.ports.Source`."""

    reconnects = 0

    def __init__(self, domains: int) -> None:
        descriptions = [_description(number) for number in range(domains)]
        self._readings = self._in_turn([_reading(descriptions, turn) for turn in (0, 1)])

    @staticmethod
    def _in_turn(readings: list[HostReading]) -> Iterator[HostReading]:
        while True:
            yield from readings

    def read(self, groups: frozenset[Group], timeout_seconds: float) -> HostReading:
        """The next reading, whatever is asked."""
        return next(self._readings)

    def close(self) -> None:
        """Nothing to end."""
