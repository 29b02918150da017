"""Options of `virtscale up`: the same keys in a YAML file, the environment and as flags."""

import os
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator
from virtscale.client.values import Profile

from servicekit.config import Settings
from servicekit.logs import Level
from stack.arrivals import ShapeName
from stack.calibration import LoadName, difficulty_fault
from stack.listeners import Listener

ENVIRONMENT_PREFIX = "VIRTSCALE_UP_"

_PORT_OFFSETS = {
    "dispatcher_port": 0,
    "dispatcher_metrics_port": 1,
    "scaler_port": 2,
    "collector_port": 3,
    "prometheus_port": 4,
    "alertmanager_port": 5,
    "dispatcher_workers_port": 6,
}
_PORT_DEFAULTS = {
    "dispatcher_port": 15051,
    "dispatcher_metrics_port": 9181,
    "scaler_port": 9182,
    "collector_port": 9177,
    "prometheus_port": 9090,
    "alertmanager_port": 9093,
    "dispatcher_workers_port": 15052,
}

Port = int

NumberFormat = Literal["in", "in-legacy", "gb", "de", "fr", "es", "it", "nl", "free"]
"""The dispatcher's own list: it is configured in words, not imported."""

_THIS_MACHINE = (None, "localhost", "127.0.0.1", "::1")


def default_max_domains() -> int:
    """As many one-vCPU domains as the machine has cores, at least 2 and at most 8."""
    return max(2, min(8, len(os.sched_getaffinity(0))))


class UpSettings(Settings):
    """What `virtscale up` runs."""

    for_seconds: float | None = Field(default=None, gt=0)
    """End by itself after this many seconds of load; default: run until `terminate`."""
    summary: Path | None = None
    """Write the run's figures to this file as JSON."""
    report: Path | None = None
    """Write the report of the run to this file, as HTML."""
    url: str | None = Field(default=None, min_length=1)
    """libvirt URI of the pool; default: a private libvirtd of the stack's own."""
    define: bool = False
    """With `url`: define the pool's domains there (and undefine them at the end)."""
    pool: str = Field(default="default", pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")
    """Name of the pool: of its domains and in every metric."""
    delta: float = Field(default=1.0, gt=0, le=86_400, allow_inf_nan=False)
    """Mean seconds between requests."""
    load: LoadName = "auto"
    """Extra work per job; `auto` measures the first guest and chooses what saturates it."""
    difficulty: float | None = None
    """Bits of a collision, repetitions of verify, seconds of busy."""
    shape: ShapeName = "wave"
    """How the rate moves around its mean."""
    min: int = Field(default=1, ge=0, le=256)
    """Fewest domains kept running."""
    max: int = Field(default_factory=default_max_domains, ge=1, le=256)
    """Most domains in any state."""
    vcpus: int = Field(default=1, ge=1, le=64)
    """vCPUs of each domain."""
    memory: int = Field(default=192, ge=128, le=1_048_576)
    """Memory of each domain in MiB."""
    policy: Literal["both", "reference", "backlog"] = "both"
    """What the scaler decides by: the reference rule on CPU, the backlog, or both: the backlog, and
    the reference rule while the dispatcher's metrics are missing."""
    policies_file: Path | None = None
    """YAML file with policies of your own; what it sets replaces `policy`, `min` and `max`."""
    seed: int | None = None
    """Seed of numbers and arrivals; the same seed gives the same run."""
    profile: Profile = "legacy-sha256"
    """How numbers are hashed."""
    number_formats: tuple[NumberFormat, ...] = Field(default=("in",), min_length=1)
    """Formats of the numbers that the dispatcher accepts."""
    results_kept_seconds: float | None = Field(default=None, ge=60)
    """How long final jobs are kept; default: for ever."""
    results_kept_count: int | None = Field(default=None, ge=0)
    """How many results, and how many cancelled jobs, are kept; default: all."""
    standby_paused: int = Field(default=0, ge=0, le=256)
    """Domains kept booted and suspended in memory, awake in a fraction of a second."""
    standby_saved: int = Field(default=0, ge=0, le=256)
    """Domains kept booted and saved on disk, awake in about a second."""
    loglevel: Level = "info"
    """Least level that the services log."""
    logfile: Path | None = None
    """Log of `virtscale up` itself; default: up.log beside the services' logs."""
    no_load: bool = False
    """Only the stack; submit jobs yourself."""
    port_base: Port | None = Field(default=None, ge=1024, le=65_529)
    """First of seven ports in a row, for all services at once."""
    dispatcher_port: Port | None = Field(default=None, ge=1, le=65_535)
    """gRPC port of the dispatcher for clients; default 15051."""
    dispatcher_workers_port: Port | None = Field(default=None, ge=1, le=65_535)
    """gRPC port of the dispatcher for guests; default 15052."""
    dispatcher_metrics_port: Port | None = Field(default=None, ge=1, le=65_535)
    """Metrics port of the dispatcher; default 9181."""
    scaler_port: Port | None = Field(default=None, ge=1, le=65_535)
    """Metrics and API port of the scaler; default 9182."""
    collector_port: Port | None = Field(default=None, ge=1, le=65_535)
    """Metrics port of the collector; default 9177."""
    prometheus_port: Port | None = Field(default=None, ge=1, le=65_535)
    """Port of Prometheus; default 9090."""
    alertmanager_port: Port | None = Field(default=None, ge=1, le=65_535)
    """Port of Alertmanager; default 9093."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.min > self.max:
            raise ValueError(
                f"min = {self.min} is above max = {self.max}; lower --min or raise --max"
            )
        if self.load in ("auto", "none"):
            if self.difficulty is not None:
                raise ValueError(
                    f"difficulty = {self.difficulty:g} has no meaning with load = {self.load}; "
                    "choose --load collision, verify or busy"
                )
        elif self.difficulty is not None:
            fault = difficulty_fault(self.load, self.difficulty)
            if fault:
                raise ValueError(fault)
        if self.define and self.url is None:
            raise ValueError("define needs url; the private libvirtd's domains are always defined")
        if self.define and self.url is not None and _host(self.url) not in _THIS_MACHINE:
            raise ValueError(
                f"define needs a libvirt on this machine, and url = {self.url} is on "
                f"{_host(self.url)}, where the guest image is not; define domains there yourself "
                "(docs/OPERATIONS.md, 'Your own domains') and leave --define out"
            )
        return self

    def port(self, field: str) -> int:
        """The port of a service by its field, such as `scaler_port`."""
        given: int | None = getattr(self, field)
        if given is not None:
            return given
        if self.port_base is not None:
            return self.port_base + _PORT_OFFSETS[field]
        return _PORT_DEFAULTS[field]

    def listeners(self) -> list[Listener]:
        """Every port the stack listens on."""
        return [
            Listener(
                service=field.removesuffix("_port").replace("_", "'s "),
                port=self.port(field),
                option="--" + field.replace("_", "-"),
            )
            for field in _PORT_DEFAULTS
        ]


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


DEFAULT_DIFFICULTY: dict[Literal["collision", "verify", "busy"], float] = {
    # About a second of one emulated vCPU at 110,000 hashes per second.
    "collision": 17,
    "verify": 50_000,
    "busy": 1.0,
}
