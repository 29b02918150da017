"""The client side of a run: submits, watches, streams, cancels, scrapes; tells the book."""

import asyncio
import contextlib
import random
import re
import urllib.request
from collections import Counter, deque
from collections.abc import AsyncIterator
from typing import Any

import grpc
from virtscale.v1 import (
    fleet_pb2,
    fleet_pb2_grpc,
    license_pb2,
    license_pb2_grpc,
)

from bench.chaos import numbers
from bench.chaos.book import Book

_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 300),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", 32 * 1024 * 1024),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.http2.ping_timeout_ms", 2_000),
)
_CALL_SECONDS = 4.0
_WATCH_SILENCE_SECONDS = 4.0
_SAMPLE = re.compile(
    r'^virtscale_dispatcher_jobs(?:\{state="(\w+)"\}|_(accepted)_total) ([0-9.e+]+)$', re.M
)
_REQUEUED = re.compile(r'^virtscale_dispatcher_requeued_total\{reason="(\w+)"\} ([0-9.e+]+)$', re.M)


class Client:
    """All calls of clients go through the faulty gate; fleet calls and scrapes go straight."""

    def __init__(
        self, book: Book, *, seed: int, slow_every: int, gate: int, port: int, metrics_port: int
    ) -> None:
        self.book = book
        self.codes: Counter[str] = Counter()
        self.requeued: Counter[str] = Counter()
        self.failed_scrapes = 0
        self._seed = seed
        self._slow_every = slow_every
        self._dice = random.Random(f"client/{seed}")
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{gate}", _OPTIONS)
        self._straight = grpc.aio.insecure_channel(f"127.0.0.1:{port}", _OPTIONS)
        self.licenses: Any = license_pb2_grpc.LicenseServiceStub(self._channel)
        self.direct: Any = license_pb2_grpc.LicenseServiceStub(self._straight)
        self.fleet: Any = fleet_pb2_grpc.FleetServiceStub(self._straight)
        self._metrics = f"http://127.0.0.1:{metrics_port}/metrics"
        self._requeued_now: dict[str, float] = {}
        self._cursor = ""
        self.recent: deque[tuple[int, int, int]] = deque(maxlen=64)
        """Acknowledged batches: number of the batch, index of its first job, how many."""
        self._streaming: Any = None
        self._is_stream_cut = False

    async def close(self) -> None:
        """Ends the channels."""
        await self._channel.close()
        await self._straight.close()

    # -- submitting ------------------------------------------------------------------------------

    def batch(self, batch: int, first: int, count: int) -> Any:
        """The batch that this seed submits under that number."""
        return license_pb2.SubmitJobsRequest(
            request_id=numbers.request_id(self._seed, batch),
            jobs=[numbers.spec(index, self._slow_every) for index in range(first, first + count)],
        )

    async def submit(self, batch: int, first: int, count: int) -> None:
        """Submits until it is acknowledged, under one request id."""
        request = self.batch(batch, first, count)
        answer = await self.until_answered(self.licenses.SubmitJobs, request)
        self.book.acknowledged(first, answer.job_ids, count)
        self.recent.append((batch, first, count))

    async def until_answered(self, call: Any, request: Any) -> Any:
        """Repeats a call while its failure is one that a client may repeat."""
        pause = 0.05
        while True:
            try:
                return await call(request, timeout=_CALL_SECONDS)
            except grpc.aio.AioRpcError as error:
                self._failed(error)
            await asyncio.sleep(pause * self._dice.uniform(0.5, 1.0))
            pause = min(0.5, pause * 2)

    def _failed(self, error: grpc.aio.AioRpcError) -> None:
        code = error.code().name
        self.codes[code] += 1
        if code in ("CANCELLED", "UNKNOWN", "INTERNAL") and "RST_STREAM" not in str(
            error.details()
        ):
            self.codes[f"{code}: {str(error.details())[:80]}"] += 1
        if code in ("INVALID_ARGUMENT", "ALREADY_EXISTS", "NOT_FOUND", "FAILED_PRECONDITION"):
            self.book.broke("good call refused", f"{code}: {error.details()}")

    async def stream(self, batches: list[tuple[int, int, int]]) -> None:
        """Submits batches (number, first, count) by StreamJobs; repeats what is unfinished."""
        while True:
            left = [
                each
                for each in batches
                if any(index not in self.book.finals for index in range(each[1], each[1] + each[2]))
            ]
            if not left:
                return
            try:
                await self._stream_once(left)
            except grpc.aio.AioRpcError as error:
                self._failed(error)
            except TimeoutError:
                self.codes["stream silent"] += 1
            except asyncio.CancelledError:
                # A call that `cut_stream` has ended raises this too.
                if not self._is_stream_cut:
                    raise
                self._is_stream_cut = False
                self.codes["stream cut by the client"] += 1
            finally:
                if self._streaming is not None:
                    self._streaming.cancel()
                self._streaming = None
            await asyncio.sleep(0.05)

    def cut_stream(self) -> bool:
        """Breaks off the present StreamJobs call, if there is one."""
        if self._streaming is None:
            return False
        self._is_stream_cut = True
        self._streaming.cancel()
        return True

    async def _stream_once(self, batches: list[tuple[int, int, int]]) -> None:
        async def requests() -> AsyncIterator[Any]:
            for batch, first, count in batches:
                request = self.batch(batch, first, count)
                yield license_pb2.StreamJobsRequest(
                    request_id=request.request_id, jobs=request.jobs
                )

        by_id = {numbers.request_id(self._seed, each[0]): each for each in batches}
        self._streaming = self.licenses.StreamJobs(requests())
        told: set[str] = set()
        while True:
            event = await asyncio.wait_for(self._streaming.read(), 4 * _WATCH_SILENCE_SECONDS)
            if event is grpc.aio.EOF:
                break
            if event.WhichOneof("event") == "accepted":
                batch, first, count = by_id[event.accepted.request_id]
                self.book.acknowledged(first, event.accepted.job_ids, count)
                self.recent.append((batch, first, count))
                continue
            for job in event.finished_jobs.jobs:
                if job.job_id in told:
                    self.book.broke("told twice on one stream", job.job_id)
                told.add(job.job_id)
                self.book.seen(job)
        code = await self._streaming.code()
        if code is grpc.StatusCode.OK:
            expected = sum(count for _, _, count in batches)
            if len(told) != expected:
                self.book.broke("stream ended early", f"{len(told)} of {expected} jobs told")

    # -- following -------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Follows the results' sequence for ever, from the cursor on after every break."""
        while True:
            call = self.licenses.WatchResults(
                license_pb2.WatchResultsRequest(cursor=self._cursor, from_start=not self._cursor)
            )
            try:
                while True:
                    response = await asyncio.wait_for(call.read(), _WATCH_SILENCE_SECONDS)
                    if response is grpc.aio.EOF:
                        self.codes["watch ended"] += 1
                        break
                    self._cursor = response.cursor
                    self.book.watch(response.job, response.cursor)
            except grpc.aio.AioRpcError as error:
                self._failed(error)
            except TimeoutError:
                # A half-open connection says nothing for ever; a patient client asks again.
                self.codes["watch silent"] += 1
            finally:
                call.cancel()
            await asyncio.sleep(0.05)

    async def scrape(self) -> None:
        """Scrapes for ever."""
        while True:
            await self.scrape_once()
            await asyncio.sleep(0.5)

    async def scrape_once(self) -> dict[str, float] | None:
        """One scrape; None when the dispatcher did not answer."""
        before = len(self.book.ids)
        try:
            text = await asyncio.to_thread(self._get)
        except OSError:
            self.failed_scrapes += 1
            return None
        figures = {
            state or accepted: float(value) for state, accepted, value in _SAMPLE.findall(text)
        }
        if len(figures) != 6:
            self.failed_scrapes += 1
            return None
        # Names learnt from results may be ahead of what this process was told; ids never are.
        self.book.counts(figures, before)
        for reason, value in _REQUEUED.findall(text):
            now, last = float(value), self._requeued_now.get(reason, 0.0)
            self.requeued[reason] += int(now - last if now >= last else now)
            self._requeued_now[reason] = now
        return figures

    def _get(self) -> str:
        with urllib.request.urlopen(self._metrics, timeout=3) as answer:
            return str(answer.read().decode())

    # -- the fleet -------------------------------------------------------------------------------

    async def workers(self) -> dict[str, fleet_pb2.Worker] | None:
        """The workers by name; None when the dispatcher does not answer."""
        with contextlib.suppress(grpc.aio.AioRpcError):
            answer = await self.fleet.ListWorkers(fleet_pb2.ListWorkersRequest(), timeout=2.0)
            return {worker.worker_id: worker for worker in answer.workers}
        return None

    async def uncordon(self, worker_id: str) -> None:
        """Lifts a cordon, whatever it takes."""
        request = fleet_pb2.UncordonWorkerRequest(worker_id=worker_id)
        await self.until_answered(self.fleet.UncordonWorker, request)

    async def list_all(self) -> None:
        """Reads the whole store, page by page, and tells the book."""
        jobs: list[Any] = []
        token = ""
        while True:
            request = license_pb2.ListJobsRequest(page_size=1000, page_token=token)
            answer = await self.until_answered(self.direct.ListJobs, request)
            jobs += answer.jobs
            token = answer.next_page_token
            if not token:
                break
        self.book.listed(jobs)
