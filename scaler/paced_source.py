"""Signals that are costly to answer are asked for now and then, and never hold up a turn."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scaler.ports import MetricsSource, SignalQuery
from scaler.readings import Failed, Known, Partial, Reading, Stale
from servicekit.clock import Clock

_RETRY_SECONDS = 10.0
_KEPT_INTERVALS = 3.0
"""An answer is used for so many intervals when no newer one comes."""


@dataclass(frozen=True, slots=True)
class _Answer:
    reading: Reading
    at: float


class PacedSource:
    """A `MetricsSource`: queries with `every_seconds` go to `paced`, the others to `source`.

    The paced ones are asked in the background and answered from what is known; the first turn waits
    for them for `first_seconds` at most, so that a single decision (`eval`) sees them too.
    """

    def __init__(
        self,
        source: MetricsSource,
        paced: MetricsSource,
        clock: Clock,
        *,
        first_seconds: float = 2.0,
    ) -> None:
        self._source = source
        self._paced = paced
        self._clock = clock
        self._first_seconds = first_seconds
        self._answers: dict[SignalQuery, _Answer] = {}
        self._failures: dict[SignalQuery, Reading] = {}
        self._due_at: dict[SignalQuery, float] = {}
        self._asking: asyncio.Task[None] | None = None

    async def read(self, queries: Sequence[SignalQuery]) -> dict[str, Reading]:
        """See `MetricsSource.read`."""
        paced = [query for query in queries if query.every_seconds > 0]
        self._forget_all_but(paced)
        now = self._clock.monotonic()
        due = [query for query in paced if now >= self._due_at.get(query, now)]
        is_first = any(query not in self._due_at for query in due)
        if due and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self._ask(due))
        readings = await self._source.read([one for one in queries if one.every_seconds <= 0])
        if is_first and self._asking is not None:
            await asyncio.wait([self._asking], timeout=self._first_seconds)
        now = self._clock.monotonic()
        return readings | {query.signal: self._known(query, now) for query in paced}

    async def close(self) -> None:
        """Gives up what is being asked."""
        if self._asking is not None:
            self._asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._asking

    async def _ask(self, queries: Sequence[SignalQuery]) -> None:
        started = self._clock.monotonic()
        for query in queries:
            self._due_at[query] = started + query.every_seconds
        readings = await self._paced.read(queries)
        now = self._clock.monotonic()
        for query in queries:
            reading = readings.get(query.signal, Failed("not answered"))
            if isinstance(reading, Known | Partial):
                self._answers[query] = _Answer(reading, now)
                self._failures.pop(query, None)
            else:
                self._failures[query] = reading
                self._due_at[query] = now + min(query.every_seconds, _RETRY_SECONDS)

    def _known(self, query: SignalQuery, now: float) -> Reading:
        answer = self._answers.get(query)
        if answer is not None:
            age = now - answer.at
            if age <= query.every_seconds * _KEPT_INTERVALS:
                reading = answer.reading
                assert isinstance(reading, Known | Partial)
                return replace(reading, age_seconds=reading.age_seconds + age)
        stale: Reading = Failed("no answer yet") if answer is None else Stale(now - answer.at)
        return self._failures.get(query, stale)

    def _forget_all_but(self, queries: Sequence[SignalQuery]) -> None:
        """A reload may have changed what a signal's name stands for."""
        kept = set(queries)
        for memory in (self._answers, self._failures, self._due_at):
            for query in memory.keys() - kept:
                del memory[query]
