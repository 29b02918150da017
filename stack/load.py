"""Feeds licence numbers to the dispatcher, open loop, through restarts of the dispatcher."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from virtscale.client.errors import DispatcherError
from virtscale.client.retries import FOREVER
from virtscale.client.values import MAX_BATCH, Busy, Collision, JobSpec, Load, Profile, Verify

from servicekit import logs
from servicekit.clock import Clock
from stack.arrivals import Arrivals, highest_multiplier
from stack.calibration import (
    FIRST_REPETITIONS,
    NO_LOAD,
    JobLoad,
    is_long_enough,
    next_repetitions,
    saturating_load,
)
from stack.journal import Journal
from stack.numbers import NumberGenerator
from stack.ports import Dispatcher

_CALIBRATION_SECONDS = 60.0
_MAX_IN_FLIGHT = 64


@dataclass
class LoadState:
    """What the load is doing, for the table."""

    arrivals: Arrivals | None = None
    load: JobLoad = NO_LOAD
    trouble: str = ""


class LoadGenerator:
    """Submits one job per planned arrival and follows what becomes of each."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        *,
        clock: Clock,
        journal: Journal,
        draw: Callable[[], float],
        profile: Profile,
    ) -> None:
        self._dispatcher = dispatcher
        self._patient = dispatcher.with_retry(FOREVER, self._troubled)
        self._clock = clock
        self._journal = journal
        self._draw = draw
        self._numbers = NumberGenerator(draw)
        self._profile: Profile = profile
        self._changed = asyncio.Event()
        self._is_stopped = False
        self._submissions: set[asyncio.Task[None]] = set()
        self._serial = 0
        self._log = logs.get()
        self.state = LoadState()

    async def calibrate(self, *, highest_rate: float, slots: int) -> JobLoad:
        """Measures a guest with a few jobs; the load that saturates it.

        Raises:
            DispatcherError: when no result comes back in time.

        """
        repetitions = FIRST_REPETITIONS
        while True:
            load = JobLoad("verify", repetitions)
            job = self._job(load)
            now = self._clock.wall()
            ids = await self._submit([(job, now)])
            deadline = self._clock.monotonic() + _CALIBRATION_SECONDS
            while True:
                with contextlib.suppress(DispatcherError):
                    (view,) = await self._dispatcher.wait(ids, seconds=5.0)
                    if view.is_final:
                        break
                if self._clock.monotonic() > deadline:
                    raise DispatcherError(
                        "DEADLINE_EXCEEDED",
                        f"the first guest returned no result within {_CALIBRATION_SECONDS:.0f} s; "
                        "see its console log; or choose the load yourself: --load busy "
                        "--difficulty 1",
                    )
            self._journal.finished(view)
            long_enough = is_long_enough(view.service_seconds)
            if view.state != "done" or long_enough or next_repetitions(repetitions) == repetitions:
                break
            repetitions = next_repetitions(repetitions)
        return saturating_load(
            repetitions=repetitions,
            service_seconds=view.service_seconds,
            highest_rate=highest_rate,
            slots=slots,
        )

    def begin(self, arrivals: Arrivals, load: JobLoad) -> None:
        """Sets the stream of arrivals; takes effect at once, also while running."""
        self.state.arrivals = arrivals
        self.state.load = load
        self._changed.set()

    def set_delta(self, delta: float) -> None:
        """From now on a steady stream with this mean time between requests."""
        self.begin(Arrivals(delta, "steady", self._clock.monotonic()), self.state.load)

    async def run(self) -> None:
        """Submits until `stop`; then until every submission was answered."""
        planned: float | None = None
        while not self._is_stopped:
            arrivals = self.state.arrivals
            if self._changed.is_set() or planned is None:
                self._changed.clear()
                planned = (
                    None
                    if arrivals is None
                    else arrivals.next_after(self._clock.monotonic(), self._draw)
                )
            if planned is None or arrivals is None:
                await self._changed.wait()
                continue
            now = self._clock.monotonic()
            if planned > now:
                await self._sleep(planned - now)
                continue
            batch: list[tuple[JobSpec, float]] = []
            offset = self._clock.wall() - now
            while planned <= now and len(batch) < MAX_BATCH:
                batch.append((self._job(self.state.load), planned + offset))
                planned = arrivals.next_after(planned, self._draw)
            await self._dispatch(batch)
        if self._submissions:
            await asyncio.wait(self._submissions)

    async def follow(self) -> None:
        """Records results for ever; cancel it."""
        async for exported in self._patient.results():
            # The next submission may be a long time off.
            self.state.trouble = ""
            self._journal.finished(exported.job)

    async def reconcile(self) -> None:
        """Asks for the state of every job that is not known to be final.

        Raises:
            DispatcherError: when the dispatcher does not answer.

        """
        outstanding = self._journal.outstanding
        for start in range(0, len(outstanding), MAX_BATCH):
            for job in await self._dispatcher.wait(
                outstanding[start : start + MAX_BATCH], seconds=0.001
            ):
                self._journal.finished(job)

    def stop(self) -> None:
        """No more new jobs; `run` returns when the last submission was answered."""
        self._is_stopped = True
        self._changed.set()

    def stop_urgently(self) -> None:
        """Gives up on submissions that were not answered."""
        self.stop()
        for task in self._submissions:
            task.cancel()

    @property
    def unanswered(self) -> int:
        """Submissions whose answer has not come: their jobs may or may not be stored."""
        return len(self._submissions)

    async def _sleep(self, seconds: float) -> None:
        """Ends early when the stream of arrivals changes."""
        waits: set[asyncio.Future[Any]] = {
            asyncio.ensure_future(self._clock.sleep(seconds)),
            asyncio.ensure_future(self._changed.wait()),
        }
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _dispatch(self, batch: list[tuple[JobSpec, float]]) -> None:
        while len(self._submissions) >= _MAX_IN_FLIGHT:
            # Arrivals stay planned, so what waits here counts as latency and is not left out.
            await asyncio.wait(self._submissions, return_when=asyncio.FIRST_COMPLETED)
        task = asyncio.create_task(self._submit_quietly(batch))
        self._submissions.add(task)
        task.add_done_callback(self._submissions.discard)

    async def _submit_quietly(self, batch: list[tuple[JobSpec, float]]) -> None:
        try:
            await self._submit(batch)
        except DispatcherError as error:
            self.state.trouble = str(error)
            self._log.error("load.refused", code=error.code, jobs=len(batch), error=str(error))

    async def _submit(self, batch: list[tuple[JobSpec, float]]) -> list[str]:
        started = self._clock.wall()
        ids = await self._patient.submit([job for job, _ in batch])
        self.state.trouble = ""
        self._journal.accepted(
            [
                (job_id, job.reference, job.number, intended)
                for job_id, (job, intended) in zip(ids, batch, strict=True)
            ],
            at=started,
        )
        return ids

    def _troubled(self, error: DispatcherError) -> None:
        self.state.trouble = str(error)

    def _job(self, load: JobLoad) -> JobSpec:
        self._serial += 1
        return JobSpec(
            number=self._numbers.next(),
            profile=self._profile,
            load=client_load(load),
            reference=f"{self._journal.prefix}{self._serial}",
        )


def client_load(load: JobLoad) -> Load:
    """The load as the dispatcher's client takes it."""
    match load.kind:
        case "collision":
            return Collision(int(load.amount))
        case "verify":
            return Verify(int(load.amount))
        case "busy":
            return Busy(load.amount)
    return None


def highest_rate(arrivals: Arrivals) -> float:
    """Requests per second in the shape's high phase."""
    return highest_multiplier(arrivals.shape) / arrivals.delta
