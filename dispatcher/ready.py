"""The ready jobs, in the order in which they will be leased. Pure.

Jobs arrive in batches, so the queue holds runs: the first key, how many follow, when they were
accepted, in three packed arrays. A batch of a thousand costs as much as one job, 24 bytes; the time
per job does not depend on how many wait. A job that leaves out of order (cancelled, or finished by
a late result) leaves a gap, which is skipped when its turn comes.
"""

from array import array
from bisect import bisect_right
from collections.abc import Container, Iterable, Sequence
from typing import NamedTuple

from dispatcher.jobs import JobKey, Profile
from dispatcher.key_sets import KeySet


class Facts(NamedTuple):
    """What the ledger knows of an unfinished job. One object serves a whole batch."""

    profile: Profile
    accepted_at: float


class Run(NamedTuple):
    """Jobs whose keys follow one another."""

    first: JobKey
    size: int
    facts: Facts


# Runs that are used up stay at the front until there are so many: to move the others is not free.
_MAX_STALE = 1024


class _Runs:
    """The runs of one profile, in the order of their keys, and the gaps in them."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._first = array("q")
        self._count = array("q")
        self._at = array("d")
        self._stale = 0
        self._gaps = KeySet()
        self.size = 0

    def add(self, first: int, count: int, at: float) -> None:
        place = bisect_right(self._first, first, self._stale)
        self.size += count
        if place > self._stale:
            before = place - 1
            end = self._first[before] + self._count[before]
            if first < end:
                # A job that left a gap in this very run comes back.
                for key in range(first, first + count):
                    self._gaps.discard(JobKey(key))
                return
            if first == end and at == self._at[before]:
                self._count[before] += count
                return
        elif self._stale:
            self._stale -= 1
            place = self._stale
            self._first[place], self._count[place], self._at[place] = first, count, at
            return
        self._first.insert(place, first)
        self._count.insert(place, count)
        self._at.insert(place, at)

    def head(self) -> int | None:
        """The foremost key; None without any."""
        while self._stale < len(self._first):
            place = self._stale
            key = self._first[place]
            if not (self._gaps and self._gaps.discard(JobKey(key))):
                return key
            self._trim(place, 1)
        return None

    def take(self, before: int | None, most: int) -> Run:
        """The foremost jobs: at most so many, none from the key `before` on, of one acceptance."""
        first = self.head()
        assert first is not None
        place = self._stale
        end = first + min(most, self._count[place])
        if before is not None:
            end = min(end, before)
        if self._gaps and (gap := self._gaps.first(first, end)) is not None:
            end = gap
        facts = Facts(self._profile, self._at[place])
        self._trim(place, end - first)
        self.size -= end - first
        return Run(JobKey(first), end - first, facts)

    def has(self, key: int) -> bool:
        place = bisect_right(self._first, key, self._stale) - 1
        return (
            place >= self._stale
            and key < self._first[place] + self._count[place]
            and key not in self._gaps
        )

    def discard(self, key: JobKey) -> Facts | None:
        if not self.has(key):
            return None
        place = bisect_right(self._first, key, self._stale) - 1
        self._gaps.add(key)
        self.size -= 1
        return Facts(self._profile, self._at[place])

    def oldest(self) -> float | None:
        return None if self.head() is None else self._at[self._stale]

    def _trim(self, place: int, count: int) -> None:
        self._first[place] += count
        self._count[place] -= count
        if self._count[place] == 0:
            self._stale += 1
            if self._stale > _MAX_STALE and self._stale > len(self._first) // 2:
                for column in (self._first, self._count, self._at):
                    del column[: self._stale]
                self._stale = 0


class ReadyQueue:
    """Ready jobs in the order of their keys, which is that of their acceptance."""

    def __init__(self) -> None:
        self._runs: dict[Profile, _Runs] = {profile: _Runs(profile) for profile in Profile}

    def __len__(self) -> int:
        return sum(runs.size for runs in self._runs.values())

    def __contains__(self, key: int) -> bool:
        return any(runs.size and runs.has(key) for runs in self._runs.values())

    def append(self, key: JobKey, facts: Facts) -> None:
        """Adds a job."""
        self._runs[facts.profile].add(key, 1, facts.accepted_at)

    def extend(self, runs: Iterable[Run]) -> None:
        """Adds runs of jobs; quick when their keys are above all others here."""
        for run in runs:
            self._runs[run.facts.profile].add(run.first, run.size, run.facts.accepted_at)

    def insert(self, jobs: Iterable[tuple[JobKey, Facts]]) -> None:
        """Adds jobs, each where its key belongs."""
        for key, facts in jobs:
            self.append(key, facts)

    def take(self, profiles: Container[Profile], most: int) -> Run | None:
        """Takes the foremost jobs of the profiles, at most so many; None when there are none.

        They are of one profile and one acceptance. There may be more at once: ask again.
        """
        best: _Runs | None = None
        best_head: int | None = None
        following: int | None = None
        for profile, runs in self._runs.items():
            if not runs.size or profile not in profiles:
                continue
            head = runs.head()
            if head is None:
                continue
            if best_head is None or head < best_head:
                best, best_head, following = runs, head, best_head
            elif following is None or head < following:
                following = head
        return None if best is None else best.take(following, most)

    def discard(self, key: JobKey) -> Facts | None:
        """Takes a job out, wherever it is; None when it is not there."""
        for runs in self._runs.values():
            if runs.size and (facts := runs.discard(key)) is not None:
                return facts
        return None

    def oldest(self) -> float | None:
        """The earliest time of acceptance among the foremost jobs; None when empty."""
        found = [at for runs in self._runs.values() if (at := runs.oldest()) is not None]
        return min(found, default=None)


def runs_of(first: JobKey, profiles: Sequence[Profile], accepted_at: float) -> list[Run]:
    """A batch as runs. Most batches are of one profile: one run."""
    shared = {profile: Facts(profile, accepted_at) for profile in set(profiles)}
    if len(shared) == 1:
        return [Run(first, len(profiles), shared[profiles[0]])]
    found: list[Run] = []
    start = 0
    for place in range(1, len(profiles) + 1):
        if place == len(profiles) or profiles[place] != profiles[start]:
            found.append(Run(JobKey(first + start), place - start, shared[profiles[start]]))
            start = place
    return found
