"""When to open the next stream. Pure: randomness is an argument.

Exponential backoff with full jitter, capped low: a resumed domain has a dead connection and should
be back in a moment, and a restarted dispatcher must not meet all workers at once. The first attempt
comes at once: the dispatcher keeps the jobs of a stream that broke only for some 50 ms.
"""

FIRST_SECONDS = 0.01
SECOND_SECONDS = 0.1
CAP_SECONDS = 2.0
# Only a person can help (a wrong token): ask rarely, but ask, since the key may be repaired.
REJECTED_SECONDS = 30.0


class Backoff:
    """Counts failures since the last Welcome and says how long to wait."""

    def __init__(self) -> None:
        self._failures = 0

    def succeeded(self) -> None:
        """A Welcome arrived: the next failure is a first one again."""
        self._failures = 0

    def failed(self, *, rejected: bool, fraction: float) -> float:
        """Seconds to wait after a failure; `fraction` is a fresh random number from 0 to 1."""
        if rejected:
            return REJECTED_SECONDS
        ceiling = FIRST_SECONDS
        if self._failures:
            ceiling = min(CAP_SECONDS, SECOND_SECONDS * 2.0 ** min(self._failures - 1, 30))
        self._failures += 1
        return ceiling * fraction
