"""The pool as a person wants to see it: libvirt's and the dispatcher's views put together."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from virtscale.client.values import Backlog, Worker

from stack.ports import DomainView
from stack.scaler_view import ScalerView

RowState = Literal[
    "idle", "busy", "booting", "draining", "stopping", "paused", "saved", "off", "error"
]

BOOT_DEADLINE_SECONDS = 120.0

_TIERS: Mapping[str, str] = {"off": "cold", "saved": "saved", "paused": "paused"}


@dataclass(frozen=True)
class Row:
    """One domain."""

    name: str
    state: RowState
    cpu_ratio: float | None
    slots: int
    leases: int
    completed: int
    state_seconds: float | None = None

    @property
    def tier(self) -> str:
        """Where a domain that does not serve waits; empty for the others."""
        return _TIERS.get(self.state, "")


@dataclass(frozen=True)
class Away:
    """A part of the stack that does not answer, since a Unix time, and why."""

    name: str
    since: float
    reason: str


@dataclass(frozen=True)
class DecisionView:
    """One decision of the scaler. `at` is Unix time."""

    at: float
    current: int | None
    desired: int | None
    reason: str
    text: str
    follows: str = ""
    """What is done and what is held back; empty when it changes nothing."""


@dataclass(frozen=True)
class Snapshot:
    """Everything the table shows, at one moment (Unix time)."""

    at: float
    rows: tuple[Row, ...] = ()
    backlog: Backlog | None = None
    results_per_second: float | None = None
    pool_cpu_ratio: float | None = None
    decisions: tuple[DecisionView, ...] = ()
    override: str = ""
    troubles: tuple[str, ...] = ()
    services: Mapping[str, str] = field(default_factory=dict)
    """Per service: `up`, or why not."""
    scaler: ScalerView = field(default_factory=ScalerView)
    overrides: tuple[str, ...] = ()
    """Orders in force, each on one line."""
    alerts: tuple[str, ...] = ()
    """Alerts that fire, by Prometheus."""
    away: tuple[Away, ...] = ()
    curves: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    """Per domain its CPU ratios, the newest last."""

    def to_json(self) -> dict[str, Any]:
        """For programs; what only moves in a live table is not in it."""
        document = asdict(self)
        del document["curves"]
        return document


def rows(
    domains: Sequence[DomainView],
    workers: Sequence[Worker],
    cpu_ratios: Mapping[str, float],
    active_since: Mapping[str, float],
    now: float,
) -> tuple[Row, ...]:
    """One row per domain; workers that are no domain of the pool get one too."""
    by_name = {worker.worker_id: worker for worker in workers}
    made = []
    for domain in domains:
        worker = by_name.pop(domain.name, None)
        since = active_since.get(domain.name)
        seconds = None if since is None else max(0.0, now - since)
        made.append(
            Row(
                name=domain.name,
                state=_state(domain, worker, seconds),
                cpu_ratio=cpu_ratios.get(domain.name) if domain.is_active else None,
                slots=worker.slots if worker else 0,
                leases=worker.leases if worker else 0,
                completed=worker.completed if worker else 0,
                state_seconds=_longest(seconds, worker, now) if domain.is_active else None,
            )
        )
    made += [
        Row(
            name=worker.worker_id,
            state=_worker_state(worker),
            cpu_ratio=None,
            slots=worker.slots,
            leases=worker.leases,
            completed=worker.completed,
        )
        for worker in by_name.values()
        if worker.state != "disconnected"
    ]
    return tuple(made)


def alert_names(labels: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """Alerts by name and severity, with how many there are of it."""
    counts: dict[str, int] = {}
    for alert in labels:
        severity = alert.get("severity")
        name = alert.get("alertname", "unnamed") + (f" ({severity})" if severity else "")
        counts[name] = counts.get(name, 0) + 1
    return tuple(name + ("" if n == 1 else f" x{n}") for name, n in sorted(counts.items()))


def _longest(seconds: float | None, worker: Worker | None, now: float) -> float | None:
    """How long it runs at least: as long as somebody looked, or as its worker has been here."""
    if worker is None or worker.state == "disconnected" or worker.connected_at is None:
        return seconds
    return max(seconds or 0.0, now - worker.connected_at + (worker.boot_seconds or 0.0))


def _state(domain: DomainView, worker: Worker | None, seconds: float | None) -> RowState:
    still: dict[str, RowState] = {
        "off": "off",
        "saved": "saved",
        "paused": "paused",
        "crashed": "error",
    }
    # libvirt calls a domain paused until its start has finished.
    is_starting = domain.state == "paused" and domain.operation == "start"
    if domain.state in still and not is_starting:
        return still[domain.state]
    if domain.state == "stopping" or domain.operation in ("shutdown", "destroy"):
        return "stopping"
    if domain.operation == "drain":
        return "draining"
    if worker is None or worker.state == "disconnected":
        late = seconds is not None and seconds > BOOT_DEADLINE_SECONDS
        return "error" if late else "booting"
    return _worker_state(worker)


def _worker_state(worker: Worker) -> RowState:
    if worker.state in ("cordoned", "draining"):
        return "draining"
    return "busy" if worker.busy_slots or worker.leases else "idle"
