"""Stops a pool whose boots or wakes fail from beginning one after the other."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """From the `threshold`-th failure in a row on, starts pause; each raise doubles the pause."""

    threshold: int = 2
    first_backoff_seconds: float = 30.0
    max_backoff_seconds: float = 1800.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """Counts failures in a row. Open: nothing begins. Afterwards one probe until one succeeds.

    Every failure counts towards the threshold, but only what was begun after the last raise says
    anything new: four starts that a full host refuses at once raise the back-off once.
    """

    failures: int = 0
    open_until: float | None = None
    raises: int = 0
    """How often the back-off was raised."""
    raised_at: float | None = None

    def failed(
        self, settings: BreakerSettings, now: float, begun_at: float | None = None
    ) -> "Breaker":
        """What was begun at `begun_at` failed; None: it is not known when, so it counts as new."""
        failures = self.failures + 1
        if failures < settings.threshold:
            return replace(self, failures=failures)
        is_news = self.raised_at is None or begun_at is None or begun_at > self.raised_at
        raises = self.raises + is_news
        backoff = min(
            settings.first_backoff_seconds * 2 ** min(raises - 1, 30), settings.max_backoff_seconds
        )
        # The pause counts from the newest failure, whichever decision it stems from.
        return Breaker(failures, now + backoff, raises, now if is_news else self.raised_at)

    def succeeded(self) -> "Breaker":
        """One succeeded: forget the failures."""
        return self if self.failures == 0 else Breaker()

    def is_open(self, now: float) -> bool:
        """True while nothing may begin."""
        return self.open_until is not None and now < self.open_until

    @property
    def is_probing(self) -> bool:
        """True when one at a time may begin, to see whether it works again."""
        return self.open_until is not None

    def allowed(self, under_way: int, now: float) -> int | None:
        """How many more may begin beside `under_way`; None: as many as you like."""
        if self.is_open(now):
            return 0
        return max(0, 1 - under_way) if self.is_probing else None
