"""When a service that died is started again."""

from dataclasses import dataclass, field

FIRST_DELAY_SECONDS = 0.2
LONGEST_DELAY_SECONDS = 10.0
FORGET_AFTER_SECONDS = 60.0


@dataclass(frozen=True)
class CrashHistory:
    """Deaths of one service, oldest first (monotonic seconds)."""

    times: tuple[float, ...] = field(default=())

    def after_crash(self, now: float) -> "CrashHistory":
        """The history with a crash at `now`; what is longer ago than a minute is forgotten."""
        recent = tuple(time for time in self.times if now - time < FORGET_AFTER_SECONDS)
        return CrashHistory((*recent, now))

    @property
    def delay_seconds(self) -> float:
        """Time to wait before the next start: short at first, doubling while it keeps dying.

        It never gives up: what makes a service die (a full disk, a port taken for a moment) may go
        away, and a stack that needs a person for that would be worse than a slow retry.
        """
        if not self.times:
            return 0.0
        exponent = min(len(self.times) - 1, 16)
        return float(min(FIRST_DELAY_SECONDS * 2**exponent, LONGEST_DELAY_SECONDS))
