"""Which domains a plan chose, and why each other one was not chosen, in groups. Pure."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from scaler.decision import Decision
from scaler.pool import LEAVING, QUARANTINE, SERVING, DomainState, DomainView, Lifecycle, PoolView
from scaler.reasons import Reason
from scaler.victims import slots

_NAMES_SHOWN = 5

_OUT = frozenset({Reason.SCALE_OUT, Reason.DEMAND_RETURNED, Reason.CORDONED_NEEDED})
_IN = frozenset({Reason.SCALE_IN, Reason.CORDONED_SURPLUS})
_STANDBY = frozenset(
    {
        DomainState.PREPARING,
        DomainState.SUSPENDING,
        DomainState.SAVING,
        DomainState.STANDBY_PAUSED,
        DomainState.STANDBY_SAVED,
    }
)


class NotChosen(StrEnum):
    """Why a domain was passed over."""

    SERVING = "serving"
    LEAVING = "leaving"
    CORDONED = "cordoned"
    PAUSED = "paused"
    FAILED = "failed"
    QUARANTINED = "quarantined"
    STANDBY = "standby"
    OFF = "off"
    BUSY_WITH_ACTION = "busy_with_action"
    UNSETTLED = "unsettled"
    NOT_READY = "not_ready"
    WITHHELD = "withheld"
    MORE_FAILURES = "more_failures"
    MORE_LEASES = "more_leases"
    OLDER_LEASE = "older_lease"
    SIZE_ORDER = "size_order"
    NAME_ORDER = "name_order"


def choices(decision: Decision) -> dict[str, Any] | None:
    """The direction, the domains chosen, and the others by cause; None when nothing was to choose.

    A wish that was not followed is told like one that was: with nothing chosen. Of each group the
    first names are told; `why_not` has the cause of any one.
    """
    chosen = {one.domain: one.reason for one in decision.plan.actions}
    going_out = [name for name, reason in chosen.items() if reason in _OUT]
    going_in = [name for name, reason in chosen.items() if reason in _IN]
    missing = 0 if decision.desired is None else decision.desired - decision.pool.current
    if going_out or missing > 0:
        return _told("out", going_out, decision.pool, _why_not_out)
    if going_in or missing < 0:
        return _told("in", going_in, decision.pool, _why_not_in)
    return None


def why_not(pool: PoolView, choices: Mapping[str, Any], name: str) -> NotChosen | None:
    """Why a domain of the pool was not among those chosen; None when it was, or is not there."""
    chosen = [domain for domain in pool.domains if domain.name in choices["chosen"]]
    ask = _why_not_out if choices["direction"] == "out" else _why_not_in
    for domain in pool.domains:
        if domain.name == name and domain not in chosen:
            return ask(domain, chosen)
    return None


def _told(
    direction: str,
    chosen: list[str],
    pool: PoolView,
    ask: Callable[[DomainView, list[DomainView]], NotChosen],
) -> dict[str, Any]:
    names = frozenset(chosen)
    picked = [domain for domain in pool.domains if domain.name in names]
    groups: dict[NotChosen, list[str]] = {}
    for domain in pool.domains:
        if domain.name not in names:
            groups.setdefault(ask(domain, picked), []).append(domain.name)
    return {"direction": direction, "chosen": chosen, "others": _grouped(groups)}


def _grouped(groups: Mapping[NotChosen, list[str]]) -> list[dict[str, Any]]:
    return [
        {"why": why.value, "count": len(names), "domains": names[:_NAMES_SHOWN]}
        for why, names in sorted(groups.items())
    ]


def _why_not_out(domain: DomainView, chosen: list[DomainView]) -> NotChosen:
    if domain.in_flight is not None:
        return NotChosen.BUSY_WITH_ACTION
    if domain.state is not DomainState.OFF:
        return _by_state(domain)
    if domain.operation is not None:
        return NotChosen.UNSETTLED
    started = [one for one in chosen if one.lifecycle is Lifecycle.OFF]
    if not started:
        return NotChosen.WITHHELD
    if domain.failures > max(one.failures for one in started):
        return NotChosen.MORE_FAILURES
    return NotChosen.NAME_ORDER


def _why_not_in(domain: DomainView, chosen: list[DomainView]) -> NotChosen:
    if domain.in_flight is not None:
        return NotChosen.BUSY_WITH_ACTION
    if domain.state is not DomainState.READY:
        serving = domain.state in SERVING
        return NotChosen.NOT_READY if serving else _by_state(domain)
    if not chosen:
        return NotChosen.WITHHELD
    most = max(one.leases for one in chosen)
    if domain.leases > most:
        return NotChosen.MORE_LEASES
    youngest = max((_lease_since(one) for one in chosen if one.leases == most), default=0.0)
    if _lease_since(domain) < youngest:
        return NotChosen.OLDER_LEASE
    sizes = {slots(one) for one in chosen}
    return NotChosen.NAME_ORDER if slots(domain) in sizes else NotChosen.SIZE_ORDER


def _lease_since(domain: DomainView) -> float:
    since = None if domain.worker is None else domain.worker.oldest_lease_since
    return 0.0 if since is None else since


def _by_state(domain: DomainView) -> NotChosen:
    if domain.state in SERVING:
        return NotChosen.SERVING
    if domain.state in LEAVING:
        return NotChosen.LEAVING
    if domain.state in QUARANTINE:
        return NotChosen.QUARANTINED
    if domain.state in _STANDBY:
        return NotChosen.STANDBY
    return {
        DomainState.OFF: NotChosen.OFF,
        DomainState.CORDONED: NotChosen.CORDONED,
        DomainState.PAUSED: NotChosen.PAUSED,
    }.get(domain.state, NotChosen.FAILED)
