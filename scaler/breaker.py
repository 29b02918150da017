"""Stops a pool whose boots fail from starting domain after domain."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """From the `threshold`-th failure in a row on, each doubles the pause before a new start."""

    threshold: int = 2
    first_backoff_seconds: float = 30.0
    max_backoff_seconds: float = 1800.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """Counts boot failures in a row. Open: no start. Afterwards one probe until a boot succeeds."""

    failures: int = 0
    open_until: float | None = None

    def failed(self, settings: BreakerSettings, now: float) -> "Breaker":
        """A boot failed."""
        failures = self.failures + 1
        if failures < settings.threshold:
            return replace(self, failures=failures)
        doublings = min(failures - settings.threshold, 30)
        backoff = min(settings.first_backoff_seconds * 2**doublings, settings.max_backoff_seconds)
        return Breaker(failures, now + backoff)

    def succeeded(self) -> "Breaker":
        """A boot finished: forget the failures."""
        return self if self.failures == 0 else Breaker()

    def is_open(self, now: float) -> bool:
        """True while nothing may be started."""
        return self.open_until is not None and now < self.open_until

    @property
    def is_probing(self) -> bool:
        """True when one domain at a time may be started, to see whether boots work again."""
        return self.open_until is not None
