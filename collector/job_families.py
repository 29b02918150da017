"""The families of jobs, such as a migration; part of `collector.catalogue`. Pure.

libvirt gives times in milliseconds. Series exist only while a job runs: an idle domain would have
a dozen dead ones.
"""

from collector.families import Family, Scale, Statistic
from collector.records import Group


def _job(name: str, key: str, text: str, scale: Scale = Scale.ONE) -> Statistic:
    family = Family(f"libvirt_domain_job_info_{name}", "gauge", text, ("domain",), Group.JOB)
    return Statistic(family, f"job.{key}", scale)


def _amounts() -> tuple[Statistic, ...]:
    return tuple(
        _job(f"{name}_{what}_bytes", f"{key}_{what}", f"{whose} of the job: {meaning}, in bytes.")
        for name, key, whose in (
            ("data", "data", "Data"),
            ("memory", "memory", "Memory"),
            ("file", "disk", "Disk contents"),
        )
        for what, meaning in (
            ("total", "all of it"),
            ("processed", "what is done"),
            ("remaining", "what is left"),
        )
    )


JOB_STATISTICS = (
    _job("type", "type", "Kind of the job that runs: 1 with a known end, 2 without one."),
    _job(
        "operation",
        "operation",
        "What the job does: 1 start, 2 save, 3 restore, 4 migration in, 5 migration away, "
        "6, 7 and 10 snapshots, 8 dump, 9 backup.",
    ),
    _job(
        "time_elapsed_seconds",
        "time_elapsed",
        "How long the job has been running, in seconds.",
        Scale.MILLISECONDS,
    ),
    _job(
        "time_remaining_seconds",
        "time_remaining",
        "How long the job will go on, in seconds.",
        Scale.MILLISECONDS,
    ),
    *_amounts(),
    _job(
        "downtime_seconds",
        "downtime",
        "How long the domain is expected to stand still when it moves, in seconds.",
        Scale.MILLISECONDS,
    ),
    _job(
        "setup_seconds",
        "setup_time",
        "How long the migration was prepared, in seconds.",
        Scale.MILLISECONDS,
    ),
    _job(
        "memory_bytes_per_second",
        "memory_bps",
        "Throughput with which memory is moved, in bytes per second.",
    ),
    _job(
        "file_bytes_per_second",
        "disk_bps",
        "Throughput with which disks are moved, in bytes per second.",
    ),
    _job(
        "memory_dirty_pages_per_second",
        "memory_dirty_rate",
        "Pages of memory that the guest dirties per second.",
    ),
    _job("memory_page_size_bytes", "memory_page_size", "Size of such a page, in bytes."),
    _job("memory_iteration", "memory_iteration", "Which pass over the guest's memory this is."),
    _job(
        "memory_postcopy_requests",
        "memory_postcopy_requests",
        "Pages that the guest asked for after it had moved.",
    ),
    _job("memory_constant_pages", "memory_constant", "Pages of zeros that needed no transfer."),
    _job("memory_normal_pages", "memory_normal", "Pages that were transferred whole."),
    _job(
        "auto_converge_throttle_percent",
        "auto_converge_throttle",
        "Share of its CPU time that the guest is denied so that the migration can end, in percent.",
    ),
    _job(
        "disk_temporary_used_bytes",
        "disk_temp_used",
        "Temporary disk space that the job uses, in bytes.",
    ),
    _job(
        "disk_temporary_total_bytes",
        "disk_temp_total",
        "Temporary disk space that the job may use, in bytes.",
    ),
)
