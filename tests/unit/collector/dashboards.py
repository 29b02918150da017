"""Names and labels that public dashboards and documents of other exporters use.

Each list was read from the source it names. They are facts to stay compatible with, so nothing is
derived here from our own catalogue.
"""

INOVEX_OPENSTACK = (
    "libvirt_domain_openstack_info",
    "libvirt_domain_info_state",
    "libvirt_domain_vcpu_current",
    "libvirt_domain_memory_stats_maximum_bytes",
    "libvirt_domain_block_stats_info",
    "libvirt_domain_interface_stats_info",
    "libvirt_domain_info_cpu_time_seconds_total",
    "libvirt_domain_vcpu_delay_seconds_total",
    "libvirt_domain_vcpu_time_seconds_total",
    "libvirt_domain_memory_stats_used_percent",
    "libvirt_domain_memory_stats_swap_in_bytes",
    "libvirt_domain_memory_stats_swap_out_bytes",
    "libvirt_domain_block_stats_read_requests_total",
    "libvirt_domain_block_stats_write_requests_total",
    "libvirt_domain_block_stats_read_bytes_total",
    "libvirt_domain_block_stats_write_bytes_total",
    "libvirt_domain_block_stats_read_time_seconds_total",
    "libvirt_domain_block_stats_write_time_seconds_total",
    "libvirt_domain_interface_stats_receive_bytes_total",
    "libvirt_domain_interface_stats_transmit_bytes_total",
    "libvirt_domain_interface_stats_receive_packets_total",
    "libvirt_domain_interface_stats_transmit_packets_total",
    "libvirt_domain_interface_stats_receive_errors_total",
    "libvirt_domain_interface_stats_transmit_errors_total",
    "libvirt_domain_interface_stats_receive_drops_total",
)
"""github.com/inovex/prometheus-libvirt-exporter, dashboards/openstack-libvirt-dashboard."""

INOVEX_LABELS = {
    "libvirt_domain_openstack_info": {"domain", "instance_name", "instance_id", "project_name"},
    "libvirt_domain_block_stats_read_bytes_total": {"domain", "target_device"},
    "libvirt_domain_interface_stats_receive_bytes_total": {"domain", "target_device"},
}
"""By which that dashboard selects, sums and joins."""

INOVEX_EXPORTER = {
    "libvirt_up": set(),
    "libvirt_domains": set(),
    "libvirt_domain_timed_out": {"domain"},
    "libvirt_domain_info_state": {"domain", "state_desc"},
    "libvirt_domain_info_maximum_memory_bytes": {"domain"},
    "libvirt_domain_info_memory_usage_bytes": {"domain"},
    "libvirt_domain_info_virtual_cpus": {"domain"},
    "libvirt_domain_info_cpu_time_seconds_total": {"domain"},
    "libvirt_domain_job_info_type": {"domain"},
    "libvirt_domain_job_info_time_elapsed_seconds": {"domain"},
    "libvirt_domain_job_info_time_remaining_seconds": {"domain"},
    "libvirt_domain_job_info_data_total_bytes": {"domain"},
    "libvirt_domain_job_info_data_processed_bytes": {"domain"},
    "libvirt_domain_job_info_data_remaining_bytes": {"domain"},
    "libvirt_domain_job_info_memory_total_bytes": {"domain"},
    "libvirt_domain_job_info_memory_processed_bytes": {"domain"},
    "libvirt_domain_job_info_memory_remaining_bytes": {"domain"},
    "libvirt_domain_job_info_file_total_bytes": {"domain"},
    "libvirt_domain_job_info_file_processed_bytes": {"domain"},
    "libvirt_domain_job_info_file_remaining_bytes": {"domain"},
    "libvirt_domain_memory_stats_swap_in_bytes": {"domain"},
    "libvirt_domain_memory_stats_swap_out_bytes": {"domain"},
    "libvirt_domain_memory_stats_unused_bytes": {"domain"},
    "libvirt_domain_memory_stats_available_bytes": {"domain"},
    "libvirt_domain_memory_stats_usable_bytes": {"domain"},
    "libvirt_domain_memory_stats_rss_bytes": {"domain"},
    "libvirt_domain_memory_stats_major_fault_total": {"domain"},
    "libvirt_domain_memory_stats_minor_fault_total": {"domain"},
    "libvirt_domain_memory_stats_used_percent": {"domain"},
    "libvirt_domain_memory_stats_current_balloon_bytes": {"domain"},
    "libvirt_domain_memory_stats_maximum_bytes": {"domain"},
    "libvirt_domain_memory_stats_disk_caches_bytes": {"domain"},
    "libvirt_domain_memory_stats_hugetlb_pgalloc_total": {"domain"},
    "libvirt_domain_memory_stats_hugetlb_pgfail_total": {"domain"},
    "libvirt_domain_memory_stats_last_update_timestamp_seconds": {"domain"},
    "libvirt_domain_block_stats_info": {
        *("domain", "disk_type", "target_bus", "driver_name", "driver_type", "driver_cache"),
        *("driver_discard", "source_file", "source_protocol", "target_device", "serial"),
    },
    "libvirt_domain_block_stats_read_bytes_total": {"domain", "target_device"},
    "libvirt_domain_block_stats_read_requests_total": {"domain", "target_device"},
    "libvirt_domain_block_stats_write_bytes_total": {"domain", "target_device"},
    "libvirt_domain_block_stats_write_requests_total": {"domain", "target_device"},
    "libvirt_domain_block_stats_read_time_seconds_total": {"domain", "target_device"},
    "libvirt_domain_block_stats_write_time_seconds_total": {"domain", "target_device"},
    "libvirt_domain_block_stats_flush_requests_total": {"domain", "target_device"},
    "libvirt_domain_block_stats_flush_time_seconds_total": {"domain", "target_device"},
    "libvirt_domain_block_stats_capacity_bytes": {"domain", "target_device"},
    "libvirt_domain_interface_stats_info": {
        *("domain", "interface_type", "source_bridge", "target_device", "mac_address"),
        *("model_type", "mtu_size"),
    },
    "libvirt_domain_interface_stats_receive_bytes_total": {"domain", "target_device"},
    "libvirt_domain_interface_stats_receive_packets_total": {"domain", "target_device"},
    "libvirt_domain_interface_stats_receive_errors_total": {"domain", "target_device"},
    "libvirt_domain_interface_stats_receive_drops_total": {"domain", "target_device"},
    "libvirt_domain_interface_stats_transmit_bytes_total": {"domain", "target_device"},
    "libvirt_domain_interface_stats_transmit_packets_total": {"domain", "target_device"},
    "libvirt_domain_interface_stats_transmit_errors_total": {"domain", "target_device"},
    "libvirt_domain_interface_stats_transmit_drops_total": {"domain", "target_device"},
    "libvirt_domain_vcpu_current": {"domain"},
    "libvirt_domain_vcpu_maximum": {"domain"},
    "libvirt_domain_vcpu_state": {"domain", "vcpu"},
    "libvirt_domain_vcpu_time_seconds_total": {"domain", "vcpu"},
    "libvirt_domain_vcpu_wait_seconds_total": {"domain", "vcpu"},
    "libvirt_domain_vcpu_delay_seconds_total": {"domain", "vcpu"},
    "libvirt_storage_pool_state": {"storage_pool"},
    "libvirt_storage_pool_capacity_bytes": {"storage_pool"},
    "libvirt_storage_pool_allocation_bytes": {"storage_pool"},
    "libvirt_storage_pool_available_bytes": {"storage_pool"},
    "libvirt_storage_pool_timed_out": {"storage_pool"},
    "libvirt_domain_info": {"domain", "os_type", "os_type_arch", "os_type_machine"},
    "libvirt_domain_openstack_info": {
        *("domain", "instance_name", "instance_id", "flavor_name", "user_name", "user_id"),
        *("project_name", "project_id"),
    },
}
"""github.com/inovex/prometheus-libvirt-exporter 2.5, what it exports and with which labels."""

STACKHPC = {
    "libvirt_up": set(),
    "libvirt_domain_info_virtual_cpus": {"domain", "uuid"},
    "libvirt_domain_info_cpu_time_seconds_total": {"domain", "uuid"},
    "libvirt_domain_info_memory_usage_bytes": {"domain", "uuid"},
    "libvirt_domain_info_maximum_memory_bytes": {"domain", "uuid"},
    "libvirt_domain_block_stats_read_requests_total": {"domain", "uuid", "target_device"},
    "libvirt_domain_block_stats_write_requests_total": {"domain", "uuid", "target_device"},
    "libvirt_domain_block_stats_read_bytes_total": {"domain", "uuid", "target_device"},
    "libvirt_domain_block_stats_write_bytes_total": {"domain", "uuid", "target_device"},
    **{
        f"libvirt_domain_interface_stats_{way}_{what}_total": {
            *("domain", "uuid", "target_device", "source_bridge")
        }
        for way in ("receive", "transmit")
        for what in ("bytes", "packets", "errors", "drops")
    },
}
"""github.com/stackhpc/stackhpc-kayobe-config, grafana/dashboards/openstack/libvirt.json."""

_TINKOFF_DEVICE = {"domain", "target_device"}
TINKOFF = {
    "libvirt_up": set(),
    "libvirt_versions_info": {"hypervisor_running", "libvirtd_running", "libvirt_library"},
    "libvirt_domain_block_meta": {
        *("bus", "cache", "discard", "disk_type", "domain", "driver_type", "serial"),
        *("source_file", "target_device"),
    },
    **{
        f"libvirt_domain_block_stats_{name}": _TINKOFF_DEVICE
        for name in (
            *("allocation", "capacity", "capacity_bytes", "physicalsize_bytes"),
            *("flush_requests_total", "flush_time_seconds_total", "size_iops_bytes"),
            *("read_bytes_total", "read_requests_total", "read_time_seconds_total"),
            *("write_bytes_total", "write_requests_total", "write_time_seconds_total"),
            "limit_burst_length_read_requests_seconds",
            "limit_burst_length_total_requests_seconds",
            "limit_burst_length_write_requests_seconds",
            "limit_burst_read_bytes",
            "limit_burst_read_bytes_length_seconds",
            "limit_burst_read_requests",
            "limit_burst_total_bytes",
            "limit_burst_total_bytes_length_seconds",
            "limit_burst_total_requests",
            "limit_burst_write_bytes",
            "limit_burst_write_bytes_length_seconds",
            "limit_burst_write_requests",
            "limit_read_bytes",
            "limit_read_requests",
            "limit_total_bytes",
            "limit_total_requests",
            "limit_write_bytes",
            "limit_write_requests",
        )
    },
    "libvirt_domain_info_cpu_time_seconds_total": {"domain"},
    "libvirt_domain_info_maximum_memory_bytes": {"domain"},
    "libvirt_domain_info_memory_usage_bytes": {"domain"},
    "libvirt_domain_info_meta": {
        *("domain", "flavor", "instance_name", "project_name", "project_uuid", "root_type"),
        *("root_uuid", "user_name", "user_uuid", "uuid"),
    },
    "libvirt_domain_info_virtual_cpus": {"domain"},
    "libvirt_domain_info_vstate": {"domain"},
    "libvirt_domain_interface_meta": {
        *("domain", "source_bridge", "target_device", "virtual_interface")
    },
    **{
        f"libvirt_domain_interface_stats_{way}_{what}_total": _TINKOFF_DEVICE
        for way in ("receive", "transmit")
        for what in ("bytes", "packets", "errors", "drops")
    },
    **{
        f"libvirt_domain_memory_stats_{name}": {"domain"}
        for name in (
            *("actual_balloon_bytes", "available_bytes", "disk_cache_bytes", "major_fault_total"),
            *("minor_fault_total", "rss_bytes", "unused_bytes", "usable_bytes", "used_percent"),
        )
    },
    **{
        f"libvirt_domain_vcpu_{name}": {"domain", "vcpu"}
        for name in (*("delay_seconds_total", "state", "time_seconds_total", "wait_seconds_total"),)
    },
    **{
        f"libvirt_storage_pool_info_{name}": {"pool"}
        for name in ("state", "capacity_bytes", "allocation_bytes", "available_bytes")
    },
    **{
        f"libvirt_pool_info_{name}": {"pool"}
        for name in ("capacity_bytes", "allocation_bytes", "available_bytes")
    },
}
"""github.com/Tinkoff/libvirt-exporter, README of its first and last versions, and pools from its
code. Left out: libvirt_domain_vcpu_cpu, which would need a call for each domain."""

KUMINA = {
    "libvirt_up": set(),
    "libvirt_domains_number": set(),
    "libvirt_domain_state_code": {"domain", "uuid"},
    "libvirt_domain_info_cpu_time_seconds_total": {"domain", "uuid"},
    "libvirt_domain_info_maximum_memory_bytes": {"domain", "uuid"},
    "libvirt_domain_info_memory_usage_bytes": {"domain", "uuid"},
    "libvirt_domain_info_virtual_cpus": {"domain", "uuid"},
    **{
        f"libvirt_domain_block_stats_{name}_total": {
            *("domain", "uuid", "source_file", "target_device")
        }
        for name in (
            *("read_bytes", "read_requests", "read_seconds", "write_bytes", "write_requests"),
            *("write_seconds", "flush_requests", "flush_seconds"),
        )
    },
    **{
        f"libvirt_domain_interface_stats_{way}_{what}_total": {
            *("domain", "uuid", "source_bridge", "target_device")
        }
        for way in ("receive", "transmit")
        for what in ("bytes", "packets", "errors", "drops")
    },
}
"""github.com/kumina/libvirt_exporter, as Debian's prometheus-libvirt-exporter 0.2.0 has it."""
