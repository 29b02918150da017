"""Domains that a person wants drained and kept off, planned apart from the rest of the pool. Pure.

They are no capacity, are not started and not won back, but whatever is on its way out with them
goes on as always. The ceiling still counts them.
"""

from dataclasses import replace

from scaler import planner
from scaler.planner import Action, Permissions, Plan
from scaler.pool import PoolView
from scaler.reasons import Reason
from scaler.rollout import NO_ROLLOUT, Rollout
from scaler.standby import StandbyPolicy
from scaler.tracking import Timing

_DRAINS = (Reason.SCALE_IN, Reason.CORDONED_SURPLUS)


def plan(
    pool: PoolView,
    desired: int,
    permissions: Permissions,
    timing: Timing,
    now: float,
    drained: frozenset[str],
    rollout: Rollout = NO_ROLLOUT,
) -> Plan:
    """Actions that bring the pool towards `desired` domains, none of them in `drained`."""
    aside = [domain for domain in pool.domains if domain.name in drained] if drained else []
    if not aside:
        return planner.plan(pool, desired, permissions, timing, now, rollout)
    rest = PoolView.of([domain for domain in pool.domains if domain.name not in drained])
    away = PoolView.of(aside)
    for_rest = permissions._replace(ceiling=permissions.ceiling - away.active)
    # The order is a person's: it needs no signal.
    for_aside = permissions._replace(starts=0, may_drain_cordoned=True, standby=StandbyPolicy())
    one = planner.plan(rest, desired, for_rest, timing, now, rollout.without(drained))
    other = planner.plan(away, 0, for_aside, timing, now)
    moments = [moment for moment in (one.wake_at, other.wake_at) if moment is not None]
    return Plan(
        (*one.actions, *(_for_maintenance(action) for action in other.actions)),
        min(moments, default=None),
        tuple(dict.fromkeys((*one.reasons, *other.reasons))),
    )


def _for_maintenance(action: Action) -> Action:
    if action.reason not in _DRAINS:
        return action
    # However busy it has become meanwhile: this one is meant and no other.
    return replace(action, reason=Reason.MAINTENANCE, max_leases=None)
