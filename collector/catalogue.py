"""Every metric, declared once: names, kinds, help texts, libvirt's keys and other exporters' names.

docs/METRICS.md and the HELP lines come from here. Names are those that inovex's exporter has, where
it has one; they extend Tinkoff's and Kumina's. Units are seconds, bytes and ratios.
"""

from collections.abc import Iterator
from dataclasses import replace

from collector.device_families import BLOCK_STATISTICS, INTERFACE_STATISTICS, LIMIT_STATISTICS
from collector.domain_families import OWN_STATISTICS
from collector.families import Family, NameSet, Statistic
from collector.host_families import HOST_FAMILIES
from collector.job_families import JOB_STATISTICS
from collector.records import Group

_OPENSTACK = ("user_name", "user_id", "project_name", "project_id")
INFO = Family(
    "libvirt_domain_info",
    "info",
    "Constant 1; identity of the domain, from its XML.",
    ("domain", "uuid", "title", "os_type", "os_type_arch", "os_type_machine"),
    Group.INFO,
)
OPENSTACK_INFO = Family(
    "libvirt_domain_openstack_info",
    "info",
    "Constant 1; what OpenStack's Nova wrote into the domain's metadata.",
    ("domain", "instance_name", "instance_id", "flavor_name", *_OPENSTACK),
    Group.INFO,
)
MEMBERSHIP_INFO = Family(
    "virtscale_domain_info",
    "info",
    "Constant 1; pool and standby tier from the domain's virtscale metadata.",
    ("domain", "pool", "tier"),
    Group.INFO,
)
META = Family(
    "libvirt_domain_info_meta",
    "gauge",
    "Constant 1; identity of the domain with Nova's metadata.",
    (
        *("domain", "uuid", "instance_name", "flavor", "user_name", "user_uuid"),
        *("project_name", "project_uuid", "root_type", "root_uuid"),
    ),
    Group.INFO,
    NameSet.TINKOFF,
)
STATE = Family(
    "libvirt_domain_info_state",
    "gauge",
    "State code of the domain (virDomainState); the label says it in words.",
    ("domain", "state_desc"),
    Group.STATE,
)
COMPLETE = Family(
    "libvirt_domain_stats_complete",
    "gauge",
    "1 if the hypervisor gave all statistics of the domain, 0 if some are absent this time.",
    ("domain",),
)
TIMED_OUT = Family(
    "libvirt_domain_timed_out",
    "gauge",
    "1 if the domain's hypervisor has left a question unanswered for too long, else 0.",
    ("domain",),
)
USED_PERCENT = Family(
    "libvirt_domain_memory_stats_used_percent",
    "gauge",
    "Share of the memory that the guest sees which it could not give up without swapping, in "
    "percent: 100 * (available - usable) / available. Absent while the guest does not tell both.",
    ("domain",),
    Group.BALLOON,
)
BLOCK_INFO = Family(
    "libvirt_domain_block_stats_info",
    "info",
    "Constant 1; the disk as the domain's XML has it. The source is a file, a device, or the name "
    "of a network image or volume.",
    (
        *("domain", "disk_type", "target_bus", "driver_name", "driver_type", "driver_cache"),
        *("driver_discard", "source_file", "source_protocol", "target_device", "serial", "device"),
    ),
    Group.INFO,
)
BLOCK_META = Family(
    "libvirt_domain_block_meta",
    "gauge",
    "Constant 1; the disk as the domain's XML has it.",
    (
        *("domain", "target_device", "source_file", "serial", "bus", "disk_type", "driver_type"),
        *("cache", "discard"),
    ),
    Group.INFO,
    NameSet.TINKOFF,
)
INTERFACE_INFO = Family(
    "libvirt_domain_interface_stats_info",
    "info",
    "Constant 1; the network interface as the domain's XML has it.",
    (
        *("domain", "interface_type", "source_bridge", "target_device", "mac_address"),
        *("model_type", "mtu_size"),
    ),
    Group.INFO,
)
INTERFACE_META = Family(
    "libvirt_domain_interface_meta",
    "gauge",
    "Constant 1; bridge and virtual port of the network interface, where it has one of them.",
    ("domain", "source_bridge", "target_device", "virtual_interface"),
    Group.INFO,
    NameSet.TINKOFF,
)

_ALIASES: tuple[tuple[NameSet, str, str], ...] = (
    (NameSet.TINKOFF, "memory_stats_actual_balloon_bytes", "memory_stats_current_balloon_bytes"),
    (NameSet.TINKOFF, "memory_stats_disk_cache_bytes", "memory_stats_disk_caches_bytes"),
    (NameSet.TINKOFF, "block_stats_capacity", "block_stats_capacity_bytes"),
    (NameSet.KUMINA, "state_code", "info_vstate"),
    (NameSet.KUMINA, "block_stats_read_seconds_total", "block_stats_read_time_seconds_total"),
    (NameSet.KUMINA, "block_stats_write_seconds_total", "block_stats_write_time_seconds_total"),
    (NameSet.KUMINA, "block_stats_flush_seconds_total", "block_stats_flush_time_seconds_total"),
)
"""Another exporter's name for a statistic, and ours; both without `libvirt_domain_`."""

_BASE_STATISTICS: tuple[Statistic, ...] = (
    *OWN_STATISTICS,
    *BLOCK_STATISTICS,
    *INTERFACE_STATISTICS,
    *JOB_STATISTICS,
    *LIMIT_STATISTICS,
)


def _aliases() -> Iterator[Statistic]:
    named = {one.family.name: one for one in _BASE_STATISTICS}
    for names, alias, name in _ALIASES:
        one = named[f"libvirt_domain_{name}"]
        family = replace(one.family, name=f"libvirt_domain_{alias}", names=names)
        yield replace(one, family=family)


STATISTICS: tuple[Statistic, ...] = (*_BASE_STATISTICS, *_aliases())
"""Families that come from numbers of a domain's record."""

DOMAIN_FAMILIES: tuple[Family, ...] = (
    *(INFO, OPENSTACK_INFO, MEMBERSHIP_INFO, META, STATE, COMPLETE, TIMED_OUT, USED_PERCENT),
    *(BLOCK_INFO, BLOCK_META, INTERFACE_INFO, INTERFACE_META),
    *(one.family for one in STATISTICS),
)

CATALOGUE: tuple[Family, ...] = (*HOST_FAMILIES, *DOMAIN_FAMILIES)
"""Every family that a scrape can hold, in the order in which it is rendered."""
