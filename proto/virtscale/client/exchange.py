"""Drives a submitting stream over as many connections as it takes."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncGenerator, Callable
from typing import Any

import grpc.aio

from virtscale.client import batches, wire
from virtscale.client.errors import DispatcherError, InvalidRequestError, UnavailableError
from virtscale.client.feed import Feed
from virtscale.client.job_stream import Batch, JobStream
from virtscale.client.retries import Backoff
from virtscale.client.values import MAX_BATCH, Hashed

REFUSED_KEY = "virtscale-request-id"
"""Trailing metadata of a stream that ended because of one batch: that batch's request id."""

_SMALLEST_BATCH = 64
_OVER = (grpc.aio.AioRpcError, asyncio.InvalidStateError)


class Exchange:
    """One `hash_many`: a task that sends and receives, and the consumer's side."""

    def __init__(
        self,
        *,
        open_stream: Callable[[], Any],
        error_of: Callable[[grpc.aio.AioRpcError], DispatcherError],
        on_trouble: Callable[[DispatcherError], None],
        feed: Feed,
        stream: JobStream,
        backoff: Backoff,
    ) -> None:
        self._open_stream = open_stream
        self._error_of = error_of
        self._on_trouble = on_trouble
        self._feed = feed
        self._stream = stream
        self._backoff = backoff
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._answered = asyncio.Event()
        self._last_answered = ""
        # Not one job at a time, just because results are taken one at a time.
        self._enough = min(_SMALLEST_BATCH, stream.room)

    async def results(self) -> AsyncGenerator[Hashed, None]:
        """What becomes of each job; ends when every one is final.

        Raises:
            DispatcherError: refused, or away for longer than the policy allows.

        """
        running = asyncio.ensure_future(self._run())
        running.add_done_callback(lambda _: self._changed.set())
        try:
            while True:
                self._changed.clear()
                while (hashed := self._stream.take()) is not None:
                    if self._stream.room >= self._enough:
                        self._room.set()
                    yield hashed
                if running.done():
                    running.result()
                    return
                await self._changed.wait()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await self._feed.close()

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        while not self._stream.is_complete:
            try:
                await self._connection(clock)
                failed: DispatcherError = UnavailableError(
                    "UNAVAILABLE", "the dispatcher ended the stream"
                )
            except grpc.aio.AioRpcError as error:
                failed = self._located(self._error_of(error), error)
            if self._stream.is_complete:
                return
            pause = self._backoff.pause_seconds(failed, clock())
            self._on_trouble(failed)
            await asyncio.sleep(pause)

    async def _connection(self, clock: Callable[[], float]) -> None:
        """One connection from its opening to its end; returns when it ended well."""
        call = self._open_stream()
        self._last_answered = ""
        reading = asyncio.ensure_future(self._read(call, clock))
        writing = asyncio.ensure_future(self._write(call))
        try:
            await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                # The caller's own iterable may have failed; otherwise all is sent.
                writing.result()
                await reading
            reading.result()
        finally:
            for task in (reading, writing):
                task.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)
            call.cancel()

    async def _read(self, call: Any, clock: Callable[[], float]) -> None:
        while (response := await call.read()) is not grpc.aio.EOF:
            self._backoff.succeeded(clock())
            for event in wire.stream_events(response):
                if isinstance(event, tuple):
                    self._stream.accepted(*event)
                    self._last_answered = event[0]
                    self._answered.set()
                else:
                    self._stream.finished(event)
            self._changed.set()

    async def _write(self, call: Any) -> None:
        # Again, one by one: a write on its way when the dispatcher ends the stream hides why, and
        # a batch at fault would be sent for ever.
        for batch in self._stream.unfinished():
            if not await _is_sent(call, batch):
                return
            while self._last_answered != batch.request_id:
                self._answered.clear()
                await self._answered.wait()
        while not self._stream.is_closed:
            while self._stream.room < 1:
                self._room.clear()
                await self._room.wait()
            if not await self._feed.ready():
                self._stream.close()
                break
            # No await between taking and booking: whatever ends this task, no job is dropped.
            specs = self._feed.take(min(MAX_BATCH, self._stream.room))
            if not await _is_sent(call, self._stream.begin(str(uuid.uuid4()), specs)):
                return
        with contextlib.suppress(*_OVER):
            await call.done_writing()

    def _located(self, failed: DispatcherError, error: grpc.aio.AioRpcError) -> DispatcherError:
        """A refusal names the jobs of one batch; the caller knows positions in the whole input."""
        request_id = dict(error.trailing_metadata() or ()).get(REFUSED_KEY)
        batch = self._stream.batch(str(request_id))
        if isinstance(failed, InvalidRequestError) and batch is not None:
            return batches.shifted(failed, batch.first)
        return failed


async def _is_sent(call: Any, batch: Batch) -> bool:
    """Sends; a connection that is over has its reason told by the reading side."""
    try:
        await call.write(wire.stream_request(batch.request_id, batch.specs))
    except _OVER:
        return False
    return True
