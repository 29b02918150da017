"""The calls of libvirt that other exporters make for one scrape, made again through libvirt-python.

Only the calls, in their order: no XML is read into structures, no metric is made, nothing is
served. So a replay is faster than the exporter it stands for, and counts in its favour.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_DISK = "vda"
_AT_ONCE = 4
"""Domains that inovex' exporter reads side by side (`--exporter.max-concurrent-collects`)."""
Replay = Callable[[str], int]
"""One scrape of the host at this URI; returns the number of calls."""


def inovex(uri: str) -> int:
    """Version 2.5, one domain after another."""
    return _inovex(uri, lambda read, domains: [read(domain) for domain in domains])


def inovex_at_once(uri: str) -> int:
    """Version 2.5, four domains at once over its one connection."""

    def each(read: Callable[[Any], int], domains: list[Any]) -> list[int]:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(read, domains))

    return _inovex(uri, each)


def _inovex(uri: str, each: Callable[[Callable[[Any], int], list[Any]], list[int]]) -> int:
    import libvirt

    nowait = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
    handle = libvirt.openReadOnly(uri)

    def read(domain: Any) -> int:
        domain.info()
        domain.isActive()
        for group in (
            *(libvirt.VIR_DOMAIN_STATS_BLOCK, libvirt.VIR_DOMAIN_STATS_BLOCK),
            libvirt.VIR_DOMAIN_STATS_INTERFACE,
        ):
            handle.domainListGetStats([domain], group, nowait)
        domain.jobInfo()
        for group in (libvirt.VIR_DOMAIN_STATS_BALLOON, libvirt.VIR_DOMAIN_STATS_VCPU):
            handle.domainListGetStats([domain], group, nowait)
        return 8

    try:
        domains = handle.listAllDomains()
        for domain in domains:
            domain.XMLDesc(0)
        calls = 1 + len(domains) + sum(each(read, domains))
        return calls + _pools(handle, libvirt.libvirtError)
    finally:
        handle.close()


def tinkoff(uri: str) -> int:
    """Version 2.3: a bulk query of seven groups that waits, then five calls per domain."""
    import libvirt

    handle = libvirt.openReadOnly(uri)
    try:
        for version in (handle.getVersion, handle.getLibVersion):
            version()
        records = handle.getAllDomainStats(
            libvirt.VIR_DOMAIN_STATS_STATE
            | libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
            | libvirt.VIR_DOMAIN_STATS_INTERFACE
            | libvirt.VIR_DOMAIN_STATS_BALLOON
            | libvirt.VIR_DOMAIN_STATS_BLOCK
            | libvirt.VIR_DOMAIN_STATS_PERF
            | libvirt.VIR_DOMAIN_STATS_VCPU,
            libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_RUNNING
            | libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_SHUTOFF,
        )
        for domain, _ in records:
            domain.XMLDesc(0)
            domain.info()
            domain.vcpus()
            domain.blockIoTune(_DISK)
            domain.memoryStats()
        return 3 + 5 * len(records) + _pools(handle, libvirt.libvirtError)
    finally:
        handle.close()


def _pools(handle: Any, error: type[Exception]) -> int:
    try:
        pools = handle.listAllStoragePools(0)
    except error:
        return 1  # This libvirtd has no driver for pools.
    for pool in pools:
        pool.info()
    return 1 + len(pools)
