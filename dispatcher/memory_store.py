"""A job store that keeps nothing: for trying out and for tests. Passes the same contract suite."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from dispatcher.backlog import Unfinished
from dispatcher.jobs import (
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
    jobs: dict[JobKey, Job] = field(default_factory=dict)
    payloads: dict[JobKey, Payload] = field(default_factory=dict)
    finals: list[JobKey] = field(default_factory=list)
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
        states = [job.state for job in disk.jobs.values()]
        return Recovered(
            store_id="00000000",
            generation=disk.generation,
            counts=Counts(
                accepted=len(states),
                done=states.count(JobState.DONE),
                failed=states.count(JobState.FAILED),
                cancelled=states.count(JobState.CANCELLED),
            ),
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
        first = JobKey(len(disk.jobs) + 1)
        accepted = Accepted(first, len(jobs), is_fresh=True)
        for key, job in zip(accepted.keys, jobs, strict=True):
            disk.payloads[key] = job.payload
            disk.jobs[key] = Job(key, JobState.READY, job.payload.profile, at, 0, job.reference)
        disk.requests[request_id] = (digests[0], accepted, at)
        on_kept(accepted)
        return accepted

    async def settle(self, finals: Sequence[Final], at: float) -> None:
        """See `ports.JobStore.settle`."""
        disk = self._write()
        for final in finals:
            job = disk.jobs.get(final.key)
            if job is None or job.state.is_final:
                continue
            del disk.payloads[final.key]
            match final:
                case Done(hash=digest, worker_id=worker, service_seconds=seconds):
                    result = Result(digest, at, worker, seconds)
                    disk.jobs[final.key] = replace(job, state=JobState.DONE, result=result)
                case Failed(failure=failure):
                    disk.jobs[final.key] = replace(job, state=JobState.FAILED, failure=failure)
                case Cancelled():
                    disk.jobs[final.key] = replace(job, state=JobState.CANCELLED)
            if not isinstance(final, Cancelled):
                disk.finals.append(final.key)

    async def count_attempts(self, attempts: Sequence[tuple[JobKey, int]]) -> None:
        """See `ports.JobStore.count_attempts`."""
        disk = self._write()
        for key, count in attempts:
            disk.jobs[key] = replace(disk.jobs[key], attempts=count)

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

    async def forget_requests(self, before: float) -> None:
        """See `ports.JobStore.forget_requests`."""
        disk = self._write()
        disk.requests = {name: kept for name, kept in disk.requests.items() if kept[2] >= before}

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
        keys = self._disk.finals[after : after + limit]
        return [Stored(after + 1 + place, self._disk.jobs[key]) for place, key in enumerate(keys)]

    async def last_cursor(self) -> int:
        """See `ports.JobStore.last_cursor`."""
        return len(self._disk.finals)

    async def close(self) -> None:
        """See `ports.JobStore.close`."""

    def _write(self) -> MemoryDisk:
        if self.fault is not None:
            raise self.fault
        return self._disk
