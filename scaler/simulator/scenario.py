"""What a simulated site is like and what goes wrong on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from scaler.simulator.spreads import Spread, SpreadKind


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the trace, as shares of its length, or seconds from a share on."""

    start_share: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong. Spans begin at a share of the trace's length."""

    boot_failure_ratio: float = 0.0
    """Share of starts after which the worker never says Hello."""
    scrape_loss_ratio: float = 0.0
    losses_per_domain_hour: float = 0.0
    """Running domains lost to crashes."""
    outages: tuple[Span, ...] = ()
    """Prometheus does not answer."""
    not_a_number: tuple[Span, ...] = ()
    """Every signal is NaN."""
    empty: tuple[Span, ...] = ()
    """Every signal is an empty vector."""
    hypervisor_away: tuple[Span, ...] = ()
    scaler_away: tuple[Span, ...] = ()
    """The scaler is killed, and starts again without its memory at the end."""
    host_full: tuple[Span, ...] = ()
    """Every start is refused for want of memory."""
    clock_steps: tuple[tuple[float, float], ...] = ()
    """(share of the trace, seconds): the wall clock jumps."""


_BOOT = Spread(SpreadKind.NORMAL, 30.0, 0.3)
_SHUTDOWN = Spread(SpreadKind.NORMAL, 1.5, 0.2)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Times and faults of one site."""

    name: str = "boot30"
    boot: Spread = _BOOT
    shutdown: Spread = _SHUTDOWN
    slots: int = 1
    jobs_ahead: int = 1
    """Jobs that wait in a worker behind each of its slots: one, of jobs that take seconds."""
    cores: float | None = None
    """CPUs of the host, which booting domains share with those that work: a boot takes longer on a
    crowded host. (Jobs do not: their lengths are what they are.) None: enough for all."""
    scrape_seconds: float = 1.0
    stale_after_seconds: float = 10.0
    faults: Faults = field(default_factory=Faults)

    def with_boot(self, boot: Spread) -> "Scenario":
        """The same with another boot time."""
        return replace(self, boot=boot)


def _faulty(name: str, faults: Faults) -> Scenario:
    return Scenario(name, faults=faults)


def _booting(seconds: float) -> Scenario:
    return Scenario(f"boot{seconds:g}", boot=Spread(SpreadKind.NORMAL, seconds, 0.3))


_MOMENTS = (0.15, 0.35, 0.55, 0.75)


def _everywhere(seconds: float) -> tuple[Span, ...]:
    return tuple(Span(share, seconds) for share in _MOMENTS)


SCENARIOS: Mapping[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        _booting(5.0),
        _booting(30.0),
        _booting(120.0),
        _faulty("boot_failures", Faults(boot_failure_ratio=0.05)),
        _faulty("scrape_loss", Faults(scrape_loss_ratio=0.2)),
        _faulty("prometheus_outage", Faults(outages=_everywhere(120.0))),
        _faulty("nan_burst", Faults(not_a_number=_everywhere(30.0))),
        _faulty("empty_answers", Faults(empty=_everywhere(30.0))),
        _faulty("clock_step", Faults(clock_steps=((0.35, 3600.0), (0.55, -3600.0)))),
        _faulty("libvirt_restart", Faults(hypervisor_away=_everywhere(10.0))),
        _faulty("scaler_kill", Faults(scaler_away=_everywhere(5.0))),
        _faulty("host_full", Faults(host_full=_everywhere(120.0))),
        _faulty("lost_domains", Faults(losses_per_domain_hour=1.0)),
    )
}
"""Every scenario by its name; the fault scenarios boot in 30 s."""
