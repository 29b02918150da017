"""What is asked of single domains: descriptions, jobs, I/O limits."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import libvirt

from collector.domain_xml import Description, describe
from collector.libvirt_source.descriptions import Descriptions
from collector.libvirt_source.devices import devices
from collector.libvirt_source.survey import Surveyed
from collector.records import Group, Statistics
from servicekit.clock import Clock


def job(_uuid: str, domain: Any) -> Mapping[str, object] | None:
    """The domain's job; None when it has none, or is the target of a migration.

    Only the present job is asked for: to ask for the last one takes it away from everybody else.
    """
    try:
        if domain.jobInfo()[0] == libvirt.VIR_DOMAIN_JOB_NONE:
            return {}
        return dict(domain.jobStats(0))
    except libvirt.libvirtError:
        return None


class IoLimits:
    """Asks for the I/O limits of each disk of a domain."""

    def __init__(self, statistics: Mapping[str, Statistics]) -> None:
        self._statistics = statistics

    def __call__(self, uuid: str, domain: Any) -> dict[str, dict[str, int]] | None:
        """None when the domain has gone."""
        try:
            disks = _disks(self._statistics.get(uuid, {})) or devices(domain.XMLDesc(0)).disks
        except (libvirt.libvirtError, ValueError):
            return None
        return {disk: limits for disk in disks if (limits := _limits(domain, disk))}


def _disks(statistics: Statistics) -> tuple[str, ...]:
    count = statistics.get("block.count")
    names = (
        statistics.get(f"block.{number}.name")
        for number in range(count if isinstance(count, int) else 0)
    )
    return tuple(name for name in names if isinstance(name, str))


def _limits(domain: Any, disk: str) -> dict[str, int]:
    try:
        told = domain.blockIoTune(disk, 0)
    except libvirt.libvirtError:
        return {}
    return {key: value for key, value in told.items() if isinstance(value, int)}


def basics(
    domains: Iterable[Surveyed],
    groups: frozenset[Group],
    mute: Collection[str],
    clock: Clock,
    deadline: float,
) -> dict[str, Statistics]:
    """What virDomainGetInfo tells, under the names of the bulk statistics, by UUID.

    It belongs to the group `state`, asks no QEMU and costs a tenth of the bulk groups with the same
    values. One source per value: what a bulk group of this reading tells is left out. Of `mute`
    domains none tells the memory. Runs on the thread of the connection that made the survey.
    """
    found: dict[str, Statistics] = {}
    for one in domains:
        if clock.monotonic() >= deadline:
            break
        try:
            _, maximum, memory, vcpus, cpu_time = one.handle.info()
        except libvirt.libvirtError:
            continue  # It has gone since the survey.
        told: dict[str, object] = {}
        if Group.CPU not in groups:
            told["cpu.time"] = cpu_time
        if Group.BALLOON not in groups or one.uuid in mute:
            told["balloon.current"], told["balloon.maximum"] = memory, maximum
        if Group.VCPU not in groups:
            told["vcpu.current"] = vcpus
        found[one.uuid] = told
    return found


def needs_basics(groups: frozenset[Group]) -> bool:
    """True when the state is asked for, and not everything in virDomainInfo comes in bulk."""
    return Group.STATE in groups and not groups >= {Group.CPU, Group.BALLOON, Group.VCPU}


def host_cpus(
    domains: Iterable[Surveyed], clock: Clock, deadline: float
) -> tuple[dict[str, Statistics], bool]:
    """The host's CPU that each virtual CPU is on, by UUID, as `vcpu.N.cpu`.

    Also whether all active domains were asked in time. No QEMU is asked. Left out is who has just
    ended, and a virtual CPU that libvirt says is on none. Runs on the thread of the connection that
    made the survey.
    """
    found: dict[str, Statistics] = {}
    for one in domains:
        if not one.is_active:
            continue
        if clock.monotonic() >= deadline:
            return found, False
        try:
            virtual = one.handle.vcpus()[0]
        except libvirt.libvirtError:
            continue
        found[one.uuid] = {f"vcpu.{number}.cpu": cpu for number, _, _, cpu in virtual if cpu >= 0}
    return found, True


def described(
    domains: Iterable[Surveyed], known: Descriptions, clock: Clock, deadline: float
) -> dict[str, Description | None]:
    """Descriptions by UUID; None for one that could not be read, or not in time.

    Runs on the thread of the connection that made the survey.
    """

    def reader(domain: Surveyed) -> Callable[[], Description | None]:
        def read() -> Description | None:
            if clock.monotonic() >= deadline:
                return None
            try:
                return describe(domain.handle.XMLDesc(0))
            except (libvirt.libvirtError, ValueError):
                return None

        return read

    return {one.uuid: known.get(one.uuid, one.number, reader(one)) for one in domains}
