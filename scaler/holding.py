"""What holds the capacity where it is, and until when at the latest that cause lasts. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from scaler import host_departure
from scaler.decision import BESIDE, Decision, Settings, State
from scaler.reasons import Reason
from scaler.stabilization import Step

_SCALING = (Reason.SCALE_OUT, Reason.DEMAND_RETURNED, Reason.CORDONED_NEEDED, Reason.SCALE_IN)


@dataclass(frozen=True, slots=True)
class Held:
    """A cause, and the moment from which it no longer holds if nothing else happens.

    `until` is on the clock of `now`. None: no such moment can be told.
    """

    reason: Reason
    until: float | None = None


def holds(decision: Decision, state: State, settings: Settings) -> tuple[Held, ...]:
    """Every cause that stands between the wishes and the pool, in the order in which they came.

    `state` is the one after the decision.
    """
    found = [
        Held(one.reason, _policy_until(one.policy, one.reason, state, settings))
        for one in decision.proposals
        if one.reason in (Reason.CPU_ABOVE_TARGET_NOT_SUSTAINED, Reason.POOL_IN_TRANSITION)
    ]
    stabilised = decision.stabilised
    if stabilised is not None:
        found += [
            Held(step.reason, _step_until(step, state, settings)) for step in stabilised.steps
        ]
    for reason in decision.plan.reasons:
        found.append(Held(reason, _obstacle_until(reason, state)))
    return tuple(_still(one, decision.at) for one in found)


def withheld(decision: Decision) -> tuple[str, Reason] | None:
    """The direction (`out`, `in`) of a wish that the turn did not follow, and what withheld it."""
    stabilised, current = decision.stabilised, decision.pool.current
    wishes = [one.desired for one in decision.proposals if one.desired is not None]
    if stabilised is None or decision.desired is None:
        return None
    wanted = max(wishes, default=current)
    spare = [step.after for step in stabilised.steps if step.reason is Reason.HEADROOM]
    wanted = max([wanted, *spare])
    # Beyond all wishes, the minimum, an alert or a person may call for more.
    wanted = max(wanted, decision.desired) if decision.desired > current else wanted
    if wanted == current or any(one.reason in _SCALING for one in decision.plan.actions):
        return None
    # What pulls the same way as the wish does not withhold it.
    pull = 1 if wanted > current else -1
    causes = [step.reason for step in stabilised.steps if (step.after - step.before) * pull <= 0]
    causes += [reason for reason in decision.plan.reasons if reason not in BESIDE]
    if not causes:
        return None
    # A plan's obstacles come last and stand in the way of everything before them.
    return "out" if wanted > current else "in", causes[-1]


def latest(held: Sequence[Held]) -> float | None:
    """When the last of the causes ends that has an end; None when none has one."""
    return max((one.until for one in held if one.until is not None), default=None)


def _still(held: Held, now: float) -> Held:
    # A moment that has passed tells nothing: something else holds by now.
    return held if held.until is None or held.until > now else Held(held.reason)


def _policy_until(name: str, reason: Reason, state: State, settings: Settings) -> float | None:
    policy = next((one for one in settings.policies if one.name == name), None)
    if reason is Reason.CPU_ABOVE_TARGET_NOT_SUSTAINED:
        since = getattr(state.policy_memory.get(name), "since", None)
        return _sum(since, getattr(policy, "sustained_seconds", None))
    return _sum(state.ready_changed_at, getattr(policy, "averaging_seconds", None))


def _obstacle_until(reason: Reason, state: State) -> float | None:
    if reason is Reason.DOMAINS_SAVED:
        return host_departure.until(state.saved_at)
    return state.breaker.open_until if reason is Reason.BREAKER_OPEN else None


def _step_until(step: Step, state: State, settings: Settings) -> float | None:
    memory, limits = state.memory, settings.limits
    match step.reason:
        case Reason.HOST_SATURATED:
            withheld, rules = state.saturation.withheld, settings.saturation
            return _sum(
                None if withheld is None else withheld.since,
                None if rules is None else rules.retry_seconds,
            )
        case Reason.OUT_WINDOW:
            below = [when for when, wish in memory.history if wish < step.before]
            return _sum(max(below, default=None), limits.out_window_seconds)
        case Reason.IN_WINDOW:
            above = [when for when, wish in memory.history if wish > step.before]
            return _sum(max(above, default=None), limits.in_window_seconds)
        case Reason.IN_WINDOW_FILLING:
            return _sum(memory.watching_since, limits.in_window_seconds)
        case Reason.OUT_COOLDOWN:
            return _sum(memory.last_out_at, limits.out_cooldown_seconds)
        case Reason.IN_COOLDOWN:
            moments = [one for one in (memory.last_in_at, memory.last_out_at) if one is not None]
            return _sum(max(moments, default=None), limits.in_cooldown_seconds)
        case Reason.OUT_RATE if limits.out_rate is not None:
            return _sum(min(memory.outs, default=None), limits.out_rate.seconds)
        case Reason.IN_RATE if limits.in_rate is not None:
            return _sum(min(memory.ins, default=None), limits.in_rate.seconds)
        case _:
            return None


def _sum(moment: float | None, seconds: float | None) -> float | None:
    return None if moment is None or seconds is None else moment + seconds
