"""The ready jobs, in the order in which they will be leased. Pure.

A million jobs must fit, so a ready job is a key, shared facts and a place in a deque; what a worker
needs is read from the store when the job is leased. A job that leaves the queue out of
order (cancelled, or finished by a late result) leaves a gap that `pop` skips.
"""

from collections import deque
from collections.abc import Container, Iterable
from typing import NamedTuple

from dispatcher.jobs import JobKey, Profile


class Facts(NamedTuple):
    """What the ledger knows of an unfinished job. One object serves a whole batch."""

    profile: Profile
    accepted_at: float


class ReadyQueue:
    """A first-in first-out queue per profile, read across profiles in the order of the keys."""

    def __init__(self) -> None:
        self._facts: dict[JobKey, Facts] = {}
        self._queues: dict[Profile, deque[JobKey]] = {profile: deque() for profile in Profile}

    def __len__(self) -> int:
        return len(self._facts)

    def __contains__(self, key: object) -> bool:
        return key in self._facts

    def append(self, key: JobKey, facts: Facts) -> None:
        """Adds a job at the end."""
        self._facts[key] = facts
        self._queues[facts.profile].append(key)

    def insert(self, jobs: Iterable[tuple[JobKey, Facts]]) -> None:
        """Adds jobs in front of all others, the first of `jobs` foremost."""
        for key, facts in reversed(list(jobs)):
            self._facts[key] = facts
            self._queues[facts.profile].appendleft(key)

    def pop(self, profiles: Container[Profile]) -> tuple[JobKey, Facts] | None:
        """Takes the foremost job of one of the profiles; None when there is none."""
        best: JobKey | None = None
        for profile, queue in self._queues.items():
            head = self._head(queue)
            if head is not None and profile in profiles and (best is None or head < best):
                best = head
        if best is None:
            return None
        facts = self._facts.pop(best)
        self._queues[facts.profile].popleft()
        return best, facts

    def discard(self, key: JobKey) -> Facts | None:
        """Takes a job out, wherever it is; None when it is not there."""
        return self._facts.pop(key, None)

    def oldest(self) -> float | None:
        """The earliest time of acceptance among the foremost jobs; None when empty."""
        heads = (self._head(queue) for queue in self._queues.values())
        return min(
            (self._facts[head].accepted_at for head in heads if head is not None), default=None
        )

    def _head(self, queue: deque[JobKey]) -> JobKey | None:
        while queue:
            if queue[0] in self._facts:
                return queue[0]
            queue.popleft()
        return None
