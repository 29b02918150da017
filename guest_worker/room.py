"""How many jobs a worker may hold: those in its slots and some that wait for one. Pure.

A job that waits here fills a slot without a round trip to the dispatcher, and cannot go to another
worker any more. So the room beyond the slots is measured in time, not in jobs: much for light jobs,
one per slot for heavy ones. A `prefetch` that is configured is kept as it is.
"""

from guest_worker.values import Assignment, Outcome, Refusal

# Seconds of work that may wait behind each slot: several round trips to the dispatcher, which take
# 2 ms when it is busy, and so little that nobody misses it at another worker.
HELD_SECONDS = 0.01
# Jobs that may wait behind each slot, however light: enough for messages and batches in which the
# cost of each job is what counts. A lost worker's jobs are done again, so not more than that.
MAX_WAITING = 32
# What one light job counts in the mean: from one job behind each slot to all, it takes a hundred.
_SHARE = 1 / 32


class Room:
    """Follows the work. `prefetch` is a fixed number of jobs that wait; None: as many as fit."""

    def __init__(self, slots: int, prefetch: int | None) -> None:
        self._slots = slots
        self._prefetch = prefetch
        self._heavy: set[int] = set()
        # CPU seconds of a job, at most HELD_SECONDS: beyond that nothing changes.
        self._mean = HELD_SECONDS

    @property
    def limit(self) -> int:
        """Jobs in progress and credit together."""
        if self._prefetch is not None:
            return self._slots + self._prefetch
        if self._heavy:
            return self._small
        waiting = min(float(MAX_WAITING), HELD_SECONDS / max(self._mean, 1e-9))
        return self._slots + int(self._slots * waiting)

    @property
    def most_overrun(self) -> int:
        """Jobs that may arrive without credit because they were sent before it was taken back."""
        return self._slots * (1 + MAX_WAITING) if self._prefetch is None else 0

    def has_place(self, job: Assignment, in_progress: int) -> bool:
        """Whether the job would begin soon. Jobs begin in the order of their arrival."""
        if self._prefetch is not None:
            return True
        if not job.is_light:
            return len(self._heavy) < self._small
        return len(self._heavy) < self._slots or in_progress < self._small

    def surplus(self, in_progress: int, credit: int) -> int:
        """Credit that must be taken back, lest heavy jobs come for it; the rest may be used up."""
        if self._prefetch is not None or not self._heavy:
            return 0
        return max(0, credit - max(0, self._small - in_progress))

    def begun(self, job: Assignment) -> None:
        """The job is in progress."""
        if self._prefetch is None and not job.is_light:
            self._heavy.add(job.lease.key)
            self._mean = HELD_SECONDS

    def measured(self, outcome: Outcome) -> None:
        """A job in progress is done. More than the mean counts at once, less bit by bit."""
        if outcome.lease.key in self._heavy or isinstance(outcome.result, Refusal):
            return
        spent = outcome.cpu_seconds
        self._mean = min(HELD_SECONDS, max(spent, self._mean + (spent - self._mean) * _SHARE))

    def ended(self, key: int) -> None:
        """The job is no longer in progress."""
        self._heavy.discard(key)

    @property
    def _small(self) -> int:
        return 2 * self._slots
