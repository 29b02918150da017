"""Whether one more submission may be taken in. Pure; times are monotonic seconds.

A call that cannot be answered soon is better refused at once, before it is read: that costs a
tenth, and those that were let in are answered in time. Calls wait in two places:

- For the disk, where they can be counted. Neither their number nor their age alone says "too
  many": a burst waits briefly and a slow disk holds few. Together they do.
- Inside gRPC, where nobody sees them, once the loop is too busy to take them in. What can be seen
  is that the loop has had no idle moment for some time and met one call after the other.

How long is too long depends on what was before. A burst, a checkpoint or a neighbour that takes the
processors for a moment must not refuse anybody: those waits end by themselves, so the first limit
is patient. Once it was passed there are more calls than can be served, and a patient limit would
only let the queue grow to it again and again: for a second after each refusal the limit is strict.
"""

from itertools import count

MAX_WAITING = 64
MAX_BUSY_ARRIVALS = 64

PATIENT_SECONDS = 0.1
STRICT_SECONDS = 0.005
OVERLOAD_SECONDS = 1.0
# Let in however busy the loop is: bulk on streams may keep it busy for minutes.
ALWAYS_WAITING = 8


class Admission:
    """The submissions that wait, the oldest first, and those that came since the loop was idle."""

    def __init__(self) -> None:
        self._tickets = count()
        self._since: dict[int, float] = {}
        self._idle_at = 0.0
        self._arrivals = 0
        self._strict_until = 0.0

    def enter(self, now: float) -> int:
        """A submission begins to wait; the ticket ends that."""
        ticket = next(self._tickets)
        self._since[ticket] = now
        return ticket

    def leave(self, ticket: int) -> None:
        """The submission was answered, or its caller is gone."""
        del self._since[ticket]

    def waiting(self) -> int:
        """How many wait for the disk."""
        return len(self._since)

    @property
    def has_room(self) -> bool:
        """Whether so few wait that a call is let in in any case."""
        return len(self._since) < ALWAYS_WAITING

    def arrived(self, now: float, idle_at: float) -> bool:
        """Counts a call; whether to take it in. `idle_at`: when the loop last had nothing to do."""
        if idle_at > self._idle_at:
            self._idle_at = idle_at
            self._arrivals = 0
        self._arrivals += 1
        if self.has_room:
            return True
        is_strict = now < self._strict_until
        late = 0.0
        if is_strict or self._arrivals >= MAX_BUSY_ARRIVALS:
            late = now - idle_at
        if is_strict or len(self._since) >= MAX_WAITING:
            late = max(late, now - next(iter(self._since.values())))
        if late < (STRICT_SECONDS if is_strict else PATIENT_SECONDS):
            return True
        self._strict_until = now + OVERLOAD_SECONDS
        return False
