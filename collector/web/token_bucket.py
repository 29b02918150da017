"""A rate limit: one token per interval, up to a burst of them. Pure."""


class TokenBucket:
    """`interval_seconds` 0 is no limit."""

    def __init__(self, interval_seconds: float, burst: int) -> None:
        self._interval_seconds = interval_seconds
        self._burst = burst
        self._tokens = float(burst)
        self._seen: float | None = None

    def take(self, now: float) -> bool:
        """Takes a token if there is one; `now` is monotonic time in seconds."""
        if self._interval_seconds <= 0:
            return True
        if self._seen is not None:
            gained = max(0.0, now - self._seen) / self._interval_seconds
            self._tokens = min(float(self._burst), self._tokens + gained)
        self._seen = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
