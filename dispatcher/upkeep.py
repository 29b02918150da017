"""What the store needs beside the work: a look for damage at start, and removal of what is old."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from dispatcher.ports import JobStore, StoreUnavailableError
from dispatcher.request_age import RequestAge
from dispatcher.retention import CautiousClock, Retention
from dispatcher.store_health import StoreHealth
from dispatcher.telemetry import Telemetry
from servicekit import logs
from servicekit.clock import Clock

_ROUND_SECONDS = 60.0
_BATCH = 500
_CHECK_RETRY_SECONDS = 60.0


class Upkeep:
    """Runs beside the loop; never holds the store's writer for longer than one small batch."""

    def __init__(
        self,
        *,
        store: JobStore,
        clock: Clock,
        telemetry: Telemetry,
        health: StoreHealth,
        retention: Retention,
    ) -> None:
        self._store = store
        self._clock = clock
        self._telemetry = telemetry.store
        self._health = health
        self._retention = retention
        self._cautious = CautiousClock(clock.wall(), clock.monotonic())
        self._request_age = RequestAge(wall=clock.wall(), monotonic=clock.monotonic())
        self._log = logs.get()

    async def run(self) -> None:
        """Checks once, tidies for ever, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._check())
            tasks.create_task(self._keep_tidy())

    async def _check(self) -> None:
        """Looks the whole file over while the dispatcher serves."""
        while True:
            begun = self._clock.monotonic()
            try:
                fault = await self._store.check()
                break
            except StoreUnavailableError as error:
                self._log.warning("store.check_postponed", reason=str(error))
                await self._clock.sleep(_CHECK_RETRY_SECONDS)
        seconds = self._clock.monotonic() - begun
        self._telemetry.checked(seconds)
        if fault is None:
            self._log.info("store.checked", seconds=round(seconds, 3))
        else:
            self._health.damaged(
                f"the store is damaged ({fault}): no new work is taken; stop the dispatcher and "
                "restore a backup (virtscale restore FILE)"
            )

    async def _keep_tidy(self) -> None:
        was_doubting = False
        while True:
            now = self._cautious.read(self._clock.wall(), self._clock.monotonic())
            if self._cautious.is_doubting and not was_doubting:
                self._log.warning("clock.stepped_forward", believed_after="a day")
            was_doubting = self._cautious.is_doubting
            with contextlib.suppress(StoreUnavailableError):
                await self._forget_requests()
                await self.tidy(now)
            await self._clock.sleep(_ROUND_SECONDS)

    async def _forget_requests(self) -> None:
        clock = self._clock
        before = self._request_age.forget_before(wall=clock.wall(), monotonic=clock.monotonic())
        await self._in_batches(lambda: self._store.forget_requests(before, _BATCH))

    async def tidy(self, now: float) -> None:
        """Removes all that is too old or too much at that time.

        Raises:
            StoreUnavailableError: the store cannot write; the rest is left for the next round.

        """
        retention = self._retention
        if retention.is_for_ever or self._health.damage:
            return
        oldest = None if retention.seconds is None else now - retention.seconds
        removed = await self._in_batches(
            lambda: self._store.remove_finals(before=oldest, keep=retention.count, limit=_BATCH)
        )
        if removed:
            self._telemetry.removed(removed)
            self._log.info("jobs.removed", jobs=removed)

    async def _in_batches(self, remove: Callable[[], Awaitable[int]]) -> int:
        """Removes until a batch is not full.

        Rests as long as each took: at most half of the writer's time is spent here.
        """
        total = 0
        while True:
            begun = self._clock.monotonic()
            removed = await remove()
            total += removed
            if removed < _BATCH:
                return total
            await self._clock.sleep(self._clock.monotonic() - begun)
