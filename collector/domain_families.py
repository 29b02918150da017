"""The families of a domain's CPU, memory and threads; part of `collector.catalogue`. Pure."""

from collections.abc import Iterator
from dataclasses import replace

from collector.families import Family, Kind, Scale, Statistic
from collector.records import Group

ONE, NANOSECONDS, KIBIBYTES = Scale.ONE, Scale.NANOSECONDS, Scale.KIBIBYTES


def _of_domain(name: str, kind: Kind, text: str, group: Group, *labels: str) -> Family:
    return Family(f"libvirt_domain_{name}", kind, text, ("domain", *labels), group)


def _one(
    group: Group,
    name: str,
    key: str,
    text: str,
    scale: Scale = ONE,
    *,
    is_lasting: bool = False,
    is_basic: bool = False,
) -> Statistic:
    """A number of the domain itself."""
    kind: Kind = "counter" if name.endswith("_total") else "gauge"
    family = replace(_of_domain(name, kind, text, group), also=Group.STATE if is_basic else None)
    return Statistic(family, key, scale, is_lasting)


_STATE_STATISTICS = (
    _one(
        Group.STATE,
        "info_vstate",
        "state.state",
        "State code of the domain: 0 none, 1 running, 2 blocked, 3 paused, 4 being shut down, "
        "5 shut off, 6 crashed, 7 suspended by its guest.",
        is_lasting=True,
    ),
    _one(
        Group.STATE,
        "control_state",
        "control.state",
        "Whether the domain's hypervisor can be asked: 0 yes, 1 a job runs, 2 occupied by a "
        "question without an answer, 3 error. Only of domains whose statistics are incomplete.",
    ),
    _one(
        Group.STATE,
        "control_state_seconds",
        "control.milliseconds",
        "How long the domain's control state has been what it is, in seconds.",
        Scale.MILLISECONDS,
    ),
)

_CPU_STATISTICS = (
    _one(
        Group.CPU,
        "info_cpu_time_seconds_total",
        "cpu.time",
        "CPU time in seconds of the domain's hypervisor process since the domain started, its "
        "emulator threads included (libvirt cpu.time). Active domains only.",
        NANOSECONDS,
        is_basic=True,
    ),
    _one(
        Group.CPU,
        "info_cpu_user_seconds_total",
        "cpu.user",
        "User part of the domain's CPU time in seconds (libvirt cpu.user).",
        NANOSECONDS,
    ),
    _one(
        Group.CPU,
        "info_cpu_system_seconds_total",
        "cpu.system",
        "System part of the domain's CPU time in seconds (libvirt cpu.system).",
        NANOSECONDS,
    ),
)

_VCPUS_NOW = "Number of virtual CPUs that the domain has now (libvirt vcpu.current)."


def _vcpu(
    name: str, kind: Kind, text: str, scale: Scale = ONE, group: Group = Group.VCPU
) -> Statistic:
    family = _of_domain(f"vcpu_{name}", kind, text, group, "vcpu")
    key = name.removesuffix("_seconds_total")
    return Statistic(family, f"vcpu.*.{key}", scale)


_VCPU_STATISTICS = (
    _one(
        *(Group.VCPU, "info_virtual_cpus", "vcpu.current", _VCPUS_NOW),
        is_lasting=True,
        is_basic=True,
    ),
    _one(Group.VCPU, "vcpu_current", "vcpu.current", _VCPUS_NOW, is_lasting=True),
    _one(
        Group.VCPU,
        "vcpu_maximum",
        "vcpu.maximum",
        "Number of virtual CPUs that the domain can have (libvirt vcpu.maximum).",
        is_lasting=True,
    ),
    _vcpu(
        "state",
        "gauge",
        "State of the virtual CPU: 0 offline, 1 running, 2 blocked (libvirt vcpu.N.state).",
    ),
    _vcpu(
        "halted",
        "gauge",
        "1 if the guest has halted the virtual CPU, else 0 (libvirt vcpu.N.halted).",
    ),
    _vcpu(
        "time_seconds_total",
        "counter",
        "CPU time in seconds of the virtual CPU since the domain started (libvirt vcpu.N.time).",
        NANOSECONDS,
    ),
    _vcpu(
        "wait_seconds_total",
        "counter",
        "Seconds that the virtual CPU waited for I/O; 0 unless the host's schedstats are on "
        "(libvirt vcpu.N.wait).",
        NANOSECONDS,
    ),
    _vcpu(
        "delay_seconds_total",
        "counter",
        "Seconds that the virtual CPU was ready but the host ran something else: the guest's "
        "steal time (libvirt vcpu.N.delay).",
        NANOSECONDS,
    ),
    _vcpu(
        "cpu",
        "gauge",
        "Number of the host's CPU that the virtual CPU ran on last (libvirt virVcpuInfo.cpu).",
        group=Group.VCPU_CPU,
    ),
)


def _memory(name: str, key: str, text: str, scale: Scale = KIBIBYTES) -> Statistic:
    return _one(
        Group.BALLOON,
        f"memory_stats_{name}",
        f"balloon.{key}",
        text,
        scale,
        is_lasting=key in ("current", "maximum"),
    )


_GIVEN = (
    "Memory in bytes that the domain has been given, not what its guest uses of it "
    "(libvirt balloon.current)."
)
_ALLOWED = "Memory in bytes that the domain may have (libvirt balloon.maximum)."

_BALLOON_STATISTICS = (
    _one(
        Group.BALLOON,
        "info_maximum_memory_bytes",
        "balloon.maximum",
        _ALLOWED,
        KIBIBYTES,
        is_lasting=True,
        is_basic=True,
    ),
    _one(
        Group.BALLOON,
        "info_memory_usage_bytes",
        "balloon.current",
        _GIVEN,
        KIBIBYTES,
        is_lasting=True,
        is_basic=True,
    ),
    _memory("maximum_bytes", "maximum", _ALLOWED),
    _memory("current_balloon_bytes", "current", _GIVEN),
    _memory("rss_bytes", "rss", "Resident memory of the hypervisor process, in bytes."),
    _memory(
        "unused_bytes",
        "unused",
        "Memory that the guest leaves unused, in bytes, as told by the guest.",
    ),
    _memory(
        "available_bytes",
        "available",
        "Memory that the guest sees, in bytes, as told by the guest.",
    ),
    _memory(
        "usable_bytes",
        "usable",
        "Memory that the guest could give up without swapping, in bytes, as told by it.",
    ),
    _memory(
        "disk_caches_bytes",
        "disk_caches",
        "Memory that the guest uses to cache files, in bytes, as told by the guest.",
    ),
    _memory(
        "swap_in_bytes",
        "swap_in",
        "Bytes that the guest has read from swap since it booted; grows like a counter.",
    ),
    _memory(
        "swap_out_bytes",
        "swap_out",
        "Bytes that the guest has written to swap since it booted; grows like a counter.",
    ),
    _memory(
        "major_fault_total",
        "major_fault",
        "Page faults of the guest that needed the disk.",
        ONE,
    ),
    _memory(
        "minor_fault_total",
        "minor_fault",
        "Page faults of the guest that did not need the disk.",
        ONE,
    ),
    _memory(
        "hugetlb_pgalloc_total",
        "hugetlb_pgalloc",
        "Huge pages that the guest allocated.",
        ONE,
    ),
    _memory(
        "hugetlb_pgfail_total",
        "hugetlb_pgfail",
        "Huge pages that the guest wanted and did not get.",
        ONE,
    ),
    _memory(
        "last_update_timestamp_seconds",
        "last-update",
        "When the guest told its memory last, in seconds since the Unix epoch. Absent when it "
        "never did.",
        ONE,
    ),
)


def _iothread(name: str, key: str, text: str, scale: Scale = ONE) -> Statistic:
    family = _of_domain(f"iothread_{name}", "gauge", text, Group.IOTHREAD, "iothread")
    return Statistic(family, f"iothread.*.{key}", scale)


_IOTHREAD_STATISTICS = (
    _iothread(
        "poll_max_seconds",
        "poll-max-ns",
        "Longest time in seconds that the I/O thread polls; 0 when it does not poll.",
        NANOSECONDS,
    ),
    _iothread(
        "poll_grow",
        "poll-grow",
        "How the I/O thread's polling time grows; 0 leaves it to the hypervisor.",
    ),
    _iothread(
        "poll_shrink",
        "poll-shrink",
        "How the I/O thread's polling time shrinks; 0 leaves it to the hypervisor.",
    ),
)

_COUNTED_EVENTS = (
    *("cpu_cycles", "instructions", "cache_references", "cache_misses", "branch_instructions"),
    *("branch_misses", "bus_cycles", "stalled_cycles_frontend", "stalled_cycles_backend"),
    *("ref_cpu_cycles", "page_faults", "context_switches", "cpu_migrations", "page_faults_min"),
    *("page_faults_maj", "alignment_faults", "emulation_faults"),
)


def _perf() -> Iterator[Statistic]:
    for event in _COUNTED_EVENTS:
        text = f"Events of the domain that perf counted (libvirt perf.{event})."
        yield _one(Group.PERF, f"perf_{event}_total", f"perf.{event}", text)
    for clock in ("cpu_clock", "task_clock"):
        text = f"Seconds that perf counted for the domain (libvirt perf.{clock})."
        yield _one(Group.PERF, f"perf_{clock}_seconds_total", f"perf.{clock}", text, NANOSECONDS)
    yield _one(
        Group.PERF,
        "perf_cache_usage_bytes",
        "perf.cmt",
        "Bytes of the last level cache that the domain occupies (libvirt perf.cmt).",
    )
    yield _one(
        Group.PERF,
        "perf_memory_bandwidth_bytes",
        "perf.mbmt",
        "Memory traffic of the domain as libvirt gives it, in bytes (libvirt perf.mbmt).",
    )
    yield _one(
        Group.PERF,
        "perf_local_memory_bandwidth_bytes",
        "perf.mbml",
        "The same through the memory controller of its own socket (libvirt perf.mbml).",
    )


_DIRTYRATE_STATISTICS = (
    _one(
        Group.DIRTYRATE,
        "dirtyrate_calc_status",
        "dirtyrate.calc_status",
        "Measurement of the domain's dirty memory: 0 not begun, 1 under way, 2 done.",
    ),
    _one(
        Group.DIRTYRATE,
        "dirtyrate_calc_start_seconds",
        "dirtyrate.calc_start_time",
        "When the last measurement of dirty memory began, in seconds of the host's clock.",
    ),
    _one(
        Group.DIRTYRATE,
        "dirtyrate_calc_period_seconds",
        "dirtyrate.calc_period",
        "How long the last measurement of dirty memory took, in seconds.",
    ),
    _one(
        Group.DIRTYRATE,
        "dirtyrate_bytes_per_second",
        "dirtyrate.megabytes_per_second",
        "Memory that the guest dirtied per second when it was last measured, in bytes.",
        Scale.MEBIBYTES,
    ),
    Statistic(
        _of_domain(
            "dirtyrate_vcpu_bytes_per_second",
            "gauge",
            "The same of one virtual CPU.",
            Group.DIRTYRATE,
            "vcpu",
        ),
        "dirtyrate.vcpu.*.megabytes_per_second",
        Scale.MEBIBYTES,
    ),
)

OWN_STATISTICS: tuple[Statistic, ...] = (
    *_STATE_STATISTICS,
    *_CPU_STATISTICS,
    *_VCPU_STATISTICS,
    *_BALLOON_STATISTICS,
    *_IOTHREAD_STATISTICS,
    *_perf(),
    *_DIRTYRATE_STATISTICS,
)
"""All but disks, interfaces and jobs."""
