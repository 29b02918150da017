"""Configuration of what a pool may do besides following its policies."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from scaler.policy_config import Query, Ratio, SomeSeconds
from servicekit.config import Settings

_PRESSURE_QUERY = Query(
    # Of the time in which virtual CPUs could run, the share in which the host ran something else.
    query=(
        "sum(rate(libvirt_domain_vcpu_delay_seconds_total[30s])) / "
        "(sum(rate(libvirt_domain_vcpu_delay_seconds_total[30s])) + "
        "(sum(rate(libvirt_domain_vcpu_time_seconds_total[30s])) > 0))"
    ),
    freshness="max(timestamp(libvirt_domain_vcpu_delay_seconds_total))",
)
_THROUGHPUT_QUERY = Query(
    query="sum(rate(virtscale_dispatcher_job_service_seconds_count[30s]))",
    freshness="max(timestamp(virtscale_dispatcher_jobs_accepted_total))",
)


class RolloutConfig(Settings):
    """How domains are replaced whose definition names another image than they run."""

    surge: Annotated[int, Field(ge=0, le=100)] = 1
    """Domains above the desired capacity meanwhile; 0: replace in place only."""
    unavailable: Annotated[int, Field(ge=0, le=100)] = 1
    """Domains below the desired capacity where `max` leaves no room for a surge."""
    failures: Annotated[int, Field(ge=1, le=100)] = 2
    """So many failed boots, and no good one, end the rollout of an image."""


class SaturationConfig(Settings):
    """A scale-out that does not help is not repeated. Off while one of its signals is unknown."""

    pressure_ratio: Ratio = 0.2
    """Share of the time in which domains wait for the host's CPUs; from here on saturated."""
    gain_ratio: Ratio = 0.25
    """Least growth of throughput, relative to that of the domains, that a scale-out must bring."""
    settle_seconds: SomeSeconds = 40.0
    """From the newest domain's Hello to the judgement; at least the window of the queries."""
    retry_seconds: SomeSeconds = 300.0
    """Scaling out is withheld for so long, or until the pressure falls."""
    pressure: Query = _PRESSURE_QUERY
    """Pressure on the host's CPUs, 0 to 1; with node_exporter also
    `rate(node_pressure_cpu_waiting_seconds_total[30s])`."""
    throughput: Query = _THROUGHPUT_QUERY
    """Jobs finished per second."""


class StandbyConfig(Settings):
    """Domains that wait, booted, to be woken instead of started."""

    paused: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Suspended in memory, awake in a fraction of a second; they count for `max`."""
    saved: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Saved on disk, awake in about a second; they hold no memory and do not count for `max`."""
    refill_seconds: SomeSeconds = 30.0
    """From the start of one refill to the next, at least."""
    max_age_seconds: SomeSeconds = 43_200.0
    """A standby domain older than this is made anew."""
    generation: str | None = None
    """Image generation that standby domains must have, as in their metadata. Unset: any."""


class HostConfig(Settings):
    """What the host of the hypervisor keeps for itself."""

    memory_reserve_mib: Annotated[int, Field(ge=0, le=1_000_000_000)] = 512
    """Memory that no domain gets; a start that would need it is withheld."""
    disk_reserve_mib: Annotated[int, Field(ge=0, le=1_000_000_000)] = 1024
    """Disk space that no saved image gets."""
    save_directory: Path | None = None
    """Where this libvirt keeps saved images. Unset: /var/lib/libvirt/qemu/save for qemu:///system;
    for others it is not known, and then no domain is saved."""
