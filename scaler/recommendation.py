"""Policies: readings and the pool in, a proposal out. Each says why, and what it did not know."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scaler.pool import DomainState, PoolView
from scaler.readings import Failed, Reading, is_complete, usable_value
from scaler.reasons import Reason

Readings = Mapping[str, Reading]

CPU = "cpu"
DEMAND = "demand"
DEMAND_AVERAGE = "demand_average"


@dataclass(frozen=True, slots=True)
class Sustained:
    """A condition that has held without a break since a moment."""

    since: float


@dataclass(frozen=True, slots=True)
class Proposal:
    """What one policy wants: out to `desired` from below `low`, in to `high` from above it.

    All None: it does not know.
    """

    policy: str
    reason: Reason
    desired: int | None = None
    low: int | None = None
    high: int | None = None
    is_complete: bool = False
    """True when every reading it needs is known and fresh: it may take part in a scale-in."""


@dataclass(frozen=True, slots=True)
class ReferencePolicy:
    """Mean CPU above a target for a while: one more. One fewer could carry the load: one fewer.

    `averaging_seconds` is the window of the CPU query: after the pool changed, the mean still tells
    of the old pool for so long and is not acted on.
    """

    name: str = "reference"
    target_ratio: float = 0.8
    sustained_seconds: float = 10.0
    averaging_seconds: float = 30.0

    signals = (CPU,)


@dataclass(frozen=True, slots=True)
class BacklogPolicy:
    """Slots of demand over slots of a domain. Jumps to the capacity needed in one step.

    Every slot of the present demand gets a slot; the average demand causes `target_ratio`.
    """

    name: str = "backlog"
    target_ratio: float = 0.8
    tolerance_ratio: float = 0.05
    slots_per_domain: float = 1.0

    signals = (DEMAND, DEMAND_AVERAGE)


Policy = ReferencePolicy | BacklogPolicy


@dataclass(frozen=True, slots=True)
class PolicyContext:
    """What the policies may look at besides their readings."""

    pool: PoolView
    changed_at: float | None
    """When a domain last became ready or ceased to be; None: not since the scaler started."""
    now: float


def propose(
    policy: Policy, readings: Readings, context: PolicyContext, memory: Sustained | None
) -> tuple[Proposal, Sustained | None]:
    """The policy's proposal, and what it must remember for the next turn."""
    if isinstance(policy, ReferencePolicy):
        return _propose_reference(policy, readings, context, memory)
    return _propose_backlog(policy, readings, context), None


def _propose_reference(
    policy: ReferencePolicy, readings: Readings, context: PolicyContext, memory: Sustained | None
) -> tuple[Proposal, Sustained | None]:
    pool, now = context.pool, context.now
    current = pool.current
    if current == 0:
        return Proposal(policy.name, Reason.NONE_ACTIVE, 1, 1, 1, is_complete=True), None
    reading = readings.get(CPU, Failed("not read"))
    ratio = usable_value(reading)
    if ratio is None:
        return Proposal(policy.name, Reason.SIGNAL_UNKNOWN), None
    complete = is_complete(reading)

    def hold(reason: Reason) -> Proposal:
        return Proposal(policy.name, reason, current, current, current, is_complete=complete)

    # While domains come or go the mean is of another pool than the one it would be applied to.
    settled_at = -math.inf
    if context.changed_at is not None:
        settled_at = context.changed_at + policy.averaging_seconds
    if pool.ready != current or pool.count(DomainState.DRAINING) or now < settled_at:
        return hold(Reason.POOL_IN_TRANSITION), None
    count = pool.ready
    if ratio > policy.target_ratio:
        memory = memory or Sustained(now)
        if now - memory.since < policy.sustained_seconds:
            return hold(Reason.CPU_ABOVE_TARGET_NOT_SUSTAINED), memory
        reason, wanted = Reason.CPU_ABOVE_TARGET, count + 1
    elif (policy.target_ratio - ratio) * count > policy.target_ratio:
        # No sustained time of its own: the stabilization window for scaling in is that.
        memory, reason, wanted = None, Reason.CPU_FITS_ONE_FEWER, count - 1
    else:
        return hold(Reason.STEADY), None
    return Proposal(policy.name, reason, wanted, wanted, wanted, is_complete=complete), memory


def _propose_backlog(policy: BacklogPolicy, readings: Readings, context: PolicyContext) -> Proposal:
    present = readings.get(DEMAND, Failed("not read"))
    average = readings.get(DEMAND_AVERAGE, Failed("not read"))
    values = [usable_value(present), usable_value(average)]
    if values == [None, None]:
        return Proposal(policy.name, Reason.SIGNAL_UNKNOWN)
    slots = context.pool.slots_per_domain(policy.slots_per_domain)
    now_needed = max(0.0, values[0] or 0.0) / slots
    needed = max(0.0, values[1] or 0.0) / (slots * policy.target_ratio)
    # Jobs that overlap for a moment are a reason to grow (the queue waits), not a reason to stay:
    # a capacity that the average does not need is given back.
    return Proposal(
        policy.name,
        Reason.DEMAND,
        desired=_domains(max(now_needed, needed)),
        low=_domains(max(now_needed, needed / (1 + policy.tolerance_ratio))),
        high=_domains(needed / (1 - policy.tolerance_ratio)),
        is_complete=is_complete(present) and is_complete(average),
    )


def _domains(needed: float) -> int:
    # Sums of floats that should be a whole number must not cost a domain more.
    return math.ceil(needed - 1e-9)
