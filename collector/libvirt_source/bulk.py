"""The bulk query: which group is which flag, who is asked for it, and what an answer lacks. Pure.

The flags are those of libvirt's C API (libvirt-domain.h), which never change.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from collector.records import Group, Statistics

_FLAGS = {
    Group.STATE: 1 << 0,
    Group.CPU: 1 << 1,
    Group.BALLOON: 1 << 2,
    Group.VCPU: 1 << 3,
    Group.INTERFACE: 1 << 4,
    Group.BLOCK: 1 << 5,
    Group.BLOCK_TRAFFIC: 1 << 5,
    Group.PERF: 1 << 6,
    Group.IOTHREAD: 1 << 7,
    Group.DIRTYRATE: 1 << 9,
}
NOWAIT = 1 << 29
"""Leave out what needs a hypervisor that is busy with somebody else's question."""
WITHOUT_MONITOR = frozenset({Group.STATE, Group.INTERFACE, Group.PERF})
"""libvirt answers these without asking a QEMU, so they cannot get stuck on one."""
_SURVEYED = sum(_FLAGS[group] for group in WITHOUT_MONITOR)
_SIGNS = ("cpu.", "vcpu.", "balloon.")
_DISK_COUNTERS = ("rd.reqs", "rd.bytes", "wr.reqs", "wr.bytes")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the bulk query told of one domain."""

    name: str
    number: int
    statistics: Statistics


@dataclass(frozen=True, slots=True)
class LoneDisk:
    """The only disk of an active domain, and what the survey told of the domain."""

    target: str
    surveyed: Answer


def flags(groups: Iterable[Group]) -> int:
    """The flags of the bulk groups among these, and the state, by which all else is judged."""
    found = _FLAGS[Group.STATE]
    for group in groups:
        found |= _FLAGS.get(group, 0)
    return found


def needs_monitor(groups: frozenset[Group]) -> bool:
    """True when somebody's QEMU has to be asked for these groups."""
    return any(group in _FLAGS for group in groups - WITHOUT_MONITOR)


def is_surveyed(flags: int) -> bool:
    """True when the survey has told all that these flags ask for."""
    return not flags & ~_SURVEYED


def is_complete(statistics: Statistics, groups: frozenset[Group]) -> bool:
    """False for a record of an active domain that lacks what only its QEMU can tell.

    libvirt leaves those fields out without a word while somebody else's question holds the domain.
    """
    if Group.BALLOON in groups and "balloon.rss" not in statistics:
        return False
    count = statistics.get("block.count")
    if not groups & {Group.BLOCK, Group.BLOCK_TRAFFIC} or not isinstance(count, int) or count == 0:
        return True
    return any(f"block.{number}.rd.reqs" in statistics for number in range(count))


def without_disks(flags: int) -> int:
    """The same flags but for that of the group `block`, which asks a QEMU three questions."""
    return flags & ~_FLAGS[Group.BLOCK]


def without_memory(flags: int) -> int:
    """The same flags but for that of the group `balloon`, which asks a QEMU two questions."""
    return flags & ~_FLAGS[Group.BALLOON]


def lone_disks(
    groups: frozenset[Group],
    surveyed: Mapping[str, Answer],
    disks: Mapping[str, Sequence[str]],
    hung: Collection[str],
) -> dict[str, LoneDisk]:
    """By UUID, the domains whose traffic virDomainBlockStats tells for less.

    That is two questions to the QEMU instead of three. It cannot be asked with NOWAIT, so a hung
    domain, for which it would wait, stays with the bulk query.
    """
    if Group.BLOCK_TRAFFIC not in groups or Group.BLOCK in groups:
        return {}
    return {
        uuid: LoneDisk(targets[0], surveyed[uuid])
        for uuid, targets in disks.items()
        if len(targets) == 1 and uuid not in hung and surveyed[uuid].number >= 0
    }


def with_traffic(
    statistics: Statistics, target: str, counters: Sequence[int] | None
) -> dict[str, object]:
    """A record with a disk's counters as virDomainBlockStats tells them, under the bulk keys.

    None stands for counters that could not be had: then the disk is there without them.
    """
    found: dict[str, object] = {**statistics, "block.count": 1, "block.0.name": target}
    for key, value in zip(_DISK_COUNTERS, counters or (), strict=False):
        if value >= 0:  # libvirt's word for what a driver does not count is -1.
            found[f"block.0.{key}"] = value
    return found


def has_bulk_statistics(statistics: Statistics) -> bool:
    """False when the driver gave the state and nothing else, though asked for everything."""
    return any(key.startswith(_SIGNS) for key in statistics)
