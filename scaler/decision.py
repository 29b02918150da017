"""One turn of the scaler as a pure function: state and observation in, state and decision out.

Production, `eval`, dry run and the simulation call the same `decide`. Effects come back through
`feedback.feed`, so a slow start or a refused cordon is a state like any other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from scaler import (
    alerts,
    host_departure,
    host_room,
    maintenance,
    overrides,
    recommendation,
    rollout,
    saturation,
    stabilization,
    tracking,
)
from scaler.alerts import AlertRule, Base, Effect, Sight
from scaler.breaker import Breaker, BreakerSettings
from scaler.host_room import HostReserve, HostRoom
from scaler.incidents import Incident
from scaler.overrides import NO_ORDERS, Hold, Orders
from scaler.planner import Action, Permissions, Plan
from scaler.pool import ActionKind, DomainRecord, DomainState, PoolView, WorkerRecord
from scaler.readings import Reading
from scaler.reasons import Reason
from scaler.recommendation import Policy, PolicyContext, PolicyMemory, Proposal
from scaler.rollout import RolloutSettings, Trials
from scaler.saturation import Saturation, SaturationSettings
from scaler.stabilization import Limits, Stabilised
from scaler.standby import StandbyPolicy
from scaler.tracking import Fleet, Timing, Track


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything an operator decides about one pool."""

    pool: str = "default"
    limits: Limits = field(default_factory=Limits)
    timing: Timing = field(default_factory=Timing)
    breaker: BreakerSettings = field(default_factory=BreakerSettings)
    policies: tuple[Policy, ...] = ()
    rollout: RolloutSettings = field(default_factory=RolloutSettings)
    alert_rules: tuple[AlertRule, ...] = ()
    alert_base_kept_seconds: float = 120.0
    """See `alerts.judge`."""
    saturation: SaturationSettings | None = None
    """None: a useless scale-out is not looked for."""
    standby: StandbyPolicy = field(default_factory=StandbyPolicy)
    reserve: HostReserve = field(default_factory=HostReserve)
    digest: str = ""
    """Names the configuration in records."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen in one turn. None: it could not be seen; `errors` says why."""

    domains: tuple[DomainRecord, ...] | None
    workers: tuple[WorkerRecord, ...] | None
    readings: Mapping[str, Reading]
    hold: Hold | None = None
    errors: tuple[str, ...] = ()
    wall: float | None = None
    """Seconds since the Unix epoch, for policies that follow the calendar."""
    orders: Orders = NO_ORDERS
    alerts: Sight = alerts.NO_ALERTS
    room: HostRoom | None = None


@dataclass(frozen=True)
class State:
    """What is remembered between turns.

    Without slots, so that a turn can copy it in one go: see `_changed`.
    """

    token: int | None = None
    tracks: Mapping[str, Track] = field(default_factory=dict)
    fleet: Fleet = field(default_factory=lambda: Fleet({}))
    breaker: Breaker = field(default_factory=Breaker)
    wakes: Breaker = field(default_factory=Breaker)
    """The same for standby domains that are woken: that is no boot of the image."""
    memory: stabilization.Memory = field(default_factory=stabilization.Memory)
    policy_memory: Mapping[str, PolicyMemory] = field(default_factory=dict)
    trials: Trials = field(default_factory=Trials)
    ready_names: frozenset[str] | None = None
    ready_changed_at: float | None = None
    saturation: Saturation = field(default_factory=Saturation)
    tracked: tracking.Tracked | None = field(default=None, compare=False, repr=False)
    """The last turn's pool; only saves time."""
    refilled_at: float | None = None
    saved_at: float | None = None
    """See `host_departure`."""
    remembered: Mapping[str, Track] = field(default_factory=dict)
    """From an earlier life, of domains that have not been seen in this one. See `lessons`."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do and the whole reason for it."""

    at: float
    reason: Reason
    desired: int | None
    pool: PoolView
    plan: Plan
    stabilised: Stabilised | None = None
    proposals: tuple[Proposal, ...] = ()
    readings: Mapping[str, Reading] = field(default_factory=dict)
    incidents: tuple[tuple[str, Incident], ...] = ()
    hold: Hold | None = None
    errors: tuple[str, ...] = ()
    orders: Orders = NO_ORDERS
    effects: tuple[Effect, ...] = ()
    """What alerts demand."""
    bases: Mapping[str, Base] = field(default_factory=dict)
    """For the next observation's `alerts`."""


class Outcome(StrEnum):
    """How an action ended."""

    DONE = "done"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    RETRYABLE = "retryable"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class ActionResult:
    """An action's report."""

    kind: ActionKind
    domain: str
    outcome: Outcome
    error: str = ""


def failed(settings: Settings, state: State, memory: Track, now: float, *, is_wake: bool) -> State:
    """The state after a domain's boot or wake has failed."""
    if is_wake:
        return replace(state, wakes=state.wakes.failed(settings.breaker, now, memory.begun_at))
    return replace(state, breaker=state.breaker.failed(settings.breaker, now, memory.begun_at))


def decide(
    settings: Settings, state: State, observation: Observation, now: float
) -> tuple[State, Decision]:
    """One turn."""
    fleet = _see_fleet(state.fleet, observation, now)
    if observation.domains is None:
        return replace(state, fleet=fleet), _blind(state, observation, now)
    tracked = tracking.track(
        state.tracks,
        observation.domains,
        fleet,
        settings.timing,
        now,
        state.tracked,
        state.remembered,
    )
    state = _remember(settings, state, fleet, tracked, now)
    state, proposals, stabilised = wish(settings, state, tracked.pool, observation, now)
    stabilised, effects, bases = _intervene(
        settings, observation, stabilised, tracked.pool.current, now
    )
    obstacle = _obstacle(state, observation, tracked.newest_token, now)
    if obstacle is not None:
        plan = Plan(reasons=(obstacle,))
    else:
        plan = _NOTHING
        if not _is_at_ease(settings, state, observation, tracked.pool, stabilised.desired):
            plan = _plan(settings, state, observation, tracked.pool, stabilised, effects, now)
        state = _launch(state, plan, now)
    return state, Decision(
        at=now,
        reason=_headline(proposals, stabilised, plan, tracked.pool),
        desired=stabilised.desired,
        pool=tracked.pool,
        plan=plan,
        stabilised=stabilised,
        proposals=proposals,
        readings=observation.readings,
        incidents=tracked.incidents,
        hold=observation.hold,
        errors=observation.errors,
        orders=observation.orders,
        effects=effects,
        bases=bases,
    )


def wish(
    settings: Settings, state: State, pool: PoolView, observation: Observation, now: float
) -> tuple[State, tuple[Proposal, ...], Stabilised]:
    """What the policies want of a pool, stabilised, and the state that remembers it.

    Headroom and what a saturated host withholds are part of it; what alerts demand and people order
    is not: those are not rules on trial. Production, shadows and replay call it; only production
    lets alerts and orders change it and makes a plan of it.
    """
    context = PolicyContext(
        pool, state.ready_changed_at, now, observation.wall, settings.limits.headroom
    )
    proposals, remembered = recommendation.recommend(
        settings.policies, observation.readings, context, state.policy_memory
    )
    memory, stabilised = stabilization.stabilise(
        state.memory, proposals, pool, settings.limits, now
    )
    seen, stabilised = _withhold(settings, state.saturation, stabilised, pool, observation, now)
    # One copy of the state for all of it: copying is what a turn of a small pool consists of.
    state = _changed(state, policy_memory=remembered, memory=memory, saturation=seen)
    return state, proposals, stabilised


def _changed(state: State, **changes: object) -> State:
    """As `replace`, in a fifth of the time."""
    copy = object.__new__(State)
    copy.__dict__.update(state.__dict__, **changes)
    return copy


def _see_fleet(fleet: Fleet, observation: Observation, now: float) -> Fleet:
    if observation.workers is None:
        return replace(fleet, known_since=None)
    known_since = now if fleet.known_since is None else fleet.known_since
    return Fleet({worker.worker_id: worker for worker in observation.workers}, known_since)


def _blind(state: State, observation: Observation, now: float) -> Decision:
    return Decision(
        at=now,
        reason=Reason.HYPERVISOR_UNKNOWN,
        desired=None,
        pool=PoolView.of([]),
        plan=Plan(reasons=(Reason.HYPERVISOR_UNKNOWN,)),
        readings=observation.readings,
        hold=observation.hold,
        errors=observation.errors,
        orders=observation.orders,
        bases=observation.alerts.bases,
    )


def _remember(
    settings: Settings, state: State, fleet: Fleet, tracked: tracking.Tracked, now: float
) -> State:
    for name, incident in tracked.incidents:
        if incident is Incident.BOOT_FINISHED:
            state = replace(state, breaker=state.breaker.succeeded())
        elif incident is Incident.WAKE_FINISHED:
            state = replace(state, wakes=state.wakes.succeeded())
        elif incident in (Incident.BOOT_FAILED, Incident.WAKE_FAILED):
            is_wake = incident is Incident.WAKE_FAILED
            state = failed(settings, state, tracked.tracks[name], now, is_wake=is_wake)
    ready = state.ready_names
    if ready is None or tracked.has_moved:
        ready = frozenset(one.name for one in tracked.pool.in_state(DomainState.READY))
    changed_at = state.ready_changed_at
    if state.ready_names is not None and ready != state.ready_names:
        changed_at = now
    return _changed(
        state,
        token=tracked.newest_token + 1 if state.token is None else state.token,
        fleet=fleet,
        tracks=tracked.tracks,
        tracked=tracked,
        remembered={},
        trials=rollout.observed(state.trials, tracked.pool, tracked.incidents),
        saved_at=host_departure.saved_at(state.saved_at, tracked, now),
        ready_names=ready,
        ready_changed_at=changed_at,
    )


def _intervene(
    settings: Settings, observation: Observation, stabilised: Stabilised, current: int, now: float
) -> tuple[Stabilised, tuple[Effect, ...], dict[str, Base]]:
    """Alerts may raise what the policies came to; overrides win over both."""
    effects, bases = alerts.judge(
        settings.alert_rules,
        observation.alerts,
        # An alert that fires already when an empty pool begins is no reason for a lower base.
        max(current, settings.limits.min),
        settings.alert_base_kept_seconds,
        now,
    )
    stabilised = alerts.apply(stabilised, effects)
    stabilised = overrides.apply(stabilised, observation.orders, current, settings.limits)
    return stabilised, effects, bases


def _withhold(
    settings: Settings,
    memory: Saturation,
    stabilised: Stabilised,
    pool: PoolView,
    observation: Observation,
    now: float,
) -> tuple[Saturation, Stabilised]:
    """Takes back a scale-out that would be of no use to a saturated host."""
    if settings.saturation is None:
        return memory, stabilised
    memory = saturation.observe(
        settings.saturation,
        memory,
        pool,
        observation.readings.get(saturation.HOST_PRESSURE),
        observation.readings.get(saturation.THROUGHPUT),
        now,
    )
    return memory, saturation.withhold(memory, stabilised, pool, settings.limits.min)


def _obstacle(state: State, observation: Observation, newest: int, now: float) -> Reason | None:
    assert state.token is not None
    if newest > state.token:
        # Another scaler took over this pool: whatever this one does now would be a second opinion.
        return Reason.FENCED
    if observation.hold is not None:
        return Reason.PAUSED
    return Reason.DOMAINS_SAVED if host_departure.is_likely(state.saved_at, now) else None


_NOTHING = Plan()


def _is_at_ease(
    settings: Settings, state: State, observation: Observation, pool: PoolView, desired: int
) -> bool:
    """True when a plan would be empty: all there is to do would be to see that nothing is.

    As many as are desired serve, no domain is under way or owes anything, and nobody wants standby
    domains, a domain drained or an image avoided.
    """
    return (
        desired == pool.current
        and not pool.irregular
        and not settings.standby.paused
        and not settings.standby.saved
        and not state.trials.failures
        and not observation.orders.drained
    )


def _plan(
    settings: Settings,
    state: State,
    observation: Observation,
    pool: PoolView,
    stabilised: Stabilised,
    effects: tuple[Effect, ...],
    now: float,
) -> Plan:
    permissions = _permissions(settings, state, pool, stabilised, now)
    if observation.room is not None:
        budget = host_room.budget(observation.room, settings.reserve, pool)
        permissions = permissions._replace(budget=budget)
    if observation.orders.blocks_in or any(one.blocks_in for one in effects):
        permissions = permissions._replace(may_drain_cordoned=False)
    renewal = rollout.assess(
        settings.rollout,
        state.trials,
        pool,
        stabilised.desired,
        permissions.ceiling,
        may_start=permissions.starts is None and permissions.fleet_known,
        may_lower=permissions.may_drain_cordoned,
    )
    return maintenance.plan(
        pool,
        stabilised.desired,
        permissions,
        settings.timing,
        now,
        observation.orders.drained,
        renewal,
    )


_BOOTS = (DomainState.STARTING, DomainState.BOOTING, DomainState.PREPARING)


def _permissions(
    settings: Settings, state: State, pool: PoolView, stabilised: Stabilised, now: float
) -> Permissions:
    breaker = state.breaker
    is_open = breaker.is_open(now)
    return Permissions(
        ceiling=settings.limits.max,
        starts=breaker.allowed(pool.count(*_BOOTS), now),
        breaker_reason=Reason.BREAKER_OPEN if is_open else Reason.BREAKER_PROBE,
        breaker_until=breaker.open_until,
        wakes=state.wakes.allowed(pool.count(DomainState.WAKING), now),
        wakes_until=state.wakes.open_until,
        fleet_known=state.fleet.known_since is not None,
        may_drain_cordoned=stabilised.is_complete,
        standby=settings.standby,
        refill_at=now
        if state.refilled_at is None
        else state.refilled_at + settings.standby.refill_seconds,
    )


_SCALES_OUT = (
    ActionKind.START,
    ActionKind.RESUME,
    ActionKind.RESTORE,
    ActionKind.CANCEL_DRAIN,
)


def _launch(state: State, plan: Plan, now: float) -> State:
    """Marks the plan's actions as in flight and starts the cooldowns."""
    if not plan.actions:
        return state
    tracks = dict(state.tracks)
    memory = state.memory
    for action in plan.actions:
        track = replace(tracks[action.domain], in_flight=action.kind)
        if action.kind in (ActionKind.SHUTDOWN, ActionKind.DESTROY):
            track = replace(track, shutdown_sent_at=now)
        if action.kind in tracking.BOOTS:
            track = replace(track, is_start_answered=False)
        if action.kind in tracking.BEGINNINGS and track.state is not DomainState.PREPARING:
            track = replace(track, begun_at=now, is_failure_counted=False)
        tracks[action.domain] = track
        if action.kind is ActionKind.PREPARE:
            state = replace(state, refilled_at=now)
        if action.kind in _SCALES_OUT:
            memory = stabilization.scaled(memory, out=True, now=now)
        elif action.reason is Reason.SCALE_IN:
            memory = stabilization.scaled(memory, out=False, now=now)
    return replace(state, tracks=tracks, memory=memory)


BESIDE = (Reason.ROLLOUT_NO_ROOM, Reason.ROLLOUT_GIVEN_UP, Reason.WAKES_FAILED)
"""They keep the pool from being renewed, or domains from waiting, not from changing its size."""
_DEMANDED = (
    Reason.ALERT_FLOOR,
    Reason.ALERT_RAISE,
    Reason.OVERRIDE_HOLD,
    Reason.OVERRIDE_FLOOR,
    Reason.OVERRIDE_CEILING,
)
"""Steps of alerts and overrides that cause scaling rather than prevent it."""
_SCALING = (Reason.SCALE_OUT, Reason.DEMAND_RETURNED, Reason.CORDONED_NEEDED, Reason.SCALE_IN)


def _headline(
    proposals: tuple[Proposal, ...], stabilised: Stabilised, plan: Plan, pool: PoolView
) -> Reason:
    """The one word for the turn: what stopped it, what it did, or why it did nothing."""
    obstacles = [reason for reason in plan.reasons if reason not in BESIDE]
    if obstacles:
        return obstacles[0]
    if any(action.reason in _SCALING for action in plan.actions):
        return _cause(proposals, stabilised, pool)
    if stabilised.steps:
        return stabilised.steps[-1].reason
    return plan.reasons[0] if plan.reasons else Reason.STEADY


def _cause(proposals: tuple[Proposal, ...], stabilised: Stabilised, pool: PoolView) -> Reason:
    """Why capacity changes: an order, an alert, the policy with the highest wish, or a bound."""
    demanded = [step for step in stabilised.steps if step.reason in _DEMANDED]
    if demanded:
        return demanded[-1].reason
    bounds = [step for step in stabilised.steps if step.reason in (Reason.MIN, Reason.MAX)]
    if bounds and (bounds[-1].reason is Reason.MIN or stabilised.desired < pool.current):
        return bounds[-1].reason
    known = [proposal for proposal in proposals if proposal.desired is not None]
    if not known:
        return Reason.NO_SIGNAL
    return recommendation.cause(known)


__all__ = [
    "Action",
    "ActionResult",
    "Decision",
    "Hold",
    "Observation",
    "Outcome",
    "Settings",
    "State",
    "decide",
    "failed",
    "wish",
]
