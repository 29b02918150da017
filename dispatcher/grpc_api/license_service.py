"""Clients' calls."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from virtscale.v1 import license_pb2, license_pb2_grpc

from dispatcher import plates
from dispatcher.grpc_api import errors, translation
from dispatcher.hashing import UnknownKeyError
from dispatcher.jobs import Job, JobKey, JobNames
from dispatcher.numbers import InvalidRequestError, Violation
from dispatcher.ports import (
    ClientDesk,
    OverloadedError,
    RequestConflictError,
    StoreUnavailableError,
)

_EXPECTED = (
    InvalidRequestError,
    OverloadedError,
    RequestConflictError,
    StoreUnavailableError,
    UnknownKeyError,
)
_DEFAULT_WAIT_SECONDS = 30.0
_DEFAULT_PAGE = 100
_MAX_FINISHED = 512
# Batches of one stream that may wait for the disk at a time.
_MAX_ARRIVING = 16


class LicenseServicer(license_pb2_grpc.LicenseServiceServicer):
    """Checks, asks the desk, translates."""

    def __init__(self, desk: ClientDesk, *, names: JobNames) -> None:
        self._desk = desk
        self._names = names

    async def SubmitJobs(
        self, request: license_pb2.SubmitJobsRequest, context: Any
    ) -> license_pb2.SubmitJobsResponse:
        """See license.proto."""
        try:
            keys = await self._submit(request.request_id, request.jobs)
        except _EXPECTED as error:
            await errors.abort(context, error)
        return license_pb2.SubmitJobsResponse(job_ids=[self._names.name(key) for key in keys])

    # The stub wants an iterator; a coroutine that writes is the other form grpc.aio serves.
    async def StreamJobs(  # type: ignore[override]
        self, request_iterator: AsyncIterator[license_pb2.StreamJobsRequest], context: Any
    ) -> None:
        """See license.proto."""
        stream = _JobStream(self._desk, self._names)
        fault: Exception | None = None
        reading = asyncio.create_task(self._accept_all(request_iterator, stream, context))
        writing = asyncio.create_task(stream.write(context))
        try:
            await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
            if not writing.done():
                # Never cancelled: grpc cannot end a call while a message is half written.
                stream.no_more(is_over=reading.exception() is not None)
                await asyncio.wait({writing})
            for task in (writing, reading):
                if task.done():
                    task.result()
        except* _EXPECTED as group:
            fault = group
            while isinstance(fault, ExceptionGroup):
                fault = fault.exceptions[0]
        finally:
            for task in (reading, writing):
                task.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)
            stream.stop()
        # Not inside except*: grpc would not know its own abort in a group, and log a trace.
        if fault is not None:
            await errors.abort(context, fault)

    async def _accept_all(
        self,
        requests: AsyncIterator[license_pb2.StreamJobsRequest],
        stream: "_JobStream",
        context: Any,
    ) -> None:
        """Takes batches in while others are on their way to the disk.

        With too many unfinished jobs a batch waits, and HTTP/2 holds the client back: a stream is
        never refused for that, and its other batches go on.
        """
        room = asyncio.Semaphore(_MAX_ARRIVING)

        async def accept(request: license_pb2.StreamJobsRequest) -> None:
            keys: list[JobKey] | None = None
            while keys is None:
                await self._desk.room(len(request.jobs))
                try:
                    keys = await self._submit(request.request_id, request.jobs)
                except OverloadedError:
                    continue  # another batch was faster
                except _EXPECTED:
                    errors.name_batch(context, request.request_id)
                    raise
            stream.accepted(request.request_id, keys)
            room.release()

        async with asyncio.TaskGroup() as arriving:
            async for request in requests:
                await room.acquire()
                arriving.create_task(accept(request))

    async def GetJob(
        self, request: license_pb2.GetJobRequest, context: Any
    ) -> license_pb2.GetJobResponse:
        """See license.proto."""
        jobs = await self._jobs([request.job_id], "job_id", context)
        return license_pb2.GetJobResponse(job=translation.job_message(jobs[0], self._names))

    async def WaitJobs(
        self, request: license_pb2.WaitJobsRequest, context: Any
    ) -> license_pb2.WaitJobsResponse:
        """See license.proto."""
        jobs = await self._jobs(request.job_ids, "job_ids", context)
        timeout = _DEFAULT_WAIT_SECONDS
        if request.HasField("timeout"):
            timeout = translation.seconds(request.timeout)
        await self._desk.wait([job.key for job in jobs], timeout)
        jobs = await self._jobs(request.job_ids, "job_ids", context)
        return license_pb2.WaitJobsResponse(
            jobs=[translation.job_message(job, self._names) for job in jobs],
            all_final=all(job.state.is_final for job in jobs),
        )

    async def ListJobs(
        self, request: license_pb2.ListJobsRequest, context: Any
    ) -> license_pb2.ListJobsResponse:
        """See license.proto."""
        try:
            after = JobKey(0)
            if request.page_token:
                token = self._names.key(request.page_token)
                after = JobKey(self._checked("page_token", token))
            jobs, following = await self._desk.page(
                after, request.page_size or _DEFAULT_PAGE, translation.states(request.states)
            )
        except _EXPECTED as error:
            await errors.abort(context, error)
        return license_pb2.ListJobsResponse(
            jobs=[translation.job_message(job, self._names) for job in jobs],
            next_page_token="" if following is None else self._names.name(following),
        )

    async def CancelJobs(
        self, request: license_pb2.CancelJobsRequest, context: Any
    ) -> license_pb2.CancelJobsResponse:
        """See license.proto."""
        jobs = await self._jobs(request.job_ids, "job_ids", context)
        await self._desk.cancel([job.key for job in jobs])
        jobs = await self._jobs(request.job_ids, "job_ids", context)
        return license_pb2.CancelJobsResponse(
            jobs=[translation.job_message(job, self._names) for job in jobs]
        )

    async def WatchResults(
        self, request: license_pb2.WatchResultsRequest, context: Any
    ) -> AsyncIterator[license_pb2.WatchResultsResponse]:
        """See license.proto."""
        try:
            after = 0
            if request.cursor:
                # Cursors are like job names: one of another store is refused, not mixed up.
                after = self._checked("cursor", self._names.cursor(request.cursor))
            elif not request.from_start:
                after = await self._desk.newest()
            if request.announce_start:
                yield license_pb2.WatchResultsResponse(cursor=self._names.cursor_name(after))
            async for found in self._desk.results(after, is_endless=not request.until_end):
                jobs = [translation.job_message(stored.job, self._names) for stored in found]
                cursors = [self._names.cursor_name(stored.cursor) for stored in found]
                if request.batched:
                    yield license_pb2.WatchResultsResponse(
                        jobs=jobs, cursors=cursors, cursor=cursors[-1]
                    )
                    continue
                for job, cursor in zip(jobs, cursors, strict=True):
                    yield license_pb2.WatchResultsResponse(job=job, cursor=cursor)
        except _EXPECTED as error:
            await errors.abort(context, error)

    async def VerifyLicense(
        self, request: license_pb2.VerifyLicenseRequest, context: Any
    ) -> license_pb2.VerifyLicenseResponse:
        """See license.proto."""
        try:
            verdict = await self._desk.verify(request.number, request.hash)
        except _EXPECTED as error:
            await errors.abort(context, error)
        return license_pb2.VerifyLicenseResponse(
            matches=verdict.matches, needs_rehash=verdict.needs_rehash
        )

    async def _submit(self, request_id: str, jobs: Any) -> list[JobKey]:
        checked = translation.request_id(request_id)
        return await self._desk.submit(checked, translation.job_specs(jobs))

    def _checked(self, field: str, place: int | None) -> int:
        if place is None:
            raise InvalidRequestError(
                Violation(field, "is none that this dispatcher gave out; leave it empty to restart")
            )
        return place

    async def _jobs(self, job_ids: Sequence[str], field: str, context: Any) -> list[Job]:
        try:
            keys = [self._names.key(job_id) or JobKey(0) for job_id in job_ids]
            jobs = await self._desk.jobs(keys)
        except _EXPECTED as error:
            await errors.abort(context, error)
        found = [job for job in jobs if job is not None]
        if len(found) < len(jobs):
            place = jobs.index(None)
            why = "here"
            if self._desk.was_accepted(keys[place]):
                why = "any more: it was final, and results_kept_seconds or _count have removed it"
            # Masked: somebody may have sent a number for the id.
            shown = plates.mask(job_ids[place])
            await errors.abort_not_found(context, f"{field}: no job {shown!r} (masked) {why}")
        return found


class _JobStream:
    """The answers of one StreamJobs call."""

    def __init__(self, desk: ClientDesk, names: JobNames) -> None:
        self._desk = desk
        self._names = names
        self._accepted: list[license_pb2.StreamJobsResponse] = []
        self._finished: list[Job] = []
        self._known: list[JobKey] = []
        self._is_half_closed = False
        self._is_over = False
        self._changed = asyncio.Event()
        self._following = desk.follow(self._final)

    def accepted(self, request_id: str, keys: Sequence[JobKey]) -> None:
        """A batch is on disk: say so, and follow its jobs."""
        self._accepted.append(
            license_pb2.StreamJobsResponse(
                accepted=license_pb2.BatchAccepted(
                    request_id=request_id, job_ids=[self._names.name(key) for key in keys]
                )
            )
        )
        # A batch that was accepted before may have final jobs already: nobody calls back for them.
        known = [key for key in keys if not self._desk.is_unfinished(key)]
        self._known += known
        self._following.add(set(keys).difference(known) if known else keys)
        self._changed.set()

    def no_more(self, *, is_over: bool = False) -> None:
        """The client has half-closed; or the stream is over, whatever is still open."""
        self._is_half_closed = True
        self._is_over = is_over
        self._changed.set()

    def stop(self) -> None:
        """Follows nothing any more."""
        self._following.stop()

    async def write(self, context: Any) -> None:
        """Writes events until the client has half-closed and all its jobs are final."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while (self._accepted or self._finished or self._known) and not self._is_over:
                # All at once: no job may be told before its batch.
                accepted, self._accepted = self._accepted, []
                known, self._known = self._known, []
                finished, self._finished = self._finished, []
                for message in accepted:
                    await context.write(message)
                if known:
                    finished += [job for job in await self._desk.jobs(known) if job is not None]
                for start in range(0, len(finished), _MAX_FINISHED):
                    await context.write(self._message(finished[start : start + _MAX_FINISHED]))
            if self._is_over or (self._is_half_closed and not self._following.pending):
                return

    def _message(self, jobs: Sequence[Job]) -> license_pb2.StreamJobsResponse:
        messages = [translation.job_message(job, self._names) for job in jobs]
        return license_pb2.StreamJobsResponse(finished_jobs=license_pb2.FinishedJobs(jobs=messages))

    def _final(self, jobs: Sequence[Job]) -> None:
        self._finished += jobs
        self._changed.set()
