"""When to try again: pure, the randomness is an argument."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from virtscale.client.errors import DispatcherError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How patient a client is."""

    deadline_seconds: float = 60.0
    """A call fails when it has not succeeded after so long. A stream fails when the dispatcher has
    been away for so long. May be `math.inf`."""
    attempt_seconds: float = 10.0
    """Deadline of each attempt of a short call."""
    first_pause_seconds: float = 0.1
    longest_pause_seconds: float = 2.0


ONCE = RetryPolicy(deadline_seconds=0.0)
"""One attempt; its failure is the call's."""
FOREVER = RetryPolicy(deadline_seconds=math.inf)
"""Waits for a dispatcher that is away however long it takes."""


class Backoff:
    """The pauses of one call or stream: exponential, with full jitter.

    Full jitter keeps a thousand clients of a dispatcher that restarted from coming back in step.
    """

    def __init__(self, policy: RetryPolicy, draw: Callable[[], float], now: float) -> None:
        """`draw` gives uniform values in [0, 1); `now` is any monotonic clock's."""
        self._policy = policy
        self._draw = draw
        self._failures = 0
        self._deadline = now + policy.deadline_seconds

    def attempt_seconds(self, now: float) -> float:
        """Deadline of the attempt that begins now."""
        if self._policy.deadline_seconds <= 0:
            return self._policy.attempt_seconds
        return max(0.001, min(self._policy.attempt_seconds, self._deadline - now))

    def succeeded(self, now: float) -> None:
        """Something came: patience and pauses begin anew."""
        self._failures = 0
        self._deadline = now + self._policy.deadline_seconds

    def pause_seconds(self, error: DispatcherError, now: float) -> float:
        """How long to wait before the next attempt; at least what the dispatcher asked for.

        Raises:
            DispatcherError: the same error, when another attempt makes no sense or comes too late.

        """
        if not error.is_retryable:
            raise error
        longest = min(
            self._policy.longest_pause_seconds,
            self._policy.first_pause_seconds * 2.0 ** min(self._failures, 30),
        )
        self._failures += 1
        pause = (error.retry_seconds or 0.0) + longest * self._draw()
        if now + pause >= self._deadline:
            raise error
        return pause
