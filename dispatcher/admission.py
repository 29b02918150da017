"""Whether one more submission may be taken in. Pure; times are monotonic seconds.

A call that cannot be answered soon is better refused at once, before it is read: that costs a
tenth, and those that were let in are answered in time. Every call is counted from its head to its
end, so that nothing waits where nobody sees it.

How many and how long is too much depends on what was before. A burst, a checkpoint or a neighbour
that takes the processors for a moment must not refuse anybody: those waits end by themselves. What
does not end by itself is a standing queue (for some time now the mean wait was too long and it was
never empty; the idea is CoDel's), one in which the oldest waits for long, or a full backlog. Then
there are more calls than can be served, and a patient limit would only let the queue grow to it
again and again. So for a second no more may wait than are answered in a few milliseconds; how many
that is was measured (Little's law). Each refusal prolongs that a little: fifty in a second make it
last, a few that chance alone brings do not.

Small groups for the disk cost more than large ones: what overload leaves of the capacity may be
less than what is offered, though all of it could be served. So now and then more are let in for a
moment, and when nobody had to be refused, it is over.
"""

from itertools import count

MAX_WAITING = 64
PATIENT_SECONDS = 0.25
SOON_SECONDS = 0.02
STANDING_SECONDS = 0.2
STRICT_SECONDS = 0.0015
OVERLOAD_SECONDS = 1.0
PROLONGED_SECONDS = 0.02
PROBE_EVERY_SECONDS = 10.0
PROBE_SECONDS = 0.1
PROBE_WAITING = 24
# In overload, too, so many may wait: they are the next group for the disk.
LEAST_WAITING = 5
_WINDOW_SECONDS = 0.1
# What one wait counts in the mean: after a stall it takes some dozens to be forgotten.
_WAIT_SHARE = 1 / 32
# What could be answered a while ago can probably be answered now: the rate falls by half in 3 s.
_MEMORY = 0.98


class Admission:
    """The submissions that wait, the oldest first, and how many are answered in a second."""

    def __init__(self) -> None:
        self._tickets = count()
        self._since: dict[int, float] = {}
        self._soon_at = 0.0
        self._wait = 0.0
        self._strict_until = 0.0
        self._probe_at = 0.0
        self._rate = 0.0
        self._answered = 0
        self._window_at = 0.0

    def enter(self, now: float) -> int | None:
        """Takes a call in: the ticket for `leave`. None: refuse it."""
        waiting = len(self._since)
        if waiting < LEAST_WAITING:
            if not waiting:
                self._soon_at = now
        elif now < self._strict_until:
            if self._is_over_limit(waiting, now):
                self.refuse(now)
                return None
        elif waiting >= MAX_WAITING and self._is_overloaded(now):
            self.refuse(now)
            return None
        ticket = next(self._tickets)
        self._since[ticket] = now
        return ticket

    def refuse(self, now: float) -> None:
        """A call is refused for want of room in the queue: that is overload, too."""
        if now < self._strict_until:
            prolonged = self._strict_until + PROLONGED_SECONDS
            self._strict_until = min(prolonged, now + OVERLOAD_SECONDS)
        else:
            self._strict_until = now + OVERLOAD_SECONDS
            self._probe_at = now + PROBE_EVERY_SECONDS

    def leave(self, ticket: int, now: float, *, is_accepted: bool) -> None:
        """The call is over; only those whose jobs are stored tell how fast that goes."""
        since = self._since.pop(ticket)
        if not is_accepted:
            return
        self._wait += (now - since - self._wait) * _WAIT_SHARE
        if self._wait < SOON_SECONDS:
            self._soon_at = now
        self._answered += 1
        if (took := now - self._window_at) >= _WINDOW_SECONDS:
            self._rate = max(self._answered / took, self._rate * _MEMORY)
            self._answered, self._window_at = 0, now

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._since)

    def _is_over_limit(self, waiting: int, now: float) -> bool:
        if now < self._probe_at:
            return waiting >= self._rate * STRICT_SECONDS
        if waiting >= PROBE_WAITING:
            self._probe_at = now + PROBE_EVERY_SECONDS
            return True
        if now >= self._probe_at + PROBE_SECONDS:
            self._strict_until = self._soon_at = now
        return False

    def _is_overloaded(self, now: float) -> bool:
        if now - next(iter(self._since.values())) >= PATIENT_SECONDS:
            return True
        return self._wait >= SOON_SECONDS and now - self._soon_at >= STANDING_SECONDS
