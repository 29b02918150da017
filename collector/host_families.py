"""The families of the host and of the scrape itself; part of `collector.catalogue`. Pure."""

from collector.families import Family, Kind, NameSet
from collector.records import Group

UP = Family("libvirt_up", "gauge", "1 if libvirt answered this scrape, else 0.")
DURATION = Family(
    "libvirt_scrape_duration_seconds", "gauge", "Duration of this scrape's reading, in seconds."
)
PART_DURATION = Family(
    "libvirt_scrape_collector_duration_seconds",
    "gauge",
    "Duration of one part of this scrape's reading, in seconds: stats (the bulk query), or a group "
    "that needs calls of its own.",
    ("collector",),
)
PART_SUCCESS = Family(
    "libvirt_scrape_collector_success",
    "gauge",
    "1 if this part of the scrape's reading succeeded, else 0.",
    ("collector",),
)
RECONNECTS = Family(
    "libvirt_reconnects_total", "counter", "Lost connections to libvirt that were opened anew."
)
VERSIONS = Family(
    "libvirt_versions_info",
    "info",
    "Constant 1; versions of the hypervisor, the libvirt daemon and this process's library.",
    ("hypervisor_running", "libvirtd_running", "libvirt_library"),
    Group.VERSIONS,
)
DOMAINS = Family("libvirt_domains", "gauge", "Number of domains, active and inactive.")
KUMINA_DOMAINS = Family("libvirt_domains_number", "gauge", DOMAINS.help, names=NameSet.KUMINA)


def _node(name: str, kind: Kind, text: str, *labels: str) -> Family:
    return Family(f"libvirt_node_{name}", kind, text, labels, Group.NODE)


NODE_INFO = _node("info", "info", "Constant 1; processor model of the host.", "model")
NODE_CPUS = _node("cpus", "gauge", "Active processors of the host.")
NODE_FREQUENCY = _node(
    "cpu_frequency_hertz", "gauge", "Expected frequency of the host's processors, in Hz."
)
NODE_CPU_SECONDS = _node(
    "cpu_seconds_total",
    "counter",
    "Seconds that the host's processors spent in each mode, such as user, kernel, idle, iowait.",
    "mode",
)
NODE_MEMORY = {
    "total": _node("memory_total_bytes", "gauge", "Memory of the host, in bytes."),
    "free": _node("memory_free_bytes", "gauge", "Memory of the host that is free, in bytes."),
    "buffers": _node("memory_buffers_bytes", "gauge", "Memory in the host's buffers, in bytes."),
    "cached": _node("memory_cached_bytes", "gauge", "Memory in the host's page cache, in bytes."),
}
CELL_MEMORY = _node(
    "numa_cell_memory_bytes", "gauge", "Memory of one NUMA cell of the host, in bytes.", "cell"
)
CELL_FREE = _node(
    "numa_cell_free_bytes", "gauge", "Free memory of one NUMA cell of the host, in bytes.", "cell"
)


def _storage_pool(name: str, text: str, *others: str) -> tuple[Family, ...]:
    """The family, and the names that versions of Tinkoff's exporter have for it."""
    own = Family(f"libvirt_storage_pool_{name}", "gauge", text, ("storage_pool",), Group.POOL)
    tinkoff = ("pool",), Group.POOL, NameSet.TINKOFF
    return own, *(Family(f"libvirt_{other}_{name}", "gauge", text, *tinkoff) for other in others)


_OLD, _NEW = "pool_info", "storage_pool_info"


POOL_STATE = _storage_pool(
    "state",
    "State of the storage pool: 0 inactive, 1 initializing, 2 running, 3 degraded, 4 inaccessible.",
    _NEW,
)
POOL_CAPACITY = _storage_pool("capacity_bytes", "Size of the storage pool, in bytes.", _OLD, _NEW)
POOL_ALLOCATION = _storage_pool(
    "allocation_bytes",
    "Bytes of the storage pool that are allocated, as libvirt saw it last.",
    _OLD,
    _NEW,
)
POOL_AVAILABLE = _storage_pool(
    "available_bytes",
    "Bytes of the storage pool that are free, as libvirt saw it last.",
    _OLD,
    _NEW,
)
POOL_TIMED_OUT = Family(
    "libvirt_storage_pool_timed_out",
    "gauge",
    "1 if the storage pool did not answer in time, else 0.",
    ("storage_pool",),
    Group.POOL,
)

HOST_FAMILIES: tuple[Family, ...] = (
    *(UP, DURATION, PART_DURATION, PART_SUCCESS, RECONNECTS, VERSIONS, DOMAINS, KUMINA_DOMAINS),
    *(NODE_INFO, NODE_CPUS, NODE_FREQUENCY, NODE_CPU_SECONDS, *NODE_MEMORY.values()),
    *(CELL_MEMORY, CELL_FREE),
    *(*POOL_STATE, *POOL_CAPACITY, *POOL_ALLOCATION, *POOL_AVAILABLE, POOL_TIMED_OUT),
)
