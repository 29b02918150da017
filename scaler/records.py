"""A decision as plain data, for the log, the API and `eval`. Pure."""

from collections.abc import Mapping
from typing import Any

from scaler.decision import ActionResult, Decision, State
from scaler.planner import Action
from scaler.pool import DomainView
from scaler.readings import describe
from scaler.recommendation import Proposal


def decision_record(decision: Decision, wall: float) -> dict[str, Any]:
    """One turn with everything it was made from. `wall` is its time since the Unix epoch."""
    stabilised = decision.stabilised
    return {
        "type": "decision",
        "time": round(wall, 3),
        "reason": decision.reason.value,
        "desired": decision.desired,
        "current": decision.pool.current,
        "recommended": None if stabilised is None else stabilised.recommended,
        "states": {state.value: count for state, count in sorted(decision.pool.counts.items())},
        "signals": {name: describe(one) for name, one in sorted(decision.readings.items())},
        "proposals": [_proposal(proposal) for proposal in decision.proposals],
        "steps": [
            {"reason": step.reason.value, "before": step.before, "after": step.after}
            for step in (() if stabilised is None else stabilised.steps)
        ],
        "actions": [_action(action) for action in decision.plan.actions],
        "limits": [reason.value for reason in decision.plan.reasons],
        "incidents": [
            {"domain": name, "incident": incident.value} for name, incident in decision.incidents
        ],
        "hold": None
        if decision.hold is None
        else {"author": decision.hold.author, "reason": decision.hold.reason},
        "errors": list(decision.errors),
        "overrides": sorted(kind.value for kind in decision.orders.kinds),
        "alerts": [
            {
                "rule": effect.rule,
                "reason": effect.reason.value,
                "least": effect.least,
                "alerts": list(effect.alerts),
            }
            for effect in decision.effects
        ],
    }


def result_record(result: ActionResult, wall: float) -> dict[str, Any]:
    """How an action ended."""
    return {
        "type": "result",
        "time": round(wall, 3),
        "action": result.kind.value,
        "domain": result.domain,
        "outcome": result.outcome.value,
        "error": result.error,
    }


def config_record(
    digest: str, deciding: Mapping[str, Any], wall: float, *, is_start: bool
) -> dict[str, Any]:
    """By what is decided from here on; at a start nothing of before is remembered."""
    return {
        "type": "config",
        "time": round(wall, 3),
        "config": digest,
        "started": is_start,
        "settings": dict(deciding),
    }


def status_record(decision: Decision, state: State, wall: float) -> dict[str, Any]:
    """The pool as it is: every domain, and the newest decision."""
    breaker = state.breaker
    retry_in = None if breaker.open_until is None else max(0.0, breaker.open_until - decision.at)
    return {
        "time": round(wall, 3),
        "desired": decision.desired,
        "current": decision.pool.current,
        "ready": decision.pool.ready,
        "active": decision.pool.active,
        "domains": [_domain(domain, decision.at) for domain in decision.pool.domains],
        "fleet_known": state.fleet.known_since is not None,
        "breaker": {"failures": breaker.failures, "retry_in_seconds": retry_in},
        "decision": decision_record(decision, wall),
    }


def fingerprint(record: Mapping[str, Any]) -> tuple[object, ...]:
    """What makes a decision news: equal fingerprints in a row are told once."""
    return (
        record["reason"],
        record["desired"],
        record["current"],
        tuple(record["states"].items()),
        tuple((name, signal["kind"]) for name, signal in record["signals"].items()),
        tuple(record["limits"]),
        record["hold"] is None,
        tuple(record["errors"]),
        tuple(record["overrides"]),
        tuple((one["rule"], one["reason"]) for one in record["alerts"]),
    )


def _proposal(proposal: Proposal) -> dict[str, Any]:
    return {
        "policy": proposal.policy,
        "reason": proposal.reason.value,
        "desired": proposal.desired,
        "low": proposal.low,
        "high": proposal.high,
        "complete": proposal.is_complete,
    }


def _action(action: Action) -> dict[str, Any]:
    return {
        "action": action.kind.value,
        "domain": action.domain,
        "reason": action.reason.value,
    }


def _domain(domain: DomainView, now: float) -> dict[str, Any]:
    worker = domain.worker
    return {
        "name": domain.name,
        "state": domain.state.value,
        "lifecycle": domain.lifecycle.value,
        "cause": domain.cause,
        "operation": None if domain.operation is None else domain.operation.kind.value,
        "operation_age_seconds": None
        if domain.operation is None
        else round(now - domain.operation.since, 3),
        "action_in_flight": None if domain.in_flight is None else domain.in_flight.value,
        "failures": domain.failures,
        "generation": domain.generation,
        "outdated": domain.is_outdated,
        "foreign_scaler": domain.foreign_scaler,
        "slots": None if worker is None else worker.slots,
        "busy_slots": None if worker is None else worker.busy_slots,
        "leases": None if worker is None else worker.leases,
    }
