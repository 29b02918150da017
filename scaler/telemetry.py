"""What the scaler exports and logs about its turns. Metric names live only here."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from scaler.decision import ActionResult, Decision, Outcome, State
from scaler.holding import withheld
from scaler.overrides import OverrideKind
from scaler.pool import ActionKind, DomainState
from scaler.readings import usable_value
from scaler.reasons import Reason
from scaler.records import decision_record, fingerprint, status_record
from scaler.shadows import Verdict
from servicekit import logs

_TICK_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


@dataclass(slots=True)
class _Turn:
    """The newest turn; its status once somebody has asked for it."""

    decision: Decision
    state: State
    wall: float
    status: dict[str, Any] | None = None


class Telemetry:
    """An `Observer` that counts, and keeps the newest turn for the metrics and the status page."""

    def __init__(
        self,
        pool: str,
        registry: CollectorRegistry,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self._turn: _Turn | None = None
        self._snapshot = _Snapshot(pool, monotonic)
        registry.register(self._snapshot)
        self._decisions = Counter(
            "virtscale_scaler_decisions",
            "Turns by the reason of their decision, from the scaler's loop.",
            ["pool", "reason"],
            registry=registry,
        )
        self._actions = Counter(
            "virtscale_scaler_actions",
            "Actions on domains that ended, by kind and result, from libvirt and the dispatcher.",
            ["pool", "action", "result"],
            registry=registry,
        )
        self._incidents = Counter(
            "virtscale_scaler_incidents",
            "Things that happened to domains without the scaler's doing, by kind.",
            ["pool", "incident"],
            registry=registry,
        )
        self._spacing = Histogram(
            "virtscale_scaler_tick_interval_seconds",
            "Seconds from one turn of the scaler's loop to the next.",
            ["pool"],
            buckets=_TICK_BUCKETS,
            registry=registry,
        )
        self._policy_reloads = Counter(
            "virtscale_scaler_policy_reloads",
            "Times that the policies file was read again, by whether it could be used.",
            ["pool", "outcome"],
            registry=registry,
        )
        self._policies_refused = Gauge(
            "virtscale_scaler_policies_refused",
            "1 while the policies file is faulty and the policies before it are in use.",
            ["pool"],
            registry=registry,
        )
        self._policies_refused.labels(pool).set(0)
        for outcome in ("taken", "refused"):
            self._policy_reloads.labels(pool, outcome)
        self._withheld = Counter(
            "virtscale_scaler_withheld",
            "Turns that did not follow a wish for more (out) or fewer (in) domains, by what "
            "withheld it.",
            ["pool", "direction", "reason"],
            registry=registry,
        )
        self._shadow_failures = Counter(
            "virtscale_scaler_shadow_failures",
            "Turns in which the rules of a shadow failed.",
            ["pool", "shadow"],
            registry=registry,
        )
        # Counters that exist only after their first event hide that event from increase().
        for reason in Reason:
            self._decisions.labels(pool, reason.value)
        for kind in ActionKind:
            self._actions.labels(pool, kind.value, Outcome.DONE.value)

    def status(self) -> dict[str, Any] | None:
        """The newest turn as plain data; None before the first. From any thread."""
        with self._lock:
            turn = self._turn
            if turn is None:
                return None
            if turn.status is None:
                # Every domain is in it: made for those who ask, not for every turn.
                told = status_record(turn.decision, turn.state, turn.wall)
                turn.status = {"pool": self._pool, **told}
            return turn.status

    def decided(self, decision: Decision, state: State, wall: float) -> None:
        """See `Observer.decided`."""
        self._decisions.labels(self._pool, decision.reason.value).inc()
        for _, incident in decision.incidents:
            self._incidents.labels(self._pool, incident.value).inc()
        refused = withheld(decision)
        if refused is not None:
            self._withheld.labels(self._pool, refused[0], refused[1].value).inc()
        before = self._snapshot.show(decision, state, wall)
        if before is not None:
            self._spacing.labels(self._pool).observe(max(0.0, decision.at - before.at))
        with self._lock:
            self._turn = _Turn(decision, state, wall)

    def policies_read(self, is_good: bool) -> None:
        """The policies file was read again."""
        self._policy_reloads.labels(self._pool, "taken" if is_good else "refused").inc()
        self._policies_refused.labels(self._pool).set(float(not is_good))

    def judged(self, verdicts: tuple[Verdict, ...]) -> None:
        """What the shadows would want in this turn."""
        self._snapshot.verdicts = verdicts
        for one in verdicts:
            failures = self._shadow_failures.labels(self._pool, one.shadow)
            if one.error:
                failures.inc()

    def resulted(self, result: ActionResult) -> None:
        """See `Observer.resulted`."""
        self._actions.labels(self._pool, result.kind.value, result.outcome.value).inc()


class _Snapshot(Collector):
    """Renders the newest turn: series of what is not known are absent, not zero."""

    def __init__(self, pool: str, monotonic: Callable[[], float]) -> None:
        self._pool = pool
        self._monotonic = monotonic
        self._newest: tuple[Decision, State, float] | None = None
        self._succeeded_at: float | None = None
        self.verdicts: tuple[Verdict, ...] = ()

    def show(self, decision: Decision, state: State, wall: float) -> Decision | None:
        """Replaces the turn; returns the one before."""
        before = self._newest
        self._newest = (decision, state, wall)
        if decision.desired is not None:
            self._succeeded_at = self._monotonic()
        return None if before is None else before[0]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All gauges."""
        newest = self._newest
        if newest is None:
            return
        decision, state, wall = newest
        yield _gauge(
            "last_tick_timestamp_seconds",
            "Unix time of the last turn of the scaler's loop.",
            [],
            [((), wall)],
        )
        yield from self._capacity(decision)
        yield from self._shadows_and_success()
        yield from self._signals(decision)
        yield self._per_pool(
            "paused",
            "1 while an operator holds scaling, from the scaler's overrides.",
            float(decision.hold is not None),
        )
        yield _gauge(
            "override_active",
            "1 while there is an override of the kind, from the scaler's overrides.",
            ["pool", "kind"],
            [
                ((self._pool, kind.value), float(kind in decision.orders.kinds))
                for kind in OverrideKind
            ],
        )
        yield _gauge(
            "alert_demand_domains",
            "Domains that a rule for alerts demands at least, while an alert that matches it "
            "fires. Absent otherwise.",
            ["pool", "rule"],
            sorted(_demands(decision, self._pool).items()),
        )
        yield self._per_pool(
            "fleet_known",
            "1 while the dispatcher answers the scaler.",
            float(state.fleet.known_since is not None),
        )
        yield self._per_pool(
            "breaker_open",
            "1 while boot failures keep the scaler from starting domains.",
            float(state.breaker.is_open(decision.at)),
        )

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing: before the first turn there is nothing to name."""
        return iter(())

    def _per_pool(self, name: str, help_text: str, value: float) -> GaugeMetricFamily:
        return _gauge(name, help_text, ["pool"], [((self._pool,), value)])

    def _capacity(self, decision: Decision) -> Iterator[GaugeMetricFamily]:
        if decision.desired is not None:
            yield self._per_pool(
                "desired_domains",
                "Domains that the scaler wants to serve, after all limits.",
                decision.desired,
            )
            yield _gauge(
                "domains",
                "Domains of the pool by state, from libvirt and the dispatcher.",
                ["pool", "state"],
                [((self._pool, one.value), decision.pool.counts[one]) for one in DomainState],
            )
            yield self._per_pool(
                "domains_outdated",
                "Domains that run another image than their definition names, from libvirt.",
                sum(domain.is_outdated for domain in decision.pool.domains),
            )
            yield _gauge(
                "standby_missing_domains",
                "Domains that a standby tier lacks and for which the pool has room below its "
                "maximum.",
                ["pool", "tier"],
                [
                    ((self._pool, tier), missing)
                    for tier, missing in zip(
                        ("paused", "saved"), decision.plan.missing_standby, strict=True
                    )
                ],
            )
        yield _gauge(
            "recommendation_domains",
            "Domains that a policy wants, before all limits. Absent while it does not know.",
            ["pool", "policy"],
            [
                ((self._pool, one.policy), one.desired)
                for one in decision.proposals
                if one.desired is not None
            ],
        )

    def _shadows_and_success(self) -> Iterator[GaugeMetricFamily]:
        yield _gauge(
            "shadow_desired_domains",
            "Domains that a shadow policy would want to serve. Absent while it cannot tell.",
            ["pool", "shadow"],
            [
                ((self._pool, one.shadow), one.desired)
                for one in self.verdicts
                if one.desired is not None
            ],
        )
        if self._succeeded_at is not None:
            yield self._per_pool(
                "last_successful_turn_age_seconds",
                "Seconds since the last turn in which libvirt answered and capacity was decided.",
                max(0.0, self._monotonic() - self._succeeded_at),
            )

    def _signals(self, decision: Decision) -> Iterator[GaugeMetricFamily]:
        values = {name: usable_value(one) for name, one in decision.readings.items()}
        yield _gauge(
            "signal_value",
            "Value of a signal from Prometheus. Absent while it is not known.",
            ["pool", "signal"],
            [((self._pool, name), one) for name, one in values.items() if one is not None],
        )
        yield _gauge(
            "signal_known",
            "1 when the signal is known and fresh, 0 when it is empty, NaN, stale or failed.",
            ["pool", "signal"],
            [((self._pool, name), float(one is not None)) for name, one in values.items()],
        )


def _gauge(
    name: str,
    help_text: str,
    labels: list[str],
    values: list[tuple[tuple[str, ...], float]],
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"virtscale_scaler_{name}", help_text, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, value)
    return family


def _demands(decision: Decision, pool: str) -> dict[tuple[str, ...], float]:
    least: dict[tuple[str, ...], float] = {}
    for effect in decision.effects:
        labels = (pool, effect.rule)
        least[labels] = max(effect.least, least.get(labels, 0.0))
    return least


class ServiceLog:
    """An `Observer` that writes the service's log: news, actions, incidents, errors."""

    def __init__(self, pool: str, *, is_dry_run: bool = False) -> None:
        self._logger = logs.get(pool=pool)
        self._is_dry_run = is_dry_run
        self._told: tuple[object, ...] = ()

    def decided(self, decision: Decision, state: State, wall: float) -> None:
        """See `Observer.decided`."""
        for name, incident in decision.incidents:
            self._logger.info("domain.changed", domain=name, incident=incident.value)
        record = decision_record(decision, wall)
        news = (fingerprint(record), tuple(map(str, record["actions"])))
        if news != self._told:
            self._told = news
            is_dry_run = self._is_dry_run or decision.orders.is_dry_run
            self._logger.info("capacity.decided", dry_run=is_dry_run, **_brief(record))

    def resulted(self, result: ActionResult) -> None:
        """See `Observer.resulted`."""
        if result.outcome is Outcome.SKIPPED:
            return
        tell = self._logger.info
        if result.outcome in (Outcome.FAILED, Outcome.RETRYABLE):
            tell = self._logger.warning
        tell(
            "action.ended",
            action=result.kind.value,
            domain=result.domain,
            outcome=result.outcome.value,
            error=result.error,
        )


def _brief(record: dict[str, Any]) -> dict[str, Any]:
    """The record on one line for people; the decision store has all of it."""
    brief = {
        "reason": record["reason"],
        "current": record["current"],
        "desired": record["desired"],
        "states": record["states"],
        "signals": {
            name: round(signal["value"], 3) if "value" in signal else signal["kind"]
            for name, signal in record["signals"].items()
        },
        "wishes": {
            f"{one['policy']}/{one['reason']}": one["desired"] for one in record["proposals"]
        },
        "steps": [f"{one['reason']} {one['before']}->{one['after']}" for one in record["steps"]],
        "actions": [
            f"{one['action']} {one['domain']} ({one['reason']})" for one in record["actions"]
        ],
        "limits": record["limits"],
        "hold": record["hold"],
        "alerts": [
            f"{one['rule']}/{one['reason']} >= {one['least']}: {', '.join(one['alerts'])}"
            for one in record["alerts"]
        ],
        "errors": record["errors"],
    }
    return {name: value for name, value in brief.items() if value not in ([], None)}
