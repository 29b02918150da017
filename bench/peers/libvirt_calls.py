"""The calls of libvirt that other exporters make for one scrape, made again through libvirt-python.

Only the calls, in their order: no XML is read into structures, no metric is made, nothing is
served. So a replay is quicker than the exporter it stands for, and counts in its favour.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_DISK = "vda"
_AT_ONCE = 4
"""Domains that inovex' exporter reads side by side (`--exporter.max-concurrent-collects`)."""
Replay = Callable[[str], None]
"""One scrape of the host at this URI."""


def inovex(uri: str) -> None:
    """Version 2.5, one domain after another."""
    _inovex(uri, at_once=1)


def inovex_at_once(uri: str) -> None:
    """Version 2.5, four domains at once over its one connection."""
    _inovex(uri, at_once=_AT_ONCE)


def _inovex(uri: str, *, at_once: int) -> None:
    import libvirt

    nowait = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
    handle = libvirt.openReadOnly(uri)

    def read(domain: Any) -> None:
        def ask(group: int) -> None:
            handle.domainListGetStats([domain], group, nowait)

        domain.info()
        domain.isActive()
        ask(libvirt.VIR_DOMAIN_STATS_BLOCK)
        ask(libvirt.VIR_DOMAIN_STATS_BLOCK)
        ask(libvirt.VIR_DOMAIN_STATS_INTERFACE)
        domain.jobInfo()
        ask(libvirt.VIR_DOMAIN_STATS_BALLOON)
        ask(libvirt.VIR_DOMAIN_STATS_VCPU)

    try:
        domains = handle.listAllDomains()
        for domain in domains:
            domain.XMLDesc(0)
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(read, domains))
        _pools(handle)
    finally:
        handle.close()


def tinkoff(uri: str) -> None:
    """Version 2.3: a bulk query of seven groups that waits, then five calls per domain."""
    import libvirt

    handle = libvirt.openReadOnly(uri)
    try:
        handle.getVersion()
        handle.getLibVersion()
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
        _pools(handle)
    finally:
        handle.close()


def _pools(handle: Any) -> None:
    import libvirt

    try:
        pools = handle.listAllStoragePools(0)
    except libvirt.libvirtError:
        return  # This libvirtd has no driver for pools.
    for pool in pools:
        pool.info()
