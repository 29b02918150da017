"""A job store that keeps nothing: for trying out and for tests. Passes the same contract suite."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from dispatcher.backlog import Unfinished
from dispatcher.jobs import (
    MAX_HISTORY,
    Attempt,
    Cancelled,
    Counts,
    Done,
    Failed,
    Final,
    Job,
    JobKey,
    JobState,
    NewJob,
    Payload,
    Result,
)
from dispatcher.ports import (
    Accepted,
    Recovered,
    RequestConflictError,
    Stored,
    StoreUnavailableError,
)


@dataclass
class MemoryDisk:
    """What outlives a store object, as a disk would."""

    generation: int = 0
    counts: Counts = field(default_factory=Counts)
    jobs: dict[JobKey, Job] = field(default_factory=dict)
    payloads: dict[JobKey, Payload] = field(default_factory=dict)
    results: dict[int, tuple[JobKey, float]] = field(default_factory=dict)
    """By place in the sequence of results, with the time; the oldest first."""
    cancelled: dict[int, tuple[JobKey, float]] = field(default_factory=dict)
    """Likewise."""
    requests: dict[str, tuple[str, Accepted, float]] = field(default_factory=dict)
    cordons: dict[str, str] = field(default_factory=dict)
    connected: set[str] = field(default_factory=set)


class MemoryStore:
    """See `ports.JobStore`. `fault`, when set, is raised by every write."""

    def __init__(self, disk: MemoryDisk | None = None) -> None:
        self._disk = MemoryDisk() if disk is None else disk
        self.fault: StoreUnavailableError | None = None

    def open(self) -> Recovered:
        """See `ports.JobStore.open`."""
        disk = self._disk
        disk.generation += 1
        return Recovered(
            store_id="00000000",
            generation=disk.generation,
            counts=replace(disk.counts),
            unfinished=[
                Unfinished(job.key, job.profile, job.accepted_at, job.attempts)
                for job in disk.jobs.values()
                if job.state is JobState.READY
            ],
            cordons=dict(disk.cordons),
            connected=frozenset(disk.connected),
        )

    async def submit(
        self,
        request_id: str,
        digests: Sequence[str],
        jobs: Sequence[NewJob],
        at: float,
        on_kept: Callable[[Accepted], None] = lambda _: None,
    ) -> Accepted:
        """See `ports.JobStore.submit`."""
        disk = self._write()
        if request_id in disk.requests:
            digest, accepted, _ = disk.requests[request_id]
            if digest not in digests:
                raise RequestConflictError(request_id)
            known = replace(accepted, is_fresh=False)
            on_kept(known)
            return known
        first = JobKey(disk.counts.accepted + 1)
        disk.counts.accepted += len(jobs)
        accepted = Accepted(first, len(jobs), is_fresh=True)
        for key, job in zip(accepted.keys, jobs, strict=True):
            disk.payloads[key] = job.payload
            disk.jobs[key] = Job(key, JobState.READY, job.payload.profile, at, 0, job.reference)
        disk.requests[request_id] = (digests[0], accepted, at)
        on_kept(accepted)
        return accepted

    async def settle(self, finals: Sequence[Final], at: float) -> int | None:
        """See `ports.JobStore.settle`."""
        disk = self._write()
        first = disk.counts.done + disk.counts.failed + 1
        is_gapless = True
        for final in finals:
            job = disk.jobs.get(final.key)
            if job is None or job.state.is_final:
                is_gapless = False
                continue
            del disk.payloads[final.key]
            counts = disk.counts
            match final:
                case Done(hash=digest, worker_id=worker, service_seconds=seconds):
                    result = Result(digest, at, worker, seconds)
                    disk.jobs[final.key] = replace(job, state=JobState.DONE, result=result)
                    counts.done += 1
                case Failed(failure=failure):
                    disk.jobs[final.key] = replace(job, state=JobState.FAILED, failure=failure)
                    counts.failed += 1
                case Cancelled():
                    disk.jobs[final.key] = replace(job, state=JobState.CANCELLED)
                    counts.cancelled += 1
                    disk.cancelled[counts.cancelled] = (final.key, at)
                    continue
            disk.results[counts.done + counts.failed] = (final.key, at)
        return first if is_gapless else None

    async def count_attempts(self, attempts: Sequence[tuple[JobKey, Attempt]]) -> None:
        """See `ports.JobStore.count_attempts`."""
        disk = self._write()
        for key, attempt in attempts:
            job = disk.jobs[key]
            history = (*job.history, attempt)[-MAX_HISTORY:]
            disk.jobs[key] = replace(job, attempts=attempt.ordinal, history=history)

    async def set_cordon(self, worker_id: str, reason: str | None) -> None:
        """See `ports.JobStore.set_cordon`."""
        disk = self._write()
        if reason is None:
            disk.cordons.pop(worker_id, None)
        else:
            disk.cordons[worker_id] = reason

    async def set_connected(self, worker_id: str, is_connected: bool) -> None:
        """See `ports.JobStore.set_connected`."""
        disk = self._write()
        (disk.connected.add if is_connected else disk.connected.discard)(worker_id)

    async def forget_requests(self, before: float, limit: int) -> int:
        """See `ports.JobStore.forget_requests`."""
        disk = self._write()
        old = [name for name, kept in disk.requests.items() if kept[2] < before][:limit]
        for name in old:
            del disk.requests[name]
        return len(old)

    async def remove_finals(self, *, before: float | None, keep: int | None, limit: int) -> int:
        """See `ports.JobStore.remove_finals`."""
        disk = self._write()
        removed = 0
        newest = disk.counts.done + disk.counts.failed, disk.counts.cancelled
        for sequence, last in zip((disk.results, disk.cancelled), newest, strict=True):
            for place, (key, at) in list(sequence.items()):
                is_surplus = keep is not None and place <= last - keep
                is_old = before is not None and at < before
                if removed == limit or not (is_surplus or is_old):
                    break
                del sequence[place], disk.jobs[key]
                removed += 1
        return removed

    async def check(self) -> str | None:
        """See `ports.JobStore.check`."""
        return None

    async def jobs(self, keys: Sequence[JobKey]) -> list[Job | None]:
        """See `ports.JobStore.jobs`."""
        return [self._disk.jobs.get(key) for key in keys]

    async def unfinished(self, keys: Sequence[JobKey]) -> dict[JobKey, NewJob]:
        """See `ports.JobStore.unfinished`."""
        disk = self._disk
        return {
            key: NewJob(disk.payloads[key], disk.jobs[key].reference)
            for key in keys
            if key in disk.payloads
        }

    async def page(
        self, after: JobKey, limit: int, states: frozenset[JobState] | None
    ) -> list[Job]:
        """See `ports.JobStore.page`."""
        wanted = set(JobState if states is None else states)
        if JobState.LEASED in wanted:
            wanted.add(JobState.READY)
        jobs = self._disk.jobs.values()
        return [job for job in jobs if job.key > after and job.state in wanted][:limit]

    async def results(self, after: int, limit: int) -> list[Stored]:
        """See `ports.JobStore.results`."""
        disk = self._disk
        places = [place for place in disk.results if place > after][:limit]
        return [Stored(place, disk.jobs[disk.results[place][0]]) for place in places]

    async def last_cursor(self) -> int:
        """See `ports.JobStore.last_cursor`."""
        return self._disk.counts.done + self._disk.counts.failed

    async def close(self) -> None:
        """See `ports.JobStore.close`."""

    def _write(self) -> MemoryDisk:
        if self.fault is not None:
            raise self.fault
        return self._disk
