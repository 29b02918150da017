"""Domains for the jobs that wait and run: by a demand in slots, or by a goal for the wait."""

from dataclasses import dataclass

from scaler.policies.proposal import PolicyContext, PolicyMemory, Proposal, Readings
from scaler.policies.queueing import slots_for_wait
from scaler.readings import Empty, Failed, Reading, is_complete, usable_value
from scaler.reasons import Reason

DEMAND = "demand"
DEMAND_AVERAGE = "demand_average"
WAITING = "waiting"
BUSY = "busy"
BUSY_AVERAGE = "busy_average"
SERVICE = "service"

_MOST_SLOTS = 1e6
"""No pool has more; keeps a nonsensical reading from costing a turn."""


@dataclass(frozen=True, slots=True)
class BacklogPolicy:
    """Slots of demand over slots of a domain. Jumps to the capacity needed in one step.

    Every slot of the present demand gets a slot; the average demand causes `target_ratio`.

    With `goal_seconds` the demand is computed here: the present one is the busy slots and as many
    as empty the queue within the goal (waiting * service / goal), and beside `target_ratio` the
    average leaves so many slots free that a job waits no longer than the goal on average (Erlang C,
    see `queueing`).
    """

    name: str = "backlog"
    target_ratio: float = 0.8
    tolerance_ratio: float = 0.05
    slots_per_domain: float = 1.0
    goal_seconds: float | None = None
    signal_prefix: str = ""
    is_fallback: bool = False

    @property
    def signals(self) -> tuple[str, ...]:
        """See `Policy.signals`."""
        if self.goal_seconds is None:
            return self._signal(DEMAND), self._signal(DEMAND_AVERAGE)
        return tuple(self._signal(one) for one in (WAITING, BUSY, BUSY_AVERAGE, SERVICE))

    def propose(
        self, readings: Readings, context: PolicyContext, memory: PolicyMemory | None
    ) -> tuple[Proposal, PolicyMemory | None]:
        """See `Policy.propose`."""

        def read(signal: str) -> Reading:
            return readings.get(self._signal(signal), Failed("not read"))

        if self.goal_seconds is None:
            present, average = read(DEMAND), read(DEMAND_AVERAGE)
            demand = usable_value(present), usable_value(average)
            complete = is_complete(present) and is_complete(average)
            return self._proposal(demand, complete, context, Reason.DEMAND), None
        waiting, busy, service = read(WAITING), read(BUSY), read(SERVICE)
        average = read(BUSY_AVERAGE)
        seconds = usable_value(service)
        demand = (
            _present(usable_value(waiting), usable_value(busy), seconds, self.goal_seconds),
            usable_value(average),
        )
        # While nothing has finished there is no service time; that is not known to be missing only
        # when something waits that it would be needed for.
        spared = isinstance(service, Empty) and usable_value(waiting) == 0
        complete = all(map(is_complete, (waiting, busy, average)))
        complete = complete and (is_complete(service) or spared)
        least = self._least_for_goal(demand[1], seconds)
        return self._proposal(demand, complete, context, Reason.WAIT_GOAL, least), None

    def _proposal(
        self,
        demand: tuple[float | None, float | None],
        complete: bool,
        context: PolicyContext,
        reason: Reason,
        least: float = 0.0,
    ) -> Proposal:
        """From slots of present and average demand; `least` slots whatever the tolerance."""
        if demand == (None, None):
            return Proposal(self.name, Reason.SIGNAL_UNKNOWN)
        present = min(_MOST_SLOTS, max(0.0, demand[0] or 0.0))
        needed = min(_MOST_SLOTS, max(0.0, demand[1] or 0.0) / self.target_ratio)
        tolerance = self.tolerance_ratio
        capacity = context.pool.capacity(self.slots_per_domain)

        def domains(slots: float) -> int:
            return capacity.domains_for(max(least, slots))

        # Jobs that overlap for a moment are a reason to grow (the queue waits), not a reason to
        # stay: a capacity that the average does not need is given back.
        return Proposal(
            self.name,
            reason,
            desired=domains(max(present, needed)),
            low=domains(max(present, needed / (1 + tolerance))),
            high=domains(needed / (1 - tolerance)),
            is_complete=complete,
            takes_headroom=True,
        )

    def _least_for_goal(self, busy: float | None, seconds: float | None) -> float:
        if busy is None or seconds is None or self.goal_seconds is None:
            return 0.0
        busy = min(busy, _MOST_SLOTS / 100)
        return float(slots_for_wait(busy, max(0.0, seconds), self.goal_seconds))

    def _signal(self, signal: str) -> str:
        return f"{self.signal_prefix}{signal}"


def _present(
    waiting: float | None, busy: float | None, service: float | None, goal: float
) -> float | None:
    """Slots for what runs and waits now; a job whose service time is unknown gets a whole one."""
    if waiting is None and busy is None:
        return None
    share = 1.0 if service is None else min(1.0, max(0.0, service) / goal)
    return max(0.0, busy or 0.0) + max(0.0, waiting or 0.0) * share
