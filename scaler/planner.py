"""From the pool and the desired capacity to actions. Pure; the order of everything is total.

Obligations of domains under way (settle, resend, cut off) do not depend on the desired capacity.
What is missing is won back from drains first, then started. What is too much is drained, never
below the desired number of domains that work now.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

from scaler import standby
from scaler.cold_starts import ColdStarts, cold_starts
from scaler.host_room import Budget
from scaler.pool import (
    QUARANTINE,
    ActionKind,
    DomainState,
    DomainView,
    Lifecycle,
    OperationKind,
    PoolView,
    WorkerState,
)
from scaler.reasons import Reason
from scaler.rollout import NO_ROLLOUT, Rollout
from scaler.standby import Places, StandbyPolicy
from scaler.tracking import Timing
from scaler.victims import slots, victims


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do to one domain, and why."""

    kind: ActionKind
    domain: str
    reason: Reason
    deadline_seconds: float | None = None
    """DRAIN: how long the worker may take."""
    max_leases: int | None = None
    """DRAIN: refused when the worker meanwhile holds more leases than this."""
    is_repeated: bool = False
    """The operation is already in the domain's metadata: its deadline counts from there."""
    lifts_cordon: bool = False
    """SETTLE: uncordons the worker before it forgets the operation."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, when to look again at the latest, and what stood in the way."""

    actions: tuple[Action, ...] = ()
    wake_at: float | None = None
    reasons: tuple[Reason, ...] = ()
    missing_standby: tuple[int, int] = (0, 0)
    """Free places, paused and saved, for which the pool has room: not those that `max` denies."""


class Permissions(NamedTuple):
    """What the state of the world allows a plan to do."""

    ceiling: int
    """Most domains in any state but OFF."""
    starts: int | None = None
    """Most starts now, because of the breaker; None: no such limit."""
    breaker_reason: Reason | None = None
    breaker_until: float | None = None
    wakes: int | None = None
    """Most wakes before cold starts, because wakes have failed; None: no such limit."""
    wakes_until: float | None = None
    fleet_known: bool = True
    may_drain_cordoned: bool = True
    """False while a signal is unknown: then a cordon that nobody drains is left alone."""
    budget: Budget = Budget()
    standby: StandbyPolicy = StandbyPolicy()
    refill_at: float = 0.0
    """No refill of standby before."""


# Drains that the planner begins, of domains that it has chosen among others.
_CHOSEN = (Reason.SCALE_IN, Reason.ROLLOUT_REPLACES)
_WITHOUT_OBLIGATION = (DomainState.OFF, DomainState.READY)
"""States in which a domain without an operation needs nothing."""


class _Draft:
    """A plan under construction."""

    def __init__(self) -> None:
        self.actions: list[Action] = []
        self.reasons: list[Reason] = []
        self.moments: list[float] = []

    def add(self, kind: ActionKind, domain: DomainView, reason: Reason) -> None:
        self.actions.append(Action(kind, domain.name, reason))

    def choose(self, choice: standby.Choice) -> None:
        self.add(choice.kind, choice.domain, choice.reason)

    def explain(self, reason: Reason) -> None:
        if reason not in self.reasons:
            self.reasons.append(reason)

    def finish(self, now: float, missing_standby: tuple[int, int]) -> Plan:
        wake_at = min((moment for moment in self.moments if moment > now), default=None)
        return Plan(tuple(self.actions), wake_at, tuple(self.reasons), missing_standby)


def plan(
    pool: PoolView,
    desired: int,
    permissions: Permissions,
    timing: Timing,
    now: float,
    rollout: Rollout = NO_ROLLOUT,
) -> Plan:
    """Actions that bring the pool towards `desired` domains, and renew it."""
    draft = _Draft()
    if permissions.standby.avoided != rollout.avoided:
        kept = replace(permissions.standby, avoided=rollout.avoided)
        permissions = permissions._replace(standby=kept)
    missing = desired - pool.current
    won_back = _win_back(pool, missing, permissions, rollout, draft)
    started = _start(pool, missing - len(won_back), permissions, rollout, draft)
    leaving = _drain_surplus(pool, desired, permissions, timing, rollout, draft)
    returned = _roll_back(rollout, draft)
    chosen = won_back | started | leaving | returned
    places = Places(pool, desired, permissions.ceiling, permissions.standby, permissions.budget)
    missing_standby = max(0, places.paused), max(0, places.saved)
    for domain in pool.irregular:
        if domain.operation is None and domain.state in _WITHOUT_OBLIGATION:
            if domain.is_proof and domain.in_flight is None and domain.name not in chosen:
                draft.add(ActionKind.KEEP_DEFINITION, domain, Reason.DEFINITION_PROVED)
            continue
        if domain.in_flight is None and domain.name not in chosen:
            _oblige(domain, desired, pool, permissions, timing, places, draft, now)
    _keep_standby(pool, desired, permissions, places, draft, now)
    _claim(pool, draft)
    return draft.finish(now, missing_standby)


_CLAIMS_AT_ONCE = 16
"""A large pool is claimed in many turns: a domain under an action cannot be started."""


def _claim(pool: PoolView, draft: _Draft) -> None:
    """Takes domains that no scaler has put its name on; what holds memory first."""
    busy = {action.domain for action in draft.actions}
    unclaimed = [
        domain
        for domain in pool.irregular
        if domain.is_unclaimed
        and domain.state not in QUARANTINE
        and domain.in_flight is None
        and domain.name not in busy
    ]
    unclaimed.sort(key=lambda domain: (not domain.is_active, domain.name))
    for domain in unclaimed[:_CLAIMS_AT_ONCE]:
        draft.add(ActionKind.CLAIM, domain, Reason.UNCLAIMED)


def _keep_standby(
    pool: PoolView,
    desired: int,
    permissions: Permissions,
    places: Places,
    draft: _Draft,
    now: float,
) -> None:
    """Gives up what is no good, refills what is missing; never before what serves is served."""
    busy = {action.domain for action in draft.actions}
    policy = permissions.standby
    given_up = [one for one in standby.recycling(pool, policy, now) if one.domain.name not in busy]
    for choice in given_up:
        draft.choose(choice)
    # After the back-off a refill may be the probe: a pool that needs no start would never have one.
    if given_up or busy or not permissions.fleet_known or permissions.starts == 0:
        return
    found = standby.refill(pool, desired, permissions.ceiling, places, policy, permissions.budget)
    if found.choice is not None and _waits_for_wakes(pool, permissions, draft):
        return
    if found.reason is not None:
        draft.explain(found.reason)
    elif found.choice is not None and now < permissions.refill_at:
        draft.moments.append(permissions.refill_at)
    elif found.choice is not None:
        draft.choose(found.choice)


def _waits_for_wakes(pool: PoolView, permissions: Permissions, draft: _Draft) -> bool:
    """What cannot be woken is not prepared; after the back-off one domain is enough to try."""
    if permissions.wakes is None or (permissions.wakes > 0 and not standby.waiting(pool)):
        return False
    draft.explain(Reason.WAKES_FAILED)
    if permissions.wakes_until is not None:
        draft.moments.append(permissions.wakes_until)
    return True


def _win_back(
    pool: PoolView, missing: int, permissions: Permissions, rollout: Rollout, draft: _Draft
) -> set[str]:
    """Uncordons domains that still run: the cheapest capacity there is."""
    if missing <= 0:
        return set()
    candidates = [
        domain
        for domain in pool.irregular
        if domain.name not in rollout.let_go and _can_be_won_back(domain)
    ]
    if candidates and not permissions.fleet_known:
        draft.explain(Reason.FLEET_UNKNOWN)
        return set()
    # The fullest first: its drain would have taken longest.
    candidates.sort(key=lambda domain: (-domain.leases, domain.name))
    for domain in candidates[:missing]:
        was_draining = domain.state is DomainState.DRAINING
        reason = Reason.DEMAND_RETURNED if was_draining else Reason.CORDONED_NEEDED
        draft.add(ActionKind.CANCEL_DRAIN, domain, reason)
    return {domain.name for domain in candidates[:missing]}


def _can_be_won_back(domain: DomainView) -> bool:
    if domain.lifecycle is not Lifecycle.RUNNING or domain.worker is None:
        return False
    if domain.worker.state is WorkerState.DISCONNECTED:
        return False
    if domain.state is DomainState.DRAINING:
        return domain.in_flight in (None, ActionKind.DRAIN)
    if standby.is_prepared(domain):
        return domain.in_flight is None
    return domain.state is DomainState.CORDONED and domain.in_flight is None


def _start(
    pool: PoolView, missing: int, permissions: Permissions, rollout: Rollout, draft: _Draft
) -> set[str]:
    """The fastest first: what waits in memory, on disk, boots already; then cold ones.

    While wakes fail, standby domains are woken last: for what cold starts cannot bring.
    """
    wanted, room = missing, permissions.ceiling - pool.active
    # A start that may still be carried out has its place under the ceiling.
    doubtful = sum(domain.is_start_doubtful for domain in pool.irregular)
    first = missing if permissions.wakes is None else min(missing, permissions.wakes)
    woken = standby.wakes(pool, first, room - doubtful, permissions.standby, permissions.budget)
    for choice in woken.choices:
        draft.choose(choice)
    booting = [domain for domain in pool.irregular if _can_be_promoted(domain)]
    booting = booting[: max(0, missing - len(woken.choices))]
    for domain in booting:
        draft.add(ActionKind.START, domain, Reason.SCALE_OUT)
    for reason in woken.reasons:
        draft.explain(reason)
    room -= sum(choice.kind is ActionKind.RESTORE for choice in woken.choices)
    missing -= len(woken.choices) + len(booting)
    # A surge wakes nothing that waits in standby.
    found = cold_starts(
        pool,
        missing + rollout.surge,
        room,
        woken.budget,
        avoided=rollout.avoided,
        fleet_known=permissions.fleet_known,
    )
    served = {choice.domain.name for choice in woken.choices}
    served |= {domain.name for domain in booting}
    started = _start_cold(missing, found, permissions, draft)
    served |= {domain.name for domain in started}
    if permissions.wakes is None or wanted <= first:
        return served
    rest = PoolView.of([domain for domain in pool.domains if domain.name not in served])
    if not standby.waiting(rest):
        return served
    draft.explain(Reason.WAKES_FAILED)
    budget = woken.budget
    for domain in started:
        budget = budget.without(domain)
    room -= doubtful + len(started)
    last = standby.wakes(rest, missing - len(started), room, permissions.standby, budget)
    for choice in last.choices:
        draft.choose(choice)
    return served | {choice.domain.name for choice in last.choices}


def _can_be_promoted(domain: DomainView) -> bool:
    """Boots for standby: as good as a start that was begun earlier."""
    return (
        domain.state is DomainState.PREPARING
        and domain.lifecycle is Lifecycle.RUNNING
        and domain.in_flight is None
        and (domain.worker is None or domain.worker.state is WorkerState.DISCONNECTED)
    )


def _start_cold(
    needed: int, found: ColdStarts, permissions: Permissions, draft: _Draft
) -> list[DomainView]:
    """What the breaker lets through; what is not `needed` is the surge of a rollout."""
    for reason in found.reasons:
        draft.explain(reason)
    count = len(found.domains)
    if permissions.starts is not None and permissions.starts < count:
        count = permissions.starts
        if permissions.breaker_reason is not None:
            draft.explain(permissions.breaker_reason)
        if permissions.breaker_until is not None:
            draft.moments.append(permissions.breaker_until)
    for number, domain in enumerate(found.domains[:count]):
        reason = Reason.SCALE_OUT if number < needed else Reason.ROLLOUT_SURGE
        draft.add(ActionKind.START, domain, reason)
    return list(found.domains[:count])


def _drain_surplus(
    pool: PoolView,
    desired: int,
    permissions: Permissions,
    timing: Timing,
    rollout: Rollout,
    draft: _Draft,
) -> set[str]:
    """Drains outdated and then the idlest domains, as long as `desired` ready ones are left."""
    surplus = min(pool.current, pool.ready) - desired + rollout.in_place
    if surplus <= 0:
        return set()
    if not permissions.fleet_known:
        draft.explain(Reason.FLEET_UNKNOWN)
        return set()
    leaving = victims(pool, surplus, rollout.outdated)
    replaced = rollout.surge + rollout.in_place
    for number, domain in enumerate(leaving):
        is_replaced = number < replaced and domain.name in rollout.outdated
        reason = Reason.ROLLOUT_REPLACES if is_replaced else Reason.SCALE_IN
        draft.actions.append(_drain(domain, reason, timing.drain_deadline_seconds))
    return {domain.name for domain in leaving}


def _drain(domain: DomainView, reason: Reason, deadline_seconds: float) -> Action:
    return Action(
        ActionKind.DRAIN,
        domain.name,
        reason,
        deadline_seconds=deadline_seconds,
        # Seen idle and found full: somebody else is the idlest now. A resumed drain never asks.
        max_leases=domain.leases + slots(domain) if reason in _CHOSEN else None,
        is_repeated=reason is Reason.DRAIN_RESUMED,
    )


def _roll_back(rollout: Rollout, draft: _Draft) -> set[str]:
    if rollout.reason is not None:
        draft.explain(rollout.reason)
    for name in rollout.rolled_back:
        draft.actions.append(Action(ActionKind.ROLL_BACK, name, Reason.GENERATION_GIVEN_UP))
    return set(rollout.rolled_back)


def _oblige(
    domain: DomainView,
    desired: int,
    pool: PoolView,
    permissions: Permissions,
    timing: Timing,
    places: Places,
    draft: _Draft,
    now: float,
) -> None:
    """What a domain under way needs, whatever the desired capacity."""
    operation = domain.operation
    if domain.state is DomainState.OFF:
        _settle_off(domain, permissions, draft)
    elif domain.state is DomainState.READY and operation is not None:
        _settle(domain, Reason.BOOT_FINISHED, draft, lifts_cordon=False)
    elif domain.state is DomainState.BOOTING and operation is not None:
        draft.moments.append(operation.since + timing.boot_deadline_seconds)
    elif domain.state is DomainState.WAKING and operation is not None:
        draft.moments.append(operation.since + timing.wake_deadline_seconds)
    elif domain.state in _TOWARDS_STANDBY:
        _go_on_to_standby(domain, permissions, timing, places, draft)
    elif domain.state is DomainState.FAILED:
        draft.add(ActionKind.DESTROY, domain, _failure_reason(domain))
    elif domain.state is DomainState.DRAINING:
        _go_on_draining(domain, permissions, timing, places, draft, now)
    elif domain.state is DomainState.SHUTTING_DOWN:
        _go_on_shutting_down(domain, timing, draft, now)
    elif domain.state is DomainState.CORDONED:
        surplus = pool.current >= desired and permissions.may_drain_cordoned
        if surplus and permissions.fleet_known:
            draft.actions.append(
                _drain(domain, Reason.CORDONED_SURPLUS, timing.drain_deadline_seconds)
            )


def _settle_off(domain: DomainView, permissions: Permissions, draft: _Draft) -> None:
    if domain.operation is None or domain.is_asked_again:
        return
    lifts = domain.operation.kind is not OperationKind.START
    if permissions.fleet_known or not lifts:
        _settle(domain, Reason.OFF_REACHED, draft, lifts_cordon=lifts)


_TOWARDS_STANDBY = (DomainState.PREPARING, DomainState.SUSPENDING, DomainState.SAVING)


def _go_on_to_standby(
    domain: DomainView, permissions: Permissions, timing: Timing, places: Places, draft: _Draft
) -> None:
    if not permissions.fleet_known:
        # Whether its worker is cordoned and holds nothing cannot be seen.
        draft.explain(Reason.FLEET_UNKNOWN)
    elif domain.state is not DomainState.PREPARING:
        suspending = domain.state is DomainState.SUSPENDING
        kind = ActionKind.SUSPEND if suspending else ActionKind.SAVE
        draft.actions.append(Action(kind, domain.name, Reason.STANDBY_RESUMED, is_repeated=True))
    elif standby.is_prepared(domain):
        place = places.take(domain)
        if place is None:
            reason = Reason.CORDONED_SURPLUS
            draft.actions.append(_drain(domain, reason, timing.drain_deadline_seconds))
        else:
            draft.add(place, domain, Reason.STANDBY_READY)
    elif domain.operation is not None:
        draft.moments.append(domain.operation.since + timing.boot_deadline_seconds)


def _settle(domain: DomainView, reason: Reason, draft: _Draft, *, lifts_cordon: bool) -> None:
    draft.actions.append(Action(ActionKind.SETTLE, domain.name, reason, lifts_cordon=lifts_cordon))


def _failure_reason(domain: DomainView) -> Reason:
    if domain.lifecycle is Lifecycle.CRASHED:
        return Reason.GUEST_CRASHED
    kind = None if domain.operation is None else domain.operation.kind
    if kind in (OperationKind.RESUME, OperationKind.RESTORE):
        return Reason.WAKE_DEADLINE
    booting = kind in (OperationKind.START, OperationKind.PREPARE)
    return Reason.BOOT_DEADLINE if booting else Reason.WORKER_SILENT


def _go_on_draining(
    domain: DomainView,
    permissions: Permissions,
    timing: Timing,
    places: Places,
    draft: _Draft,
    now: float,
) -> None:
    if not permissions.fleet_known:
        # Leases cannot be seen, so nothing may be cut off.
        draft.explain(Reason.FLEET_UNKNOWN)
        return
    assert domain.operation is not None
    worker = domain.worker
    if worker is None or worker.state is WorkerState.DISCONNECTED:
        gone_at = (domain.silent_since or now) + timing.worker_return_seconds
        if now >= gone_at:
            draft.add(ActionKind.SHUTDOWN, domain, Reason.WORKER_GONE)
        else:
            draft.moments.append(gone_at)
        return
    if worker.leases == 0 and worker.state is not WorkerState.READY:
        place = places.take(domain)
        if place is None:
            draft.add(ActionKind.SHUTDOWN, domain, Reason.DRAINED)
        else:
            draft.add(place, domain, Reason.STANDBY_KEPT)
        return
    left = domain.operation.since + timing.drain_deadline_seconds - now
    if left <= 0:
        draft.add(ActionKind.SHUTDOWN, domain, Reason.DRAIN_DEADLINE)
    else:
        draft.actions.append(_drain(domain, Reason.DRAIN_RESUMED, left))


def _go_on_shutting_down(domain: DomainView, timing: Timing, draft: _Draft, now: float) -> None:
    operation = domain.operation
    if operation is None:
        # Somebody else asked it to shut down; it is theirs until it is off.
        return
    sent_at = domain.shutdown_sent_at
    next_at = now if sent_at is None else sent_at + timing.shutdown_resend_seconds
    if operation.kind is OperationKind.SHUTDOWN:
        cut_off_at = operation.since + timing.shutdown_deadline_seconds
        if now >= cut_off_at:
            draft.add(ActionKind.DESTROY, domain, Reason.SHUTDOWN_DEADLINE)
            return
        draft.moments.append(cut_off_at)
        kind = ActionKind.SHUTDOWN
    elif operation.kind is OperationKind.DESTROY:
        kind = ActionKind.DESTROY
    else:
        return
    if now < next_at:
        draft.moments.append(next_at)
        return
    draft.actions.append(Action(kind, domain.name, Reason.SHUTDOWN_RESENT, is_repeated=True))
    draft.moments.append(now + timing.shutdown_resend_seconds)
