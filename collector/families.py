"""Metric families: names, help texts and how they follow from samples.

The only file that knows a metric's name. Names are those that the Tinkoff and inovex exporters
share, so that their dashboards work; units are seconds, bytes and ratios.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from collector.ports import HostReading
from collector.samples import BlockSample, DomainSample, InterfaceSample, State, VcpuSample

Row = tuple[tuple[str, ...], float]
Rows = Iterable[Row]
Kind = Literal["counter", "gauge"]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric as documented: every series of it has these labels."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]


Block = tuple[Family, Sequence[Row]]
"""A family and its series of one scrape."""

_STATE_TEXTS = {
    State.NO_STATE: "no state",
    State.RUNNING: "the domain is running",
    State.BLOCKED: "the domain is blocked on resource",
    State.PAUSED: "the domain is paused by user",
    State.SHUTDOWN: "the domain is being shut down",
    State.SHUTOFF: "the domain is shut off",
    State.CRASHED: "the domain is crashed",
    State.PMSUSPENDED: "the domain is suspended by guest power management",
}

UP = Family("libvirt_up", "gauge", "1 if libvirt answered this scrape, else 0.", ())
DURATION = Family(
    "libvirt_scrape_duration_seconds", "gauge", "Duration of this scrape's reading, in seconds.", ()
)
COLLECTOR_DURATION = Family(
    "libvirt_scrape_collector_duration_seconds",
    "gauge",
    "Duration of one part of this scrape's reading, in seconds: stats, or descriptions.",
    ("collector",),
)
COLLECTOR_SUCCESS = Family(
    "libvirt_scrape_collector_success",
    "gauge",
    "1 if this part of the scrape's reading succeeded, else 0.",
    ("collector",),
)
RECONNECTS = Family(
    "libvirt_reconnects_total", "counter", "Lost connections to libvirt that were opened anew.", ()
)
DOMAINS = Family("libvirt_domains", "gauge", "Number of domains, active and inactive.", ())
VERSIONS = Family(
    "libvirt_versions_info",
    "gauge",
    "Constant 1; versions of the hypervisor, the libvirt daemon and this process's library.",
    ("hypervisor_running", "libvirtd_running", "libvirt_library"),
)

_Extract = Callable[[DomainSample], Rows]
_Device = Callable[[str], _Extract]


def _value(value: float | int | bool | None) -> Rows:
    return () if value is None else (((), float(value)),)


def _state(domain: DomainSample) -> Rows:
    if domain.state is not None:
        text = _STATE_TEXTS.get(State(domain.state)) if domain.state in _STATES else None
        yield (text or f"state {domain.state}",), float(domain.state)


_STATES = frozenset(State)


def _info(domain: DomainSample) -> Rows:
    found = domain.description
    if found is not None:
        labels = (domain.uuid, found.title, found.os_type, found.os_type_arch)
        yield (*labels, found.os_type_machine), 1.0


def _pool(domain: DomainSample) -> Rows:
    if domain.description is not None and domain.description.membership is not None:
        yield (domain.description.membership.pool, domain.description.membership.tier), 1.0


def _vcpu(value: Callable[[VcpuSample], float | int | bool | None]) -> _Extract:
    def rows(domain: DomainSample) -> Rows:
        for vcpu in domain.vcpus:
            found = value(vcpu)
            if found is not None:
                yield (str(vcpu.number),), float(found)

    return rows


def _memory(key: str) -> _Extract:
    return lambda domain: _value(domain.memory.counters.get(key))


def _device(of: Callable[[DomainSample], Iterable[BlockSample | InterfaceSample]]) -> _Device:
    def keyed(key: str) -> _Extract:
        def rows(domain: DomainSample) -> Rows:
            for device in of(domain):
                found = device.counters.get(key)
                if found is not None:
                    yield (device.target,), found

        return rows

    return keyed


_block = _device(lambda domain: domain.blocks)
_interface = _device(lambda domain: domain.interfaces)


def _domain(
    name: str, kind: Kind, text: str, extract: _Extract, *more: str
) -> tuple[Family, _Extract]:
    return Family(name, kind, text, ("domain", *more)), extract


_MEMORY_FAMILIES: tuple[tuple[str, Kind, str, str], ...] = (
    ("rss_bytes", "gauge", "rss", "Resident memory of the hypervisor process, in bytes."),
    (
        "unused_bytes",
        "gauge",
        "unused",
        "Memory that the guest leaves unused, in bytes, as told by the guest.",
    ),
    (
        "available_bytes",
        "gauge",
        "available",
        "Memory that the guest sees, in bytes, as told by the guest.",
    ),
    (
        "usable_bytes",
        "gauge",
        "usable",
        "Memory that the guest could give up without swapping, in bytes, as told by it.",
    ),
    (
        "disk_caches_bytes",
        "gauge",
        "disk_caches",
        "Memory that the guest uses to cache files, in bytes, as told by the guest.",
    ),
    (
        "swap_in_bytes",
        "gauge",
        "swap_in",
        "Bytes that the guest has read from swap since it booted; grows like a counter.",
    ),
    (
        "swap_out_bytes",
        "gauge",
        "swap_out",
        "Bytes that the guest has written to swap since it booted; grows like a counter.",
    ),
    (
        "major_fault_total",
        "counter",
        "major_fault",
        "Page faults of the guest that needed the disk.",
    ),
    (
        "minor_fault_total",
        "counter",
        "minor_fault",
        "Page faults of the guest that did not need the disk.",
    ),
    (
        "last_update_timestamp_seconds",
        "gauge",
        "last-update",
        "When the guest told its memory last, in seconds since the Unix epoch.",
    ),
)

_BLOCK_FAMILIES: tuple[tuple[str, Kind, str, str], ...] = (
    ("read_bytes_total", "counter", "rd.bytes", "Bytes read from the disk."),
    ("read_requests_total", "counter", "rd.reqs", "Read requests to the disk."),
    (
        "read_time_seconds_total",
        "counter",
        "rd.times",
        "Time spent on reads from the disk, in seconds.",
    ),
    ("write_bytes_total", "counter", "wr.bytes", "Bytes written to the disk."),
    ("write_requests_total", "counter", "wr.reqs", "Write requests to the disk."),
    (
        "write_time_seconds_total",
        "counter",
        "wr.times",
        "Time spent on writes to the disk, in seconds.",
    ),
    ("flush_requests_total", "counter", "fl.reqs", "Flush requests to the disk."),
    (
        "flush_time_seconds_total",
        "counter",
        "fl.times",
        "Time spent on flushes of the disk, in seconds.",
    ),
    ("capacity_bytes", "gauge", "capacity", "Size of the disk in bytes."),
)

_DOMAIN_FAMILIES: tuple[tuple[Family, _Extract], ...] = (
    _domain(
        "libvirt_domain_info",
        "gauge",
        "Constant 1; identity of the domain, from its XML.",
        _info,
        "uuid",
        "title",
        "os_type",
        "os_type_arch",
        "os_type_machine",
    ),
    _domain(
        "virtscale_domain_info",
        "gauge",
        "Constant 1; pool and standby tier from the domain's virtscale metadata.",
        _pool,
        "pool",
        "tier",
    ),
    _domain(
        "libvirt_domain_info_state",
        "gauge",
        "State code of the domain (virDomainState); the label says it in words.",
        _state,
        "state_desc",
    ),
    _domain(
        "libvirt_domain_info_vstate",
        "gauge",
        "State code of the domain: 0 none, 1 running, 2 blocked, 3 paused, 4 being shut down, "
        "5 shut off, 6 crashed, 7 suspended by its guest.",
        lambda domain: _value(domain.state),
    ),
    _domain(
        "libvirt_domain_stats_complete",
        "gauge",
        "1 if the hypervisor gave all statistics of the domain, 0 if some are absent this time.",
        lambda domain: _value(domain.is_complete),
    ),
    _domain(
        "libvirt_domain_timed_out",
        "gauge",
        "1 if the domain's hypervisor has left a question unanswered for too long, else 0.",
        lambda domain: _value(domain.is_timed_out),
    ),
    _domain(
        "libvirt_domain_info_cpu_time_seconds_total",
        "counter",
        "CPU time in seconds of the domain's hypervisor process since the domain started, its "
        "emulator threads included (libvirt cpu.time). Active domains only.",
        lambda domain: _value(domain.cpu_seconds),
    ),
    _domain(
        "libvirt_domain_info_cpu_user_seconds_total",
        "counter",
        "User part of the domain's CPU time in seconds (libvirt cpu.user).",
        lambda domain: _value(domain.cpu_user_seconds),
    ),
    _domain(
        "libvirt_domain_info_cpu_system_seconds_total",
        "counter",
        "System part of the domain's CPU time in seconds (libvirt cpu.system).",
        lambda domain: _value(domain.cpu_system_seconds),
    ),
    _domain(
        "libvirt_domain_info_virtual_cpus",
        "gauge",
        "Number of virtual CPUs that the domain has now (libvirt vcpu.current).",
        lambda domain: _value(domain.vcpus_current),
    ),
    _domain(
        "libvirt_domain_vcpu_current",
        "gauge",
        "Number of virtual CPUs that the domain has now (libvirt vcpu.current).",
        lambda domain: _value(domain.vcpus_current),
    ),
    _domain(
        "libvirt_domain_vcpu_maximum",
        "gauge",
        "Number of virtual CPUs that the domain can have (libvirt vcpu.maximum).",
        lambda domain: _value(domain.vcpus_maximum),
    ),
    _domain(
        "libvirt_domain_vcpu_state",
        "gauge",
        "State of the virtual CPU: 0 offline, 1 running, 2 blocked (libvirt vcpu.N.state).",
        _vcpu(lambda vcpu: vcpu.state),
        "vcpu",
    ),
    _domain(
        "libvirt_domain_vcpu_halted",
        "gauge",
        "1 if the guest has halted the virtual CPU, else 0 (libvirt vcpu.N.halted).",
        _vcpu(lambda vcpu: vcpu.is_halted),
        "vcpu",
    ),
    _domain(
        "libvirt_domain_vcpu_time_seconds_total",
        "counter",
        "CPU time in seconds of the virtual CPU since the domain started (libvirt vcpu.N.time).",
        _vcpu(lambda vcpu: vcpu.time_seconds),
        "vcpu",
    ),
    _domain(
        "libvirt_domain_vcpu_wait_seconds_total",
        "counter",
        "Seconds that the virtual CPU waited for I/O; 0 unless the host's schedstats are on "
        "(libvirt vcpu.N.wait).",
        _vcpu(lambda vcpu: vcpu.wait_seconds),
        "vcpu",
    ),
    _domain(
        "libvirt_domain_vcpu_delay_seconds_total",
        "counter",
        "Seconds that the virtual CPU was ready but the host ran something else: the guest's "
        "steal time (libvirt vcpu.N.delay).",
        _vcpu(lambda vcpu: vcpu.delay_seconds),
        "vcpu",
    ),
    _domain(
        "libvirt_domain_info_maximum_memory_bytes",
        "gauge",
        "Memory in bytes that the domain may have (libvirt balloon.maximum).",
        lambda domain: _value(domain.memory.maximum_bytes),
    ),
    _domain(
        "libvirt_domain_info_memory_usage_bytes",
        "gauge",
        "Memory in bytes that the domain has been given, not what its guest uses of it "
        "(libvirt balloon.current).",
        lambda domain: _value(domain.memory.current_bytes),
    ),
    *(
        _domain(f"libvirt_domain_memory_stats_{name}", kind, text, _memory(key))
        for name, kind, key, text in _MEMORY_FAMILIES
    ),
    *(
        _domain(f"libvirt_domain_block_stats_{name}", kind, text, _block(key), "target_device")
        for name, kind, key, text in _BLOCK_FAMILIES
    ),
    *(
        _domain(
            f"libvirt_domain_interface_stats_{name}_total",
            "counter",
            text,
            _interface(key),
            "target_device",
        )
        for name, key, text in (
            ("receive_bytes", "rx.bytes", "Bytes that the interface received."),
            ("receive_packets", "rx.pkts", "Packets that the interface received."),
            ("receive_errors", "rx.errs", "Errors while the interface received."),
            ("receive_drops", "rx.drop", "Packets to the interface that were dropped."),
            ("transmit_bytes", "tx.bytes", "Bytes that the interface sent."),
            ("transmit_packets", "tx.pkts", "Packets that the interface sent."),
            ("transmit_errors", "tx.errs", "Errors while the interface sent."),
            ("transmit_drops", "tx.drop", "Packets from the interface that were dropped."),
        )
    ),
)

CATALOGUE: tuple[Family, ...] = (
    UP,
    DURATION,
    COLLECTOR_DURATION,
    COLLECTOR_SUCCESS,
    RECONNECTS,
    VERSIONS,
    DOMAINS,
    *(family for family, _ in _DOMAIN_FAMILIES),
)
"""Every family that a scrape can hold, in the order in which it is rendered."""


def families(
    reading: HostReading | None, *, duration_seconds: float, reconnects: int
) -> Iterable[Block]:
    """The families of one scrape; `reading` is None when libvirt did not answer."""
    up = float(reading is not None)
    yield UP, [((), up)]
    yield DURATION, [((), duration_seconds)]
    if reading is None:
        yield COLLECTOR_SUCCESS, [(("stats",), 0.0)]
        yield RECONNECTS, [((), float(reconnects))]
        return
    yield (
        COLLECTOR_DURATION,
        [(("stats",), reading.stats_seconds), (("descriptions",), reading.description_seconds)],
    )
    yield (
        COLLECTOR_SUCCESS,
        [(("stats",), 1.0), (("descriptions",), float(reading.descriptions_ok))],
    )
    yield RECONNECTS, [((), float(reconnects))]
    versions = reading.versions
    yield VERSIONS, [((versions.hypervisor, versions.daemon, versions.library), 1.0)]
    yield DOMAINS, [((), float(len(reading.domains)))]
    domains = sorted(reading.domains, key=lambda domain: domain.name)
    for family, extract in _DOMAIN_FAMILIES:
        rows = [
            ((domain.name, *labels), value)
            for domain in domains
            for labels, value in extract(domain)
        ]
        if rows:
            yield family, rows
