"""How long final jobs are kept, and by which clock. Pure."""

from dataclasses import dataclass

_STEP_SECONDS = 60.0
_BELIEVED_AFTER_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Retention:
    """What is kept: results and cancelled jobs so long, and so many of each. None: all."""

    seconds: float | None = None
    count: int | None = None

    @property
    def is_for_ever(self) -> bool:
        """Whether nothing is ever removed."""
        return self.seconds is None and self.count is None


class CautiousClock:
    """Wall time as far as things may be removed by it.

    A step forward (a wrong clock, set by hand or by the network) would make everything look old at
    once, so it is followed only after it has lasted a day. A step back is followed at once.
    """

    def __init__(self, wall: float, monotonic: float) -> None:
        self._time = wall
        self._read_at = monotonic
        self._stepped_at: float | None = None

    def read(self, wall: float, monotonic: float) -> float:
        """The time to judge ages by. `wall` and `monotonic` are read at the same moment."""
        expected = self._time + (monotonic - self._read_at)
        if wall <= expected + _STEP_SECONDS:
            self._stepped_at = None
            expected = wall
        elif self._stepped_at is None:
            self._stepped_at = monotonic
        elif monotonic - self._stepped_at >= _BELIEVED_AFTER_SECONDS:
            self._stepped_at = None
            expected = wall
        self._time, self._read_at = expected, monotonic
        return expected

    @property
    def is_doubting(self) -> bool:
        """Whether the wall clock is ahead and not followed."""
        return self._stepped_at is not None
