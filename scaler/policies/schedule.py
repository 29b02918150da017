"""Windows of the calendar that raise the minimum."""

from dataclasses import dataclass

from scaler.policies.cron import Cron
from scaler.policies.occurrences import Zone, latest_start
from scaler.policies.proposal import PolicyContext, PolicyMemory, Proposal, Readings, exactly
from scaler.reasons import Reason


@dataclass(frozen=True, slots=True)
class Window:
    """At least `min` domains, from each moment at which `start` comes, for `duration_seconds`."""

    start: Cron
    duration_seconds: float
    min: int


@dataclass(frozen=True, slots=True)
class SchedulePolicy:
    """The highest minimum of the windows that are open. Outside them it wishes for nothing.

    It never lowers: combined with others the highest wish counts. The duration is elapsed time, so
    that a window over a change of the clocks is as long as any other.
    """

    name: str = "schedule"
    windows: tuple[Window, ...] = ()
    zone: Zone | None = None

    @property
    def signals(self) -> tuple[str, ...]:
        """See `Policy.signals`."""
        return ()

    @property
    def is_fallback(self) -> bool:
        """Never: it only raises."""
        return False

    def propose(
        self, readings: Readings, context: PolicyContext, memory: PolicyMemory | None
    ) -> tuple[Proposal, PolicyMemory | None]:
        """See `Policy.propose`."""
        wall, zone = context.wall, self.zone
        if wall is None or zone is None:
            return Proposal(self.name, Reason.SIGNAL_UNKNOWN), None
        wishes = [
            window.min
            for window in self.windows
            if latest_start(window.start, zone, wall, window.duration_seconds) is not None
        ]
        reason = Reason.SCHEDULE if wishes else Reason.OUTSIDE_SCHEDULE
        return exactly(self.name, reason, max(wishes, default=0), is_complete=True), None
