"""The dashboard *Domain*: everything that is known of one domain."""

from collections.abc import Sequence

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana.boards import choice, libvirt_dashboard, with_rows
from grafana.panels import (
    DOMAIN,
    HOST_ONLY,
    ONE_DOMAIN,
    RATE,
    Panel,
    Query,
    chart,
    label,
    number,
    state,
    state_timeline,
)

_D = f"{{{ONE_DOMAIN}}}"
_BLOCK = "libvirt_domain_block_stats_"
_INTERFACE = "libvirt_domain_interface_stats_"
_MEMORY = "libvirt_domain_memory_stats_"


def domain() -> Dashboard:
    """The whole dashboard."""
    board = libvirt_dashboard(DOMAIN, "libvirt / Domain", "One domain, as the collector reads it.")
    board = board.with_variable(
        choice(
            *("domain", "Domain"),
            f"label_values(libvirt_domain_info_vstate{{{HOST_ONLY}}}, domain)",
        )
    )
    return with_rows(
        board,
        [
            ("Now", _now()),
            ("CPU", _cpu()),
            ("Memory", _memory()),
            ("Disks", _disks()),
            ("Network", _network()),
            ("Hypervisor", _hypervisor()),
        ],
    )


def _now() -> Sequence[Panel]:
    return (
        state("State", "What libvirt says.", Query(f"libvirt_domain_info_vstate{_D}", "state")),
        number(
            *("vCPUs", "Virtual CPUs that the domain has now.", "none"),
            Query(f"libvirt_domain_info_virtual_cpus{_D}", "vCPUs"),
        ),
        number(
            *("Memory", "Memory that the domain has been given.", "bytes"),
            Query(f"libvirt_domain_info_memory_usage_bytes{_D}", "given"),
        ),
        label(
            *("Machine", "Title and emulated machine, from the domain's XML."),
            Query(f"libvirt_domain_info{_D}", "{{title}} {{os_type_arch}} {{os_type_machine}}"),
        ),
        label(
            *("UUID", "libvirt's identifier of the domain."),
            Query(f"libvirt_domain_info{_D}", "{{uuid}}"),
            span=8,
        ),
        state_timeline(
            *("State over time", "What libvirt says, over time."),
            Query(f"libvirt_domain_info_vstate{_D}", "{{domain}}"),
        ),
    )


def _cpu() -> Sequence[Panel]:
    return (
        chart(
            "CPU per vCPU",
            "Share of its time that a virtual CPU computes.",
            "percentunit",
            Query(f"rate(libvirt_domain_vcpu_time_seconds_total{_D}{RATE})", "vCPU {{vcpu}}"),
            is_share=True,
        ),
        chart(
            "Steal per vCPU",
            "Share of its time that a virtual CPU is ready and the host runs something else.",
            "percentunit",
            Query(f"rate(libvirt_domain_vcpu_delay_seconds_total{_D}{RATE})", "vCPU {{vcpu}}"),
        ),
        chart(
            "CPU of the hypervisor process",
            "CPUs in use, emulator and I/O threads included: all of it, user and system part.",
            "none",
            Query(f"rate(libvirt_domain_info_cpu_time_seconds_total{_D}{RATE})", "all"),
            Query(f"rate(libvirt_domain_info_cpu_user_seconds_total{_D}{RATE})", "user"),
            Query(f"rate(libvirt_domain_info_cpu_system_seconds_total{_D}{RATE})", "system"),
        ),
        chart(
            "Halted and waiting",
            "Virtual CPUs that the guest has halted; time spent waiting for I/O, which is 0 unless"
            " the host's schedstats are on.",
            "none",
            Query(f"libvirt_domain_vcpu_halted{_D}", "vCPU {{vcpu}} halted"),
            Query(f"rate(libvirt_domain_vcpu_wait_seconds_total{_D}{RATE})", "vCPU {{vcpu}} waits"),
        ),
    )


def _memory() -> Sequence[Panel]:
    return (
        chart(
            "Memory of the domain",
            "What it may have, was given, and holds of the host's memory.",
            "bytes",
            Query(f"libvirt_domain_info_maximum_memory_bytes{_D}", "maximum"),
            Query(f"libvirt_domain_info_memory_usage_bytes{_D}", "given"),
            Query(f"{_MEMORY}rss_bytes{_D}", "resident"),
        ),
        chart(
            "Memory inside the guest",
            "As told by the guest's balloon driver; nothing without one.",
            "bytes",
            *(
                Query(f"{_MEMORY}{name}_bytes{_D}", text)
                for name, text in (
                    ("available", "seen"),
                    ("usable", "could be given up"),
                    ("unused", "unused"),
                    ("disk_caches", "caches of files"),
                )
            ),
        ),
        chart(
            "Swap and faults",
            "Bytes swapped by the guest, and page faults that needed its disk.",
            "none",
            Query(f"rate({_MEMORY}swap_in_bytes{_D}{RATE})", "bytes/s swapped in"),
            Query(f"rate({_MEMORY}swap_out_bytes{_D}{RATE})", "bytes/s swapped out"),
            Query(f"rate({_MEMORY}major_fault_total{_D}{RATE})", "major faults/s"),
        ),
        chart(
            "Age of the guest's figures",
            "Since the guest told its memory last; it grows while guest or driver is stuck.",
            "s",
            Query(f"time() - {_MEMORY}last_update_timestamp_seconds{_D}", "age"),
        ),
    )


def _disks() -> Sequence[Panel]:
    def rates(what: str, text: str) -> list[Query]:
        return [
            Query(f"rate({_BLOCK}{kind}_{what}_total{_D}{RATE})", f"{{{{target_device}}}} {text}")
            for kind, text in (("read", f"read{text}"), ("write", f"write{text}"))
        ]

    return (
        chart("Throughput", "Bytes read and written, by disk.", "Bps", *rates("bytes", "")),
        chart(
            "Requests",
            "Reads, writes and flushes per second, by disk.",
            "iops",
            *rates("requests", ""),
            Query(f"rate({_BLOCK}flush_requests_total{_D}{RATE})", "{{target_device}} flush"),
        ),
        chart(
            "Latency",
            "Mean time of a read, write and flush, by disk; nothing while there are none.",
            "s",
            *(
                Query(
                    f"rate({_BLOCK}{kind}_time_seconds_total{_D}{RATE})"
                    f" / (rate({_BLOCK}{kind}_requests_total{_D}{RATE}) > 0)",
                    f"{{{{target_device}}}} {kind}",
                )
                for kind in ("read", "write", "flush")
            ),
        ),
        chart(
            "Size",
            "What the guest sees, what has been written of it, and what it takes below.",
            "bytes",
            Query(f"{_BLOCK}capacity_bytes{_D}", "{{target_device}} capacity"),
            Query(f"{_BLOCK}allocation{_D}", "{{target_device}} allocation"),
            Query(f"{_BLOCK}physicalsize_bytes{_D}", "{{target_device}} physical"),
        ),
    )


def _network() -> Sequence[Panel]:
    directions = ("receive", "transmit")

    def rates(*kinds: str) -> list[Query]:
        return [
            Query(
                f"rate({_INTERFACE}{direction}_{kind}_total{_D}{RATE})",
                f"{{{{target_device}}}} {direction} {kind}",
            )
            for kind in kinds
            for direction in directions
        ]

    return (
        chart("Traffic", "Bytes received and sent, by interface.", "Bps", *rates("bytes"), span=8),
        chart(
            *("Packets", "Packets received and sent, by interface.", "pps"),
            *rates("packets"),
            span=8,
        ),
        chart(
            *("Errors and drops", "Packets that went wrong or were dropped.", "pps"),
            *rates("errors", "drops"),
            span=8,
        ),
    )


def _hypervisor() -> Sequence[Panel]:
    return (
        chart(
            "Answers",
            "Whether the hypervisor gave all statistics, and whether it leaves questions open.",
            "none",
            Query(f"libvirt_domain_stats_complete{_D}", "complete"),
            Query(f"libvirt_domain_timed_out{_D}", "timed out"),
            is_share=True,
        ),
        chart(
            "Time without an answer",
            "How long libvirt has waited for the hypervisor; nothing while it does not.",
            "s",
            Query(f"libvirt_domain_control_state_seconds{_D}", "waits"),
        ),
        chart(
            "Job: data left",
            "Of a migration, save or backup under way.",
            "bytes",
            Query(f"libvirt_domain_job_info_data_total_bytes{_D}", "all"),
            Query(f"libvirt_domain_job_info_data_remaining_bytes{_D}", "left"),
        ),
        chart(
            "Job: time",
            "Time that the job under way has taken.",
            "s",
            Query(f"libvirt_domain_job_info_time_elapsed_seconds{_D}", "elapsed"),
        ),
    )
