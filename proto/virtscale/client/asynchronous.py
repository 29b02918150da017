"""The asyncio client."""

import asyncio
import copy
import math
import random
import uuid
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Any

import grpc.aio

from virtscale.client import batches, connection, wire
from virtscale.client.connection import Tls, Token
from virtscale.client.errors import DispatcherError, InvalidRequestError, UnavailableError
from virtscale.client.exchange import Exchange
from virtscale.client.feed import AsyncIterableFeed, Feed, IterableFeed
from virtscale.client.job_stream import JobStream
from virtscale.client.retries import Backoff, RetryPolicy
from virtscale.client.values import (
    MAX_BATCH,
    Backlog,
    Exported,
    Hashed,
    Job,
    JobSpec,
    Profile,
    State,
    Verdict,
    Worker,
)

MAX_IN_FLIGHT = 10_000
_WAIT_SECONDS = 30.0
_PAGE = 500


class AsyncClient:
    """Calls of one dispatcher. Retries, reconnects and pages are its business, not yours.

    Failures are `DispatcherError`s; one that could be mended by waiting is raised only when the
    policy's patience is over.
    """

    def __init__(
        self,
        address: str,
        *,
        token: Token | None = None,
        tls: Tls | None = None,
        insecure: bool = False,
        retry: RetryPolicy | None = None,
        on_trouble: Callable[[DispatcherError], None] | None = None,
    ) -> None:
        """`on_trouble` hears of every failure that is going to be retried.

        Raises:
            InvalidRequestError: an argument cannot be used; the text says how to mend it.

        """
        self._address = address
        self._token = token
        connection.authorization(token)
        self._channel = connection.open_channel(address, tls, insecure)
        self._licenses = wire.licenses(self._channel)
        self._fleet = wire.fleet(self._channel)
        self._retry = RetryPolicy() if retry is None else retry
        self._on_trouble = on_trouble or (lambda _: None)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._address!r})"

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection, also for clients made by `with_retry`."""
        await self._channel.close()

    def with_retry(
        self, retry: RetryPolicy, on_trouble: Callable[[DispatcherError], None] | None = None
    ) -> "AsyncClient":
        """A client with another patience over the same connection; it need not be closed."""
        other = copy.copy(self)
        other._retry = retry
        other._on_trouble = on_trouble or self._on_trouble
        return other

    # -- jobs ------------------------------------------------------------------------------------

    async def submit(
        self,
        jobs: Iterable[str | JobSpec],
        *,
        profile: Profile | None = None,
        request_id: str | None = None,
    ) -> list[str]:
        """Submits; returns the job ids in order once every job is on disk, each accepted once.

        `profile` is that of bare numbers. With a `request_id` (a UUID4) of your own the whole call
        may be repeated, for 24 hours and also by another process, and still submits once. More than
        1,000 jobs travel in several requests; when one of them fails, the error's `accepted_ids`
        are the jobs of those before it.

        Raises:
            InvalidRequestError: `violations` name the jobs; nothing of their request was accepted.
            ConflictError: `request_id` was used with other jobs.
            DispatcherError: anything else.

        """
        specs = batches.specs_of(jobs, profile)
        request_id = request_id or str(uuid.uuid4())
        job_ids: list[str] = []
        for position, batch in enumerate(batches.cut(specs)):
            request = wire.submit_request(batches.request_id_of(request_id, position), batch)
            try:
                answer = await self._call(self._licenses.SubmitJobs, request)
            except DispatcherError as error:
                failed = (
                    batches.shifted(error, position * MAX_BATCH)
                    if isinstance(error, InvalidRequestError)
                    else error
                )
                failed.accepted_ids = tuple(job_ids)
                raise failed from None
            job_ids += answer.job_ids
        return job_ids

    def hash_many(
        self,
        jobs: Iterable[str | JobSpec] | AsyncIterable[str | JobSpec],
        *,
        profile: Profile | None = None,
        ordered: bool = False,
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> AsyncGenerator[Hashed, None]:
        """Submits a stream of any length and yields what becomes of each job, each exactly once.

        The input is read as fast as results are taken: at most `max_in_flight` jobs are sent and
        not yet yielded. A dispatcher that goes away is waited for, also one that was killed:
        nothing is lost and nothing is yielded twice. An iterable must not block; use an
        asynchronous one where items take their time.

        `ordered` yields in the order of the input, otherwise as jobs finish.
        """
        if isinstance(jobs, str | JobSpec):
            raise TypeError("give an iterable of numbers or jobs, also when it is only one")
        feed: Feed
        if isinstance(jobs, AsyncIterable):
            feed = AsyncIterableFeed(jobs, profile)
        else:
            feed = IterableFeed(jobs, profile)
        return self.hash_feed(feed, ordered=ordered, max_in_flight=max_in_flight)

    def hash_feed(
        self, feed: Feed, *, ordered: bool, max_in_flight: int
    ) -> AsyncGenerator[Hashed, None]:
        """`hash_many` for the blocking client, which reads its input in a thread."""
        if max_in_flight < 1:
            raise ValueError(f"max_in_flight = {max_in_flight}: must be at least 1")
        return Exchange(
            open_stream=lambda: self._licenses.StreamJobs(metadata=self._metadata()),
            error_of=lambda failed: wire.error(self._address, failed),
            on_trouble=self._on_trouble,
            feed=feed,
            stream=JobStream(max_in_flight=max_in_flight, is_ordered=ordered),
            backoff=self._backoff(),
        ).results()

    async def get(self, job_id: str) -> Job:
        """One job.

        Raises:
            UnknownJobError: the dispatcher does not know it.

        """
        request = wire.Requests.GetJobRequest(job_id=job_id)
        return wire.job((await self._call(self._licenses.GetJob, request)).job)

    async def wait(self, job_ids: Sequence[str], *, seconds: float = math.inf) -> list[Job]:
        """The jobs in order, once all are final, or as they are after `seconds`."""
        now = asyncio.get_running_loop().time
        end = now() + seconds
        found: list[Job] = []
        for start in range(0, len(job_ids), MAX_BATCH):
            while True:
                patience = max(0.0, min(_WAIT_SECONDS, end - now()))
                request = wire.Requests.WaitJobsRequest(
                    job_ids=job_ids[start : start + MAX_BATCH], timeout=wire.duration(patience)
                )
                answer = await self._call(self._licenses.WaitJobs, request, extra=patience)
                if answer.all_final or now() >= end:
                    break
            found += [wire.job(message) for message in answer.jobs]
        return found

    async def list_jobs(self, *, states: Sequence[State] = ()) -> AsyncGenerator[Job, None]:
        """All jobs in these states (none given: in any), in order of acceptance.

        Jobs that are accepted while it runs come at the end; none comes twice.
        """
        token = ""
        while True:
            request = wire.Requests.ListJobsRequest(
                page_size=_PAGE, page_token=token, states=wire.states(states)
            )
            answer = await self._call(self._licenses.ListJobs, request)
            for message in answer.jobs:
                yield wire.job(message)
            if not (token := answer.next_page_token):
                return

    async def cancel(self, job_ids: Sequence[str]) -> list[Job]:
        """Withdraws what is not final; the jobs as they are then. Final ones keep their state."""
        found: list[Job] = []
        for start in range(0, len(job_ids), MAX_BATCH):
            request = wire.Requests.CancelJobsRequest(job_ids=job_ids[start : start + MAX_BATCH])
            answer = await self._call(self._licenses.CancelJobs, request)
            found += [wire.job(message) for message in answer.jobs]
        return found

    async def verify(self, number: str, stored: str) -> Verdict:
        """Whether the stored hash belongs to the number, and whether it should be made anew."""
        request = wire.Requests.VerifyLicenseRequest(number=number, hash=stored)
        answer = await self._call(self._licenses.VerifyLicense, request)
        return Verdict(answer.matches, answer.needs_rehash)

    async def results(
        self, cursor: str = "", *, from_start: bool = False, follow: bool = True
    ) -> AsyncGenerator[Exported, None]:
        """Stored results in the order they were stored, each with the cursor behind it.

        Begins behind `cursor`; without one now, or with `from_start` at the first. Goes on through
        restarts of the dispatcher with nothing lost or repeated; keep the last cursor to go on in
        another process. Without `follow` it ends at the end.
        """
        backoff, now = self._backoff(), asyncio.get_running_loop().time
        while True:
            call = self._licenses.WatchResults(
                wire.Requests.WatchResultsRequest(
                    cursor=cursor,
                    from_start=from_start,
                    until_end=not follow,
                    announce_start=not cursor,
                    batched=True,
                ),
                metadata=self._metadata(),
            )
            try:
                async for answer in call:
                    backoff.succeeded(now())
                    for exported in wire.exported(answer):
                        cursor = exported.cursor
                        yield exported
                    cursor = answer.cursor
                if not follow:
                    return
                error: DispatcherError = UnavailableError(
                    "UNAVAILABLE", f"the dispatcher at {self._address} ended the stream"
                )
            except grpc.aio.AioRpcError as failed:
                error = wire.error(self._address, failed)
            finally:
                call.cancel()
            await self._pause(backoff, error)

    # -- fleet -----------------------------------------------------------------------------------

    async def workers(self) -> list[Worker]:
        """All connected workers, and cordoned ones that are not connected."""
        request = wire.FleetRequests.ListWorkersRequest()
        answer = await self._call(self._fleet.ListWorkers, request)
        return [wire.worker(message) for message in answer.workers]

    async def backlog(self) -> Backlog:
        """The dispatcher's counts."""
        request = wire.FleetRequests.GetBacklogRequest()
        return wire.backlog(await self._call(self._fleet.GetBacklog, request))

    async def drain(self, worker_id: str, *, reason: str, seconds: float) -> None:
        """Returns when the worker holds no lease, or the rest was taken back after `seconds`."""
        request = wire.FleetRequests.DrainWorkerRequest(
            worker_id=worker_id, reason=reason, deadline=wire.duration(seconds)
        )
        await self._call(self._fleet.DrainWorker, request, extra=seconds)

    async def uncordon(self, worker_id: str) -> None:
        """Lifts a cordon."""
        request = wire.FleetRequests.UncordonWorkerRequest(worker_id=worker_id)
        await self._call(self._fleet.UncordonWorker, request)

    # -- calling ---------------------------------------------------------------------------------

    async def _call(self, method: Callable[..., Any], request: Any, *, extra: float = 0.0) -> Any:
        """One call with its retries. `extra`: seconds that the dispatcher itself may take."""
        backoff, now = self._backoff(extra), asyncio.get_running_loop().time
        while True:
            seconds = backoff.attempt_seconds(now()) + extra
            try:
                return await method(request, timeout=seconds, metadata=self._metadata())
            except grpc.aio.AioRpcError as failed:
                error = wire.error(self._address, failed)
            await self._pause(backoff, error)

    async def _pause(self, backoff: Backoff, error: DispatcherError) -> None:
        seconds = backoff.pause_seconds(error, asyncio.get_running_loop().time())
        self._on_trouble(error)
        await asyncio.sleep(seconds)

    def _backoff(self, extra: float = 0.0) -> Backoff:
        return Backoff(self._retry, random.random, asyncio.get_running_loop().time() + extra)

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return connection.authorization(self._token)
