"""In-memory stand-ins for the stack's ports."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

from virtscale.client.errors import DispatcherError
from virtscale.client.retries import RetryPolicy
from virtscale.client.values import Backlog, Exported, Job, JobSpec, Verdict, Verify, Worker

from stack.ports import DomainsError, DomainView


class ManualClock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


class FakeDispatcher:
    """Stores jobs once per request_id; `failures` are raised before each call succeeds."""

    def __init__(self, *, is_instant: bool = True) -> None:
        self.failures: list[DispatcherError] = []
        self.jobs: dict[str, Job] = {}
        self.specs: dict[str, JobSpec] = {}
        self.calls: list[str] = []
        self.is_instant = is_instant
        self._ids = (f"job-{number}" for number in itertools.count())

    def with_retry(
        self, retry: RetryPolicy, on_trouble: Callable[[DispatcherError], None]
    ) -> "FakeDispatcher":
        return self

    async def submit(self, jobs: Sequence[JobSpec]) -> list[str]:
        self._maybe_fail("submit")
        ids = [next(self._ids) for _ in jobs]
        for job_id, spec in zip(ids, jobs, strict=True):
            self.specs[job_id] = spec
            self.jobs[job_id] = Job(job_id, "ready", spec.reference)
            if self.is_instant:
                self.finish(job_id)
        return ids

    def finish(self, job_id: str) -> None:
        spec = self.specs[job_id]
        seconds = spec.load.repetitions / 10_000 if isinstance(spec.load, Verify) else 0.01
        self.jobs[job_id] = replace(
            self.jobs[job_id],
            state="done",
            hash=f"hash-of-{job_id}",
            profile=spec.profile or "",
            completed_at=1_000.0,
            service_seconds=seconds,
        )

    async def wait(self, job_ids: Sequence[str], *, seconds: float) -> list[Job]:
        self._maybe_fail("wait")
        return [self.jobs[job_id] for job_id in job_ids]

    async def results(self) -> AsyncIterator[Exported]:
        self._maybe_fail("results")
        sent: set[str] = set()
        while True:
            for job in list(self.jobs.values()):
                if job.is_final and job.job_id not in sent:
                    sent.add(job.job_id)
                    yield Exported(job, job.job_id)
            await asyncio.sleep(0)

    async def verify(self, number: str, stored: str) -> Verdict:
        job_id = stored.removeprefix("hash-of-")
        return Verdict(job_id in self.specs and self.specs[job_id].number == number, False)

    async def workers(self) -> list[Worker]:
        self._maybe_fail("workers")
        return []

    async def backlog(self) -> Backlog:
        self._maybe_fail("backlog")
        return Backlog(len(self.jobs), 0, 0, len(self.jobs), 0, 0, None, 1)

    async def drain(self, worker_id: str, *, reason: str, seconds: float) -> None:
        self.calls.append(f"drain {worker_id}")

    def _maybe_fail(self, call: str) -> None:
        self.calls.append(call)
        if self.failures:
            raise self.failures.pop(0)


class FakeDomains:
    """Domains that react to the power button only after `deaf_for` presses."""

    def __init__(self, *names: str, deaf_for: int = 0) -> None:
        self.states = {name: "running" for name in names}
        self.deaf_for = deaf_for
        self.presses: list[str] = []
        self.destroyed: list[str] = []
        self.failures = 0

    async def list_domains(self) -> list[DomainView]:
        if self.failures:
            self.failures -= 1
            raise DomainsError("libvirt is away")
        return [DomainView(name, state) for name, state in self.states.items()]  # type: ignore[arg-type]

    async def shutdown(self, name: str) -> None:
        self.presses.append(name)
        if self.presses.count(name) > self.deaf_for:
            self.states[name] = "off"

    async def destroy(self, name: str) -> None:
        self.destroyed.append(name)
        self.states[name] = "off"
