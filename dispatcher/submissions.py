"""What clients ask: submit, wait, follow, list, cancel, verify."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from dispatcher import hashing, numbers, plates
from dispatcher.admission import Admission
from dispatcher.followers import Following, OnFinal
from dispatcher.hashing import Cost, MalformedHashError, Verdict
from dispatcher.jobs import Job, JobKey, JobNames, JobSpec, JobState, Profile
from dispatcher.numbers import InvalidRequestError, Violation
from dispatcher.plates import NumberFormats
from dispatcher.ports import (
    Accepted,
    BusyError,
    JobStore,
    KeySource,
    OverloadedError,
    Stored,
    VerificationsOverloadedError,
)
from dispatcher.pump import Pump
from dispatcher.telemetry import Telemetry
from servicekit.clock import Clock

_RESULTS_PAGE = 256
_BUSY_RETRY_SECONDS = 0.1
_MAX_VERIFICATIONS = 2
_MAX_WAITING_VERIFICATIONS = 64


class Submissions:
    """See `ports.ClientDesk`."""

    def __init__(
        self,
        *,
        pump: Pump,
        store: JobStore,
        clock: Clock,
        telemetry: Telemetry,
        names: JobNames,
        pepper: KeySource,
        formats: NumberFormats,
        profile: Profile,
        cost: Cost,
        max_unfinished: int,
    ) -> None:
        self._pump = pump
        self._store = store
        self._clock = clock
        self._telemetry = telemetry
        self._names = names
        self._pepper = pepper
        self._formats = formats
        self._profile = profile
        self._cost = cost
        self._max_unfinished = max_unfinished
        self._arriving = 0
        # Two at a time: more would only take the other calls' CPU and memory. A pool and no
        # semaphore: a call that is cancelled frees its place when its thread is done, not before.
        self._verifiers = ThreadPoolExecutor(_MAX_VERIFICATIONS, thread_name_prefix="verify")
        self._verifying = 0
        self._admission = Admission()

    def admit(self) -> Callable[[bool], None]:
        """See `ports.ClientDesk.admit`."""
        # Each of those that were let in and not read yet has a job at least.
        unread = max(0, self._admission.waiting - self._arriving)
        unfinished = self._unfinished + unread
        if unfinished >= self._max_unfinished:
            self._telemetry.overloaded(1)
            self._admission.refuse(self._clock.monotonic())
            raise OverloadedError(unfinished, self._max_unfinished, retry_seconds=1.0)
        ticket = self._admission.enter(self._clock.monotonic())
        if ticket is None:
            self._telemetry.turned_away()
            raise BusyError(_BUSY_RETRY_SECONDS)
        leave, now = self._admission.leave, self._clock.monotonic
        return lambda is_accepted: leave(ticket, now(), is_accepted=is_accepted)

    async def submit(self, request_id: str, specs: Sequence[JobSpec]) -> list[JobKey]:
        """See `ports.ClientDesk.submit`."""
        self._pump.health.check_accepting()
        keyring = self._pepper.keyring
        jobs = numbers.new_jobs(
            specs, keyring=keyring, default=self._profile, formats=self._formats
        )
        unfinished = self._unfinished
        if unfinished + len(jobs) > self._max_unfinished:
            self._telemetry.overloaded(len(jobs))
            raise OverloadedError(unfinished, self._max_unfinished, retry_seconds=1.0)
        digests = hashing.request_digests(numbers.content(specs, jobs), keyring)
        at = self._clock.wall()

        def kept(accepted: Accepted) -> None:
            if accepted.is_fresh:
                self._pump.submitted(accepted.first, jobs, at)

        self._arriving += len(jobs)
        try:
            # The store tells: a caller that goes away must not keep stored jobs out of the ledger.
            accepted = await self._store.submit(request_id, digests, jobs, at, kept)
        finally:
            self._arriving -= len(jobs)
        return accepted.keys

    async def room(self, jobs: int) -> None:
        """See `ports.ClientDesk.room`."""
        least = self._max_unfinished - min(jobs, numbers.MAX_BATCH)
        while self._unfinished > least:
            await self._pump.recent.news()

    @property
    def _unfinished(self) -> int:
        return self._pump.ledger.counts.unfinished + self._arriving

    def job_key(self, name: str) -> JobKey | None:
        """See `ports.ClientDesk.job_key`."""
        return self._names.key(name)

    def job_name(self, key: JobKey) -> str:
        """See `ports.ClientDesk.job_name`."""
        return self._names.name(key)

    def was_accepted(self, key: JobKey) -> bool:
        """See `ports.ClientDesk.was_accepted`."""
        return 1 <= key <= self._pump.ledger.counts.accepted

    async def jobs(self, keys: Sequence[JobKey]) -> list[Job | None]:
        """See `ports.ClientDesk.jobs`."""
        return [job and self._now(job) for job in await self._store.jobs(keys)]

    async def wait(self, keys: Sequence[JobKey], timeout: float) -> None:
        """See `ports.ClientDesk.wait`."""
        done = asyncio.Event()

        def final(_jobs: Sequence[Job]) -> None:
            if not following.pending:
                done.set()

        following = self._pump.follow(final)
        following.add(key for key in keys if self.is_unfinished(key))
        try:
            if following.pending:
                async with asyncio.timeout(timeout):
                    await done.wait()
        except TimeoutError:
            pass
        finally:
            following.stop()

    def follow(self, on_final: OnFinal) -> Following:
        """See `ports.ClientDesk.follow`."""
        return self._pump.follow(on_final)

    def is_unfinished(self, key: JobKey) -> bool:
        """See `ports.ClientDesk.is_unfinished`."""
        return self._pump.ledger.is_unfinished(key)

    async def cancel(self, keys: Sequence[JobKey]) -> None:
        """See `ports.ClientDesk.cancel`."""
        self._pump.cancel(keys)
        unfinished = [key for key in keys if self._pump.ledger.is_unfinished(key)]
        await self.wait(unfinished, timeout=30.0)

    async def page(
        self, after: JobKey, limit: int, states: frozenset[JobState]
    ) -> tuple[list[Job], JobKey | None]:
        """See `ports.ClientDesk.page`."""
        found = await self._store.page(after, limit, states or None)
        following = found[-1].key if len(found) == limit else None
        shown = [self._now(job) for job in found]
        return [job for job in shown if not states or job.state in states], following

    async def newest(self) -> int:
        """See `ports.ClientDesk.newest`."""
        return await self._store.last_cursor()

    async def results(self, after: int, *, is_endless: bool) -> AsyncIterator[Sequence[Stored]]:
        """See `ports.ClientDesk.results`."""
        cursor = after
        recent, counts = self._pump.recent, self._pump.ledger.counts
        # What was stored before this began comes from the store: retention may have removed some.
        is_live = False
        recent.enter()
        try:
            while True:
                seen = counts.done + counts.failed
                found = recent.after(cursor, _RESULTS_PAGE) if is_live else None
                if found is None:
                    found = await self._store.results(cursor, _RESULTS_PAGE)
                    is_live = not found
                if found:
                    cursor = found[-1].cursor
                    yield found
                elif not is_endless:
                    return
                elif counts.done + counts.failed == seen:
                    await recent.news()
        finally:
            recent.leave()

    async def verify(self, number: str, stored: str) -> Verdict:
        """See `ports.ClientDesk.verify`."""
        # Any format: the hash may be older than the formats that are accepted today.
        faults = [Violation("number", fault)] if (fault := plates.form_fault(number)) else []
        try:
            form = hashing.parse(stored)
        except MalformedHashError as error:
            raise InvalidRequestError(*faults, Violation("hash", str(error))) from None
        if faults:
            raise InvalidRequestError(*faults)
        if self._verifying >= _MAX_WAITING_VERIFICATIONS:
            raise VerificationsOverloadedError(self._verifying, retry_seconds=1.0)
        check = partial(
            hashing.verify,
            number,
            form,
            self._pepper.keyring,
            profile=self._profile,
            cost=self._cost,
        )
        self._verifying += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._verifiers, check)
        finally:
            self._verifying -= 1

    def _now(self, job: Job) -> Job:
        if job.state is JobState.READY and self._pump.ledger.is_leased(job.key):
            return replace(job, state=JobState.LEASED)
        return job
