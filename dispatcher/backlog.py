"""The unfinished jobs that no worker holds, the attempts and the counts. Pure."""

from collections.abc import Container, Iterable, Sequence
from typing import NamedTuple

from dispatcher.attempts import Attempts
from dispatcher.isolation import Suspects
from dispatcher.jobs import Counts, JobKey, JobState, Profile
from dispatcher.ready import Facts, ReadyQueue, Run, runs_of


class Unfinished(NamedTuple):
    """Unfinished jobs as the store gives them back at start: `size` keys from `key` on."""

    key: JobKey
    profile: Profile
    accepted_at: float
    attempts: int
    size: int = 1


class Taken(NamedTuple):
    """Jobs taken for leases: `size` keys from `key` on; `first_leases` of them had none before."""

    key: JobKey
    facts: Facts
    first_leases: int
    size: int = 1

    @property
    def first_accepted(self) -> tuple[float, int]:
        """When those that are leased for the first time were accepted, and how many they are."""
        return self.facts.accepted_at, self.first_leases


class Backlog:
    """Three queues: jobs that came back, jobs from before a restart, and new ones, in that order.

    The second is closed while workers from before the restart may still return with jobs in hand.
    Beside them wait the suspects, which are leased alone.
    """

    def __init__(
        self, *, counts: Counts | None = None, recovered: Iterable[Unfinished] = ()
    ) -> None:
        self.counts = Counts() if counts is None else counts
        self.is_recovering = False
        self._has_missing_workers = False
        self.attempts = Attempts()
        self.suspects = Suspects()
        self._returned = ReadyQueue()
        self._recovered = ReadyQueue()
        self._fresh = ReadyQueue()
        self._withdrawing: dict[JobKey, JobState] = {}
        self._last_recovered = 0
        for job in recovered:
            self._last_recovered = max(self._last_recovered, job.key + job.size - 1)
            self._recovered.extend([Run(job.key, job.size, Facts(job.profile, job.accepted_at))])
            if job.attempts:
                for key in range(job.key, job.key + job.size):
                    self.attempts.restore(JobKey(key), job.attempts)
        self.counts.ready = len(self._recovered)
        self.counts.leased = 0

    def __contains__(self, key: JobKey) -> bool:
        return (
            key in self._returned
            or key in self._recovered
            or key in self._fresh
            or key in self.suspects
        )

    @property
    def has_leasable(self) -> bool:
        """Whether some job could be leased now."""
        return bool(
            self._returned
            or self._fresh
            or self.suspects
            or (self._recovered and not self.is_recovering)
        )

    def give_up_missing_workers(self) -> None:
        """Workers from before the restart stay away: their jobs are open to others.

        From then on what they held cannot be told apart from what nobody ever had.
        """
        self.is_recovering = False
        self._has_missing_workers = True

    def may_be_recovered(self, key: JobKey) -> bool:
        """True for jobs that may be from before the restart; false for all that came after it."""
        return key <= self._last_recovered

    def is_withdrawing(self, key: JobKey) -> bool:
        """True while a final state other than a worker's result is on its way to the disk."""
        return key in self._withdrawing

    def is_recovered(self, key: JobKey) -> bool:
        """Whether the job is from before a restart and nobody has had it since."""
        return key in self._recovered

    def submit(self, first: JobKey, profiles: Sequence[Profile], accepted_at: float) -> None:
        """Adds a batch that is on disk; its keys follow one another."""
        self._fresh.extend(runs_of(first, profiles, accepted_at))
        self.counts.accepted += len(profiles)
        self.counts.ready += len(profiles)

    def take(self, profiles: Container[Profile], most: int = 1) -> Taken | None:
        """Takes the foremost jobs for leases, at most so many; there may be more at once."""
        for queue in self._open_queues():
            if len(queue) and (run := queue.take(profiles, most)) is not None:
                self.counts.ready -= run.size
                self.counts.leased += run.size
                return Taken(run.first, run.facts, self._first_leases(queue, run), run.size)
        return None

    def _first_leases(self, queue: ReadyQueue, run: Run) -> int:
        """How many of the jobs no worker has had, as far as that is known.

        Leases are not on disk. But workers that come back name what they hold, so that a job from
        before the restart that nobody named, and of which no attempt failed, was never leased.
        """
        if queue is self._fresh:
            return run.size
        if queue is not self._recovered or self._has_missing_workers:
            return 0
        if not self.attempts:
            return run.size
        keys = range(run.first, run.first + run.size)
        return sum(not self.attempts.of(JobKey(key)) for key in keys)

    def claim(self, key: JobKey) -> Facts | None:
        """Takes a named job, for a worker that already has it; None when it is not ready."""
        for queue in (self._returned, self._recovered, self._fresh, self.suspects):
            if (facts := queue.discard(key)) is not None:
                self.counts.ready -= 1
                self.counts.leased += 1
                return facts
        return None

    def give_back(self, jobs: Sequence[tuple[JobKey, Facts]]) -> None:
        """Puts leased jobs in front of all others."""
        self._returned.insert(jobs)
        self.counts.ready += len(jobs)
        self.counts.leased -= len(jobs)

    def isolate(self, key: JobKey, facts: Facts) -> None:
        """Puts a leased job among the suspects."""
        self.suspects.append(key, facts)
        self.counts.ready += 1
        self.counts.leased -= 1

    def withdraw_ready(self, key: JobKey) -> bool:
        """Takes a ready job out for good; it counts as ready until `finish`."""
        for queue in (self._returned, self._recovered, self._fresh, self.suspects):
            if queue.discard(key) is not None:
                self._withdrawing[key] = JobState.READY
                return True
        return False

    def withdraw_leased(self, key: JobKey) -> None:
        """Marks a leased job whose lease is gone; it counts as leased until `finish`."""
        self._withdrawing[key] = JobState.LEASED

    def finish(self, key: JobKey, state: JobState) -> None:
        """Records that a final state is on disk."""
        self.attempts.forget(key)
        if self._withdrawing.pop(key, JobState.LEASED) is JobState.READY:
            self.counts.ready -= 1
        else:
            self.counts.leased -= 1
        if state is JobState.DONE:
            self.counts.done += 1
        elif state is JobState.FAILED:
            self.counts.failed += 1
        else:
            self.counts.cancelled += 1

    def oldest_ready(self) -> float | None:
        """The earliest acceptance among the ready jobs; None without any."""
        queues = (self._returned, self._recovered, self._fresh, self.suspects)
        return min((at for queue in queues if (at := queue.oldest()) is not None), default=None)

    def _open_queues(self) -> tuple[ReadyQueue, ...]:
        if self.is_recovering:
            return self._returned, self._fresh
        return self._returned, self._recovered, self._fresh
