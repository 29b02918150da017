"""The rule of the reference program: mean CPU over a target for a while, or well below it."""

import math
from dataclasses import dataclass

from scaler.policies.proposal import (
    PolicyContext,
    PolicyMemory,
    Proposal,
    Readings,
    Sustained,
    exactly,
)
from scaler.pool import DomainState
from scaler.readings import Failed, is_complete, usable_value
from scaler.reasons import Reason

CPU = "cpu"


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
    cpu_signal: str = CPU
    is_fallback: bool = False

    @property
    def signals(self) -> tuple[str, ...]:
        """See `Policy.signals`."""
        return (self.cpu_signal,)

    def propose(
        self, readings: Readings, context: PolicyContext, memory: PolicyMemory | None
    ) -> tuple[Proposal, PolicyMemory | None]:
        """See `Policy.propose`."""
        pool, now = context.pool, context.now
        current = pool.current
        if current == 0:
            return exactly(self.name, Reason.NONE_ACTIVE, 1, is_complete=True), None
        reading = readings.get(self.cpu_signal, Failed("not read"))
        ratio = usable_value(reading)
        if ratio is None:
            return Proposal(self.name, Reason.SIGNAL_UNKNOWN), None
        complete = is_complete(reading)

        def hold(reason: Reason) -> Proposal:
            return exactly(self.name, reason, current, is_complete=complete)

        # While domains come or go the mean is of another pool than the one it would be applied to.
        settled_at = -math.inf
        if context.changed_at is not None:
            settled_at = context.changed_at + self.averaging_seconds
        # The boot of a domain prepared for standby is in the mean, too, and is no load.
        moving = pool.count(DomainState.DRAINING, DomainState.PREPARING)
        if pool.ready != current or moving or now < settled_at:
            return hold(Reason.POOL_IN_TRANSITION), None
        count = pool.ready
        if ratio > self.target_ratio:
            sustained = memory if isinstance(memory, Sustained) else Sustained(now)
            if now - sustained.since < self.sustained_seconds:
                return hold(Reason.CPU_ABOVE_TARGET_NOT_SUSTAINED), sustained
            above = Reason.CPU_ABOVE_TARGET
            return exactly(self.name, above, count + 1, is_complete=complete), sustained
        if (self.target_ratio - ratio) * count > self.target_ratio:
            # No sustained time of its own: the stabilization window for scaling in is that.
            fewer = Reason.CPU_FITS_ONE_FEWER
            return exactly(self.name, fewer, count - 1, is_complete=complete), None
        return hold(Reason.STEADY), None
