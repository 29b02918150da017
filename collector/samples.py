"""What is known about a domain at one moment, from libvirt's statistics and its XML.

Pure. A statistic that libvirt did not give is None, and later an absent series: never 0, never NaN.
Times are seconds, sizes bytes; libvirt's nanoseconds and KiB end here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from collector.domain_xml import Description

_NANOSECOND = 1e-9
_KIBIBYTE = 1024
_SECTOR_COUNTERS_OF_DISK = "rd.reqs"


class State(IntEnum):
    """libvirt's virDomainState."""

    NO_STATE = 0
    RUNNING = 1
    BLOCKED = 2
    PAUSED = 3
    SHUTDOWN = 4
    SHUTOFF = 5
    CRASHED = 6
    PMSUSPENDED = 7


_INACTIVE = (State.NO_STATE, State.SHUTOFF, State.CRASHED)

Statistics = Mapping[str, object]
"""One domain's record of virConnectGetAllDomainStats."""


@dataclass(frozen=True, slots=True)
class VcpuSample:
    """One virtual CPU."""

    number: int
    state: int | None = None
    time_seconds: float | None = None
    wait_seconds: float | None = None
    delay_seconds: float | None = None
    is_halted: bool | None = None


@dataclass(frozen=True, slots=True)
class BlockSample:
    """One disk; counters since the domain started."""

    target: str
    counters: Mapping[str, float]
    """By the key of libvirt, such as `rd.bytes`; times in seconds."""


@dataclass(frozen=True, slots=True)
class InterfaceSample:
    """One network interface; counters since the domain started."""

    target: str
    counters: Mapping[str, float]
    """By the key of libvirt, such as `rx.bytes`."""


@dataclass(frozen=True, slots=True)
class MemorySample:
    """The balloon and what the guest tells through it."""

    current_bytes: float | None = None
    maximum_bytes: float | None = None
    counters: Mapping[str, float] = field(default_factory=dict)
    """By the key of libvirt without `balloon.`; sizes in bytes, `last-update` in Unix seconds."""


@dataclass(frozen=True, slots=True)
class DomainSample:
    """One domain at one moment."""

    name: str
    uuid: str
    state: int | None
    is_complete: bool
    """False when the hypervisor did not give all it gives for such a domain."""
    is_timed_out: bool
    """True when a question to the hypervisor has been waiting for an answer for too long."""
    description: Description | None
    cpu_seconds: float | None
    cpu_user_seconds: float | None
    cpu_system_seconds: float | None
    vcpus_current: int | None
    vcpus_maximum: int | None
    vcpus: tuple[VcpuSample, ...]
    memory: MemorySample
    blocks: tuple[BlockSample, ...]
    interfaces: tuple[InterfaceSample, ...]


def sample(
    name: str,
    uuid: str,
    statistics: Statistics,
    *,
    description: Description | None = None,
    is_timed_out: bool = False,
) -> DomainSample:
    """Reads one record. Counters of a domain that is not active are left out.

    libvirt goes on to report a CPU time for inactive domains, unrelated to and lower than the one
    before: as a counter it would be a reset that never was.
    """
    state = _integer(statistics, "state.state")
    active = is_active(statistics)
    return DomainSample(
        name=name,
        uuid=uuid,
        state=state,
        is_complete=is_complete(statistics),
        is_timed_out=is_timed_out,
        description=description,
        cpu_seconds=_seconds(statistics, "cpu.time") if active else None,
        cpu_user_seconds=_seconds(statistics, "cpu.user") if active else None,
        cpu_system_seconds=_seconds(statistics, "cpu.system") if active else None,
        vcpus_current=_integer(statistics, "vcpu.current"),
        vcpus_maximum=_integer(statistics, "vcpu.maximum"),
        vcpus=_vcpus(statistics) if active else (),
        memory=_memory(statistics, active),
        blocks=_blocks(statistics, active),
        interfaces=_interfaces(statistics) if active else (),
    )


def is_active(statistics: Statistics) -> bool:
    """True when the domain has a hypervisor process: running, paused, shutting down, suspended."""
    state = _integer(statistics, "state.state")
    return state is not None and state not in _INACTIVE


def is_complete(statistics: Statistics) -> bool:
    """False for an active domain whose record lacks what only its hypervisor can tell.

    libvirt leaves those fields out without a word while another call holds the domain. Then the
    counters of disks are missing, and the resident size, which is there for domains without disks.
    """
    if not is_active(statistics):
        return True
    if lacks_bulk_statistics(statistics) or "cpu.time" not in statistics:
        return False
    if "balloon.rss" not in statistics:
        return False
    disks = range(_integer(statistics, "block.count") or 0)
    return all(f"block.{number}.{_SECTOR_COUNTERS_OF_DISK}" in statistics for number in disks)


def lacks_bulk_statistics(statistics: Statistics) -> bool:
    """True when the driver gave the state and nothing else: it has no bulk statistics."""
    return not any(key.startswith(("cpu.", "vcpu.", "balloon.")) for key in statistics)


def _vcpus(statistics: Statistics) -> tuple[VcpuSample, ...]:
    # The numbers may have gaps after a hot-unplug, so count no further than they go.
    numbers = sorted({int(key.split(".")[1]) for key in statistics if _is_item(key, "vcpu.")})
    return tuple(
        VcpuSample(
            number=number,
            state=_integer(statistics, f"vcpu.{number}.state"),
            time_seconds=_seconds(statistics, f"vcpu.{number}.time"),
            wait_seconds=_seconds(statistics, f"vcpu.{number}.wait"),
            delay_seconds=_seconds(statistics, f"vcpu.{number}.delay"),
            is_halted=_flag(statistics, f"vcpu.{number}.halted"),
        )
        for number in numbers
    )


def _memory(statistics: Statistics, active: bool) -> MemorySample:
    current, maximum = (
        _number(statistics, "balloon.current"),
        _number(statistics, "balloon.maximum"),
    )
    counters: dict[str, float] = {}
    if active:
        for key in statistics:
            name = key.removeprefix("balloon.")
            value = _number(statistics, key)
            if name == key or value is None or name in ("current", "maximum"):
                continue
            counters[name] = value if name in _PLAIN_BALLOON_COUNTERS else value * _KIBIBYTE
        # Zero is libvirt's word for: the guest has never told.
        if counters.get("last-update") == 0:
            del counters["last-update"]
    return MemorySample(
        current_bytes=None if current is None else current * _KIBIBYTE,
        maximum_bytes=None if maximum is None else maximum * _KIBIBYTE,
        counters=counters,
    )


_PLAIN_BALLOON_COUNTERS = frozenset(
    {"major_fault", "minor_fault", "hugetlb_pgalloc", "hugetlb_pgfail", "last-update"}
)


def _blocks(statistics: Statistics, active: bool) -> tuple[BlockSample, ...]:
    blocks = []
    for number in range(_integer(statistics, "block.count") or 0):
        prefix = f"block.{number}."
        target = statistics.get(prefix + "name")
        if not isinstance(target, str):
            continue
        keys = (*_BLOCK_COUNTERS, *_BLOCK_SIZES) if active else _BLOCK_SIZES
        counters = {}
        for key in keys:
            value = _number(statistics, prefix + key)
            if value is not None:
                counters[key] = value * _NANOSECOND if key.endswith(".times") else value
        blocks.append(BlockSample(target, counters))
    return tuple(blocks)


_BLOCK_COUNTERS = (
    "rd.bytes",
    "rd.reqs",
    "rd.times",
    "wr.bytes",
    "wr.reqs",
    "wr.times",
    "fl.reqs",
    "fl.times",
)
_BLOCK_SIZES = ("capacity", "allocation", "physical")


def _interfaces(statistics: Statistics) -> tuple[InterfaceSample, ...]:
    interfaces = []
    for number in range(_integer(statistics, "net.count") or 0):
        prefix = f"net.{number}."
        target = statistics.get(prefix + "name")
        if not isinstance(target, str):
            continue
        counters = {}
        for key in _INTERFACE_COUNTERS:
            value = _number(statistics, prefix + key)
            if value is not None:
                counters[key] = value
        interfaces.append(InterfaceSample(target, counters))
    return tuple(interfaces)


_INTERFACE_COUNTERS = tuple(
    f"{direction}.{kind}"
    for direction in ("rx", "tx")
    for kind in ("bytes", "pkts", "errs", "drop")
)


def _is_item(key: str, prefix: str) -> bool:
    return key.startswith(prefix) and key[len(prefix) :].partition(".")[0].isdigit()


def _number(statistics: Statistics, key: str) -> float | None:
    value = statistics.get(key)
    return float(value) if isinstance(value, int | float) else None


def _integer(statistics: Statistics, key: str) -> int | None:
    value = statistics.get(key)
    return value if isinstance(value, int) else None


def _seconds(statistics: Statistics, key: str) -> float | None:
    value = _number(statistics, key)
    return None if value is None else value * _NANOSECOND


def _flag(statistics: Statistics, key: str) -> bool | None:
    value = statistics.get(key)
    return value in (True, 1, "yes") if value is not None else None
