"""Sends a stream of numbers through the dispatcher and yields their results in order."""

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from servicekit.clock import Clock
from stack.jobs import DispatcherError, JobSpec, JobView, Profile
from stack.number_file import Entry
from stack.ports import Dispatcher

Answer = TypeVar("Answer")

BATCH = 200
_IN_FLIGHT = 8
_WAIT_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class LineResult:
    """What became of the number on one line."""

    line: int
    job: JobView


class Submission:
    """Bounded: at most a few batches are under way, however long the stream is."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        *,
        clock: Clock,
        profile: Profile,
        patience_seconds: float,
        on_trouble: Callable[[str], None],
    ) -> None:
        """A dispatcher that is away is waited for, `patience_seconds` at a time."""
        self._dispatcher = dispatcher
        self._clock = clock
        self._profile: Profile = profile
        self._patience_seconds = patience_seconds
        self._on_trouble = on_trouble
        self._prefix = f"submit-{uuid.uuid4().hex[:8]}-"
        self.submitted = 0

    async def run(self, entries: Iterator[Entry]) -> AsyncIterator[LineResult]:
        """Submits all entries; results come in the order of the lines.

        Raises:
            DispatcherError: when the dispatcher refuses, or is away for too long.

        """
        running: deque[asyncio.Task[list[LineResult]]] = deque()
        try:
            for batch in _batches(entries):
                while len(running) >= _IN_FLIGHT:
                    for result in await running.popleft():
                        yield result
                running.append(asyncio.create_task(self._batch(batch)))
            while running:
                for result in await running.popleft():
                    yield result
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _batch(self, batch: Sequence[Entry]) -> list[LineResult]:
        request_id = str(uuid.uuid4())
        specs = [
            JobSpec(entry.number, self._profile, reference=f"{self._prefix}{entry.line}")
            for entry in batch
        ]
        ids = await self._patiently(lambda: self._dispatcher.submit(request_id, specs))
        self.submitted += len(ids)
        while True:
            jobs = await self._patiently(lambda: self._dispatcher.wait(ids, seconds=_WAIT_SECONDS))
            if all(job.is_final for job in jobs):
                return [LineResult(entry.line, job) for entry, job in zip(batch, jobs, strict=True)]

    async def _patiently(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """Repeats a call through a restart of the dispatcher: same request_id, accepted once."""
        deadline = self._clock.monotonic() + self._patience_seconds
        pause = 0.1
        while True:
            try:
                return await call()
            except DispatcherError as error:
                if not error.is_retryable or self._clock.monotonic() >= deadline:
                    raise
                self._on_trouble(str(error))
                await self._clock.sleep(error.retry_seconds or pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _batches(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    batch: list[Entry] = []
    for entry in entries:
        batch.append(entry)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
