"""The rule of Kubernetes' HorizontalPodAutoscaler: as many domains as bring a value to its target.

Formula and rules for what is missing: kubernetes.io, "Horizontal Pod Autoscaling", "Algorithm
details", and pkg/controller/podautoscaler/replica_calculator.go.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from scaler.policies.proposal import PolicyContext, PolicyMemory, Proposal, Readings, exactly
from scaler.readings import Failed, Reading, is_complete, usable_value
from scaler.reasons import Reason

VALUE = "value"
REPORTING = "reporting"

_MOST_DOMAINS = 1e6


class Measure(StrEnum):
    """What the value of the signal is."""

    RATIO = "ratio"
    """A mean over the domains that report, of a share of what they have: 1 is all of it."""
    MEAN = "mean"
    """A mean over the domains that report, of anything."""
    TOTAL = "total"
    """A sum over the pool, or something that no domain has, such as a queue."""


@dataclass(frozen=True, slots=True)
class TargetPolicy:
    """ceil(domains * value / target), unless value / target is within the tolerance of 1.

    Domains that serve and do not report, because they boot or their series is missing, count as
    using all they have (and at least the target) when the value calls for fewer, and as using
    nothing when it calls for more. When that turns the direction, nothing is wished for.

    `averaging_seconds` is the window of the query: after the pool changed, a mean still tells of
    the old pool for so long and is not acted on.
    """

    name: str = "target"
    measure: Measure = Measure.RATIO
    target: float = 0.8
    tolerance_ratio: float = 0.1
    averaging_seconds: float = 0.0
    counts_reporting: bool = False
    is_fallback: bool = False
    """True when there is a signal for how many domains report; False: all ready ones do."""

    @property
    def signals(self) -> tuple[str, ...]:
        """See `Policy.signals`."""
        value, reporting = f"{self.name}.{VALUE}", f"{self.name}.{REPORTING}"
        return (value, reporting) if self.counts_reporting else (value,)

    def propose(
        self, readings: Readings, context: PolicyContext, memory: PolicyMemory | None
    ) -> tuple[Proposal, PolicyMemory | None]:
        """See `Policy.propose`."""
        reading = readings.get(f"{self.name}.{VALUE}", Failed("not read"))
        if self.measure is Measure.TOTAL:
            return self._by_total(reading, context), None
        return self._by_mean(reading, readings, context), None

    def _by_total(self, reading: Reading, context: PolicyContext) -> Proposal:
        value = usable_value(reading)
        if value is None:
            return Proposal(self.name, Reason.SIGNAL_UNKNOWN)
        needed = min(_MOST_DOMAINS, max(0.0, value) / self.target)
        complete = is_complete(reading)
        wish, current = _whole(needed), context.pool.current
        # With the spare ones, or a load that has used them up would pass for one that fits.
        if self._is_tolerated(needed + context.headroom.on(wish), current):
            return exactly(self.name, Reason.WITHIN_TOLERANCE, current, is_complete=complete)
        return Proposal(
            self.name,
            Reason.TARGET,
            wish,
            wish,
            wish,
            is_complete=complete,
            takes_headroom=True,
        )

    def _by_mean(self, reading: Reading, readings: Readings, context: PolicyContext) -> Proposal:
        pool = context.pool
        current = pool.current
        if current == 0:
            # Nothing can report for a pool of none, so the mean cannot call for the first domain.
            return exactly(self.name, Reason.NONE_ACTIVE, 1, is_complete=True)
        value = usable_value(reading)
        if value is None:
            return Proposal(self.name, Reason.SIGNAL_UNKNOWN)
        reporting, is_counted = self._reporting(readings, pool.ready, current)
        complete = is_complete(reading) and is_counted

        def hold(reason: Reason) -> Proposal:
            return exactly(self.name, reason, current, is_complete=complete)

        if context.changed_at is not None:
            settled_at = context.changed_at + self.averaging_seconds
            if context.now < settled_at:
                return hold(Reason.POOL_IN_TRANSITION)
        value = max(0.0, value)
        used = min(_MOST_DOMAINS, reporting * value / self.target)
        if value <= self.target:
            used += (current - reporting) * self._missing_share()
        if self._is_tolerated(used, current):
            return hold(Reason.WITHIN_TOLERANCE)
        # What is missing must not turn a wish for more into one for fewer, or the other way round.
        if (value > self.target) != (used > current):
            return hold(Reason.DOMAINS_NOT_REPORTING)
        wish = max(1, _whole(used))
        return exactly(self.name, Reason.TARGET, wish, is_complete=complete)

    def _reporting(self, readings: Readings, ready: int, current: int) -> tuple[int, bool]:
        """Domains behind the mean, and whether that is known."""
        if not self.counts_reporting:
            return ready, True
        reading = readings.get(f"{self.name}.{REPORTING}", Failed("not read"))
        count = usable_value(reading)
        if count is None:
            return ready, False
        return min(current, max(0, int(count))), is_complete(reading)

    def _missing_share(self) -> float:
        """What a domain that does not report counts as when fewer are called for, in targets."""
        return max(1.0, 1.0 / self.target) if self.measure is Measure.RATIO else 1.0

    def _is_tolerated(self, needed: float, current: int) -> bool:
        return current > 0 and abs(needed / current - 1) <= self.tolerance_ratio


def _whole(needed: float) -> int:
    # Sums of floats that should be a whole number must not cost a domain more.
    return math.ceil(needed - 1e-9)
