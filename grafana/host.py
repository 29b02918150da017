"""The dashboard *Host*: one libvirt host, its domains together, and how well it is read."""

from collections.abc import Sequence

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana.boards import HOST, libvirt_dashboard, with_rows
from grafana.panels import (
    HOST_ONLY,
    RATE,
    Panel,
    Query,
    chart,
    label,
    largest,
    number,
)

_H = f"{{{HOST_ONLY}}}"
_RUNNING = f"(libvirt_domain_info_vstate{_H} == 1)"
_ON_DOMAIN = "on (job, instance, domain)"
_UP = (("0", "down", "red"), ("1", "up", "green"))


def host() -> Dashboard:
    """The whole dashboard."""
    board = libvirt_dashboard(
        HOST, "libvirt / Host", "One libvirt host, as the collector reads it."
    )
    return with_rows(
        board,
        [
            ("Now", _now()),
            ("CPU", _cpu()),
            ("Domains", _domains()),
            ("Memory", _memory()),
            ("Storage and network", _devices()),
            ("Scrape health", _health()),
        ],
    )


def _now() -> Sequence[Panel]:
    return (
        number(
            *("libvirt", "Whether libvirt answered the last scrape.", "none"),
            Query(f"libvirt_up{_H}", "up"),
            texts=_UP,
        ),
        number(
            *("Running domains", "Domains in the state running.", "none"),
            Query(f"count({_RUNNING}) or 0 * sum(libvirt_up{_H})", "running"),
        ),
        number(
            *("Hung domains", "Domains whose hypervisor leaves questions unanswered.", "none"),
            Query(f"sum(libvirt_domain_timed_out{_H}) or 0 * sum(libvirt_up{_H})", "hung"),
            bad_from=1,
        ),
        number(
            *("vCPUs per CPU", "Virtual CPUs of running domains for each CPU of the host.", "none"),
            Query(
                f"sum(libvirt_domain_info_virtual_cpus{_H} and {_ON_DOMAIN} {_RUNNING})"
                f" / scalar(sum(libvirt_node_cpus{_H}))",
                "vCPUs per CPU",
            ),
        ),
        number(
            *("Memory given away", "Memory of running domains as a share of the host's."),
            "percentunit",
            Query(
                f"sum(libvirt_domain_info_memory_usage_bytes{_H} and {_ON_DOMAIN} {_RUNNING})"
                f" / scalar(sum(libvirt_node_memory_total_bytes{_H}))",
                "given",
            ),
            bad_from=1,
        ),
        label(
            *("Versions", "Hypervisor and libvirt daemon."),
            Query(
                f"libvirt_versions_info{_H}",
                "hypervisor {{hypervisor_running}}, libvirt {{libvirtd_running}}",
            ),
        ),
    )


def _cpu() -> Sequence[Panel]:
    return (
        chart(
            "CPU of the host by mode",
            "CPUs at work, as libvirt sees the host; idle is left out.",
            "none",
            Query(
                f'sum by (mode) (rate(libvirt_node_cpu_seconds_total{{{HOST_ONLY}, mode!="idle"}}'
                f"{RATE}))",
                "{{mode}}",
            ),
            Query(f"sum(libvirt_node_cpus{_H})", "CPUs of the host"),
        ),
        chart(
            "CPU wanted and got by domains",
            "CPUs that guests compute on, and that they wait for while the host runs others.",
            "none",
            Query(f"sum(rate(libvirt_domain_vcpu_time_seconds_total{_H}{RATE}))", "got"),
            Query(f"sum(rate(libvirt_domain_vcpu_delay_seconds_total{_H}{RATE}))", "waited for"),
            is_stacked=True,
        ),
        chart(
            "CPU by domain, top 10",
            "CPUs that a domain's hypervisor process uses, its emulator threads included.",
            "none",
            Query(
                largest(
                    "sum by (job, instance, domain)"
                    f" (rate(libvirt_domain_info_cpu_time_seconds_total{_H}{RATE}))"
                ),
                "{{domain}}",
            ),
            links_to_domain=True,
        ),
        chart(
            "Steal by domain, top 10",
            "Share of its vCPUs' time in which a domain was ready and the host ran something else.",
            "percentunit",
            Query(
                largest(
                    "avg by (job, instance, domain)"
                    f" (rate(libvirt_domain_vcpu_delay_seconds_total{_H}{RATE}))"
                ),
                "{{domain}}",
            ),
            links_to_domain=True,
        ),
    )


def _domains() -> Sequence[Panel]:
    return (
        chart(
            "Domains by state",
            "Active and inactive domains, by libvirt's words for their state.",
            "none",
            Query(f"count by (state_desc) (libvirt_domain_info_state{_H})", "{{state_desc}}"),
            is_stacked=True,
        ),
        chart(
            "Jobs under way",
            "Migrations, saves and backups: bytes left, by domain.",
            "bytes",
            Query(f"libvirt_domain_job_info_data_remaining_bytes{_H}", "{{domain}}"),
            links_to_domain=True,
        ),
    )


def _memory() -> Sequence[Panel]:
    return (
        chart(
            "Memory of the host",
            "As libvirt sees it; what is neither free nor buffers nor cached is used.",
            "bytes",
            *(
                Query(f"sum(libvirt_node_memory_{kind}_bytes{_H})", kind)
                for kind in ("total", "free", "buffers", "cached")
            ),
        ),
        chart(
            "Memory of domains",
            "What all domains were given, may have, and hold of the host's memory.",
            "bytes",
            Query(f"sum(libvirt_domain_info_memory_usage_bytes{_H})", "given"),
            Query(f"sum(libvirt_domain_info_maximum_memory_bytes{_H})", "maximum"),
            Query(f"sum(libvirt_domain_memory_stats_rss_bytes{_H})", "resident"),
        ),
        chart(
            "Resident memory by domain, top 10",
            "Memory of the host that a domain's hypervisor process holds.",
            "bytes",
            Query(largest(f"libvirt_domain_memory_stats_rss_bytes{_H}"), "{{domain}}"),
            links_to_domain=True,
        ),
        chart(
            "Free memory by NUMA cell",
            "Memory that nobody uses, by cell of the host.",
            "bytes",
            Query(f"libvirt_node_numa_cell_free_bytes{_H}", "cell {{cell}}"),
        ),
    )


def _devices() -> Sequence[Panel]:
    return (
        chart(
            "Storage pools",
            "Share of a pool that is not available any more, as of libvirt's last refresh.",
            "percentunit",
            Query(
                f"1 - libvirt_storage_pool_available_bytes{_H}"
                f" / (libvirt_storage_pool_capacity_bytes{_H} > 0)",
                "{{storage_pool}}",
            ),
            is_share=True,
        ),
        chart(
            "Disk latency by domain, top 10",
            "Mean time of a read or write of a domain's disks.",
            "s",
            Query(
                largest(
                    "(sum by (job, instance, domain)"
                    f" (rate(libvirt_domain_block_stats_read_time_seconds_total{_H}{RATE})"
                    f" + rate(libvirt_domain_block_stats_write_time_seconds_total{_H}{RATE}))"
                    " / (sum by (job, instance, domain)"
                    f" (rate(libvirt_domain_block_stats_read_requests_total{_H}{RATE})"
                    f" + rate(libvirt_domain_block_stats_write_requests_total{_H}{RATE})) > 0))"
                ),
                "{{domain}}",
            ),
            links_to_domain=True,
        ),
        chart(
            "Disk throughput",
            "Bytes that all domains read and write.",
            "Bps",
            *(
                Query(f"sum(rate(libvirt_domain_block_stats_{kind}_bytes_total{_H}{RATE}))", kind)
                for kind in ("read", "write")
            ),
        ),
        chart(
            "Network throughput",
            "Bytes that all domains receive and send.",
            "Bps",
            *(
                Query(
                    f"sum(rate(libvirt_domain_interface_stats_{kind}_bytes_total{_H}{RATE}))", kind
                )
                for kind in ("receive", "transmit")
            ),
        ),
    )


def _health() -> Sequence[Panel]:
    return (
        chart(
            "Duration of scrapes",
            "How long the collector took to read libvirt, and each part of it.",
            "s",
            Query(f"libvirt_scrape_duration_seconds{_H}", "whole"),
            Query(f"libvirt_scrape_collector_duration_seconds{_H}", "{{collector}}"),
        ),
        chart(
            "What could not be read",
            "Parts that failed, domains that hang or are incomplete, connections opened anew.",
            "none",
            Query(f"libvirt_scrape_collector_success{_H} == 0", "failed: {{collector}}"),
            Query(f"sum(libvirt_domain_timed_out{_H})", "hung domains"),
            Query(f"count(libvirt_domain_stats_complete{_H} == 0)", "incomplete domains"),
            Query(f"increase(libvirt_reconnects_total{_H}{RATE})", "reconnects"),
        ),
    )
