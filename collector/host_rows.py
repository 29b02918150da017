"""What is known of the host and of the scrape itself, as rows. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from collector import host_families as families
from collector.families import Family
from collector.records import HostReading, NodeRecord, StoragePoolRecord

Row = tuple[Family, tuple[str, ...], float | None]
"""A family, the values of its labels, and its value; there is no series when that is None."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the exporter knows of a scrape beside the reading."""

    duration_seconds: float
    reconnects: int


def host_rows(reading: HostReading | None, facts: Facts) -> Iterator[Row]:
    """All rows but those of domains; `reading` is None when libvirt did not answer."""
    yield families.UP, (), float(reading is not None)
    yield families.DURATION, (), facts.duration_seconds
    yield families.RECONNECTS, (), float(facts.reconnects)
    if reading is None:
        yield families.PART_SUCCESS, ("stats",), 0.0
        return
    for name, part in sorted(reading.parts.items()):
        yield families.PART_DURATION, (name,), part.seconds
        yield families.PART_SUCCESS, (name,), float(part.is_ok)
    versions = reading.versions
    if versions is not None:
        yield families.VERSIONS, (versions.hypervisor, versions.daemon, versions.library), 1.0
    yield families.DOMAINS, (), float(len(reading.domains))
    yield families.KUMINA_DOMAINS, (), float(len(reading.domains))
    if reading.node is not None:
        yield from _node(reading.node)
    for pool in sorted(reading.storage_pools or (), key=lambda one: one.name):
        yield from _storage_pool(pool)


def _node(node: NodeRecord) -> Iterator[Row]:
    if node.model:
        yield families.NODE_INFO, (node.model,), 1.0
    yield families.NODE_CPUS, (), node.cpus
    yield families.NODE_FREQUENCY, (), None if node.cpu_mhz is None else node.cpu_mhz * 1e6
    for mode, seconds in sorted(node.cpu_seconds.items()):
        # Some drivers give a share in percent instead of times.
        if mode != "utilization":
            yield families.NODE_CPU_SECONDS, (mode,), seconds
    for kind, family in families.NODE_MEMORY.items():
        yield family, (), node.memory_bytes.get(kind)
    for cell in node.cells:
        yield families.CELL_MEMORY, (str(cell.number),), cell.memory_bytes
        yield families.CELL_FREE, (str(cell.number),), cell.free_bytes


def _storage_pool(pool: StoragePoolRecord) -> Iterator[Row]:
    for named, value in (
        (families.POOL_STATE, pool.state),
        (families.POOL_CAPACITY, pool.capacity_bytes),
        (families.POOL_ALLOCATION, pool.allocation_bytes),
        (families.POOL_AVAILABLE, pool.available_bytes),
    ):
        for family in named:
            yield family, (pool.name,), value
    yield families.POOL_TIMED_OUT, (pool.name,), float(pool.is_timed_out)
