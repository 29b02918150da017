"""What a source read of one host at one moment, as it came: values without a rule. Pure.

`Group` is what an operator can switch (`--collector.NAME`) and a scrape can ask for (`collect[]`).
Everything that libvirt did not tell is absent or None, never 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from collector.domain_xml import Description

Statistics = Mapping[str, object]
"""One domain's record of virConnectGetAllDomainStats, under libvirt's own keys and units."""


class Group(StrEnum):
    """A set of metrics that is read, and can be left out, as a whole."""

    meaning: str
    """What it exports, in a few words, for operators."""

    def __new__(cls, value: str, meaning: str) -> Self:
        """A member whose value is its name on the command line."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    STATE = "state", "whether domains run, and whether they can be asked"
    CPU = "cpu", "CPU time of each domain"
    BALLOON = "balloon", "memory of each domain, by its balloon"
    VCPU = "vcpu", "number, state and times of virtual CPUs, steal time among them"
    INTERFACE = "interface", "bytes, packets, errors and drops of network interfaces"
    BLOCK = "block", "bytes, requests, times and sizes of disks"
    BLOCK_TRAFFIC = (
        "block_traffic",
        "bytes and requests of disks; less than `block`, for less",
    )
    INFO = "info", "identity, disks, interfaces, pool and OpenStack labels, from each domain's XML"
    JOB = "job", "migrations, saves and backups under way"
    NODE = "node", "CPU, memory and NUMA cells of the host, as libvirt sees them"
    POOL = "pool", "state and sizes of storage pools"
    VERSIONS = "versions", "versions of the hypervisor, the daemon and the library"
    # A call per disk, or per domain, so off unless asked for.
    BLKIOTUNE = "blkiotune", "I/O limits of disks; one more call per disk"
    VCPU_CPU = "vcpu_cpu", "the host's CPU that each virtual CPU is on; one more call per domain"
    IOTHREAD = "iothread", "polling of QEMU's I/O threads"
    PERF = "perf", "hardware and software events that the domain's XML switches on"
    DIRTYRATE = "dirtyrate", "how fast guests write memory, as last measured on request"


BULK_GROUPS = frozenset(
    {
        *(Group.STATE, Group.CPU, Group.BALLOON, Group.VCPU, Group.INTERFACE, Group.BLOCK),
        *(Group.BLOCK_TRAFFIC, Group.IOTHREAD, Group.PERF, Group.DIRTYRATE),
    }
)
"""Those that come with the bulk query."""
DEFAULT_GROUPS = frozenset(Group) - {
    Group.BLOCK_TRAFFIC,
    Group.BLKIOTUNE,
    Group.VCPU_CPU,
    Group.IOTHREAD,
    Group.PERF,
    Group.DIRTYRATE,
}
"""What is read unless the operator says otherwise."""


@dataclass(frozen=True, slots=True)
class Control:
    """virDomainGetControlInfo: whether somebody waits for the domain's hypervisor."""

    state: int
    """0 ok, 1 a job runs, 2 occupied (a question waits for an answer), 3 error."""
    seconds: float
    """How long it has been so."""


@dataclass(frozen=True, slots=True)
class DomainRecord:
    """One domain."""

    name: str
    uuid: str
    number: int
    """libvirt's id, another one after each start; -1 while inactive."""
    statistics: Statistics
    description: Description | None = None
    """None when it is not read or could not be."""
    is_timed_out: bool = False
    """True when its hypervisor has left a question unanswered for too long."""
    control: Control | None = None
    """Asked only of domains whose record is incomplete."""
    job: Mapping[str, object] | None = None
    """virDomainGetJobStats, only while a job runs; times in milliseconds as libvirt gives them."""
    io_limits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """virDomainGetBlockIoTune by target device."""


@dataclass(frozen=True, slots=True)
class CellRecord:
    """One NUMA cell of the host."""

    number: int
    memory_bytes: float | None
    free_bytes: float | None


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """The host itself. Modes and kinds are libvirt's words (`user`, `idle`; `free`, `cached`)."""

    cpus: int | None = None
    cpu_mhz: int | None = None
    model: str = ""
    cpu_seconds: Mapping[str, float] = field(default_factory=dict)
    memory_bytes: Mapping[str, float] = field(default_factory=dict)
    cells: tuple[CellRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class StoragePoolRecord:
    """One storage pool; never refreshed by us."""

    name: str
    state: int | None
    capacity_bytes: float | None = None
    allocation_bytes: float | None = None
    available_bytes: float | None = None
    is_timed_out: bool = False


@dataclass(frozen=True, slots=True)
class Versions:
    """Such as 9.0.0; empty where the driver does not tell."""

    hypervisor: str = ""
    daemon: str = ""
    library: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """How the reading of one part went."""

    seconds: float
    is_ok: bool


@dataclass(frozen=True, slots=True)
class HostReading:
    """One host at one moment."""

    domains: tuple[DomainRecord, ...]
    parts: Mapping[str, Part]
    """By name: `stats` (the bulk query), and the groups that need calls of their own."""
    versions: Versions | None = None
    node: NodeRecord | None = None
    storage_pools: tuple[StoragePoolRecord, ...] | None = None
    """None when not read."""
