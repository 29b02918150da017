"""What the scaler and operators ask: who works, who should stop, how much waits."""

import asyncio
from dataclasses import replace

from dispatcher.cordons import CordonAnswer
from dispatcher.effects import DrainOutcome
from dispatcher.ports import Backlog, JobStore, StoreUnavailableError
from dispatcher.pump import Pump
from dispatcher.sessions import WorkerView
from servicekit import logs
from servicekit.clock import Clock


class Fleet:
    """See `ports.FleetDesk`."""

    def __init__(self, *, pump: Pump, store: JobStore, clock: Clock) -> None:
        self._pump = pump
        self._store = store
        self._clock = clock
        self._log = logs.get()
        # A cordon that counts and is not on disk yet must not answer a second call, and a lift
        # under way must not take back a cordon that was granted after it.
        self._changing = asyncio.Lock()

    def workers(self) -> list[WorkerView]:
        """See `ports.FleetDesk.workers`."""
        return self._pump.ledger.workers(self._clock.monotonic())

    def wall(self) -> float:
        """See `ports.FleetDesk.wall`."""
        return self._clock.wall()

    async def cordon(self, worker_id: str, reason: str, max_leases: int | None) -> CordonAnswer:
        """See `ports.FleetDesk.cordon`."""
        ledger = self._pump.ledger
        async with self._changing:
            was_cordoned = ledger.is_cordoned(worker_id)
            answer = ledger.cordon(worker_id, reason, max_leases)
            if answer.is_granted and not was_cordoned:
                await self._keep(worker_id, reason)
                self._log.info(
                    "worker.cordoned", worker=worker_id, reason=reason, leases=answer.leases
                )
        return answer

    async def drain(self, worker_id: str, reason: str, seconds: float) -> tuple[DrainOutcome, int]:
        """See `ports.FleetDesk.drain`."""
        await self.cordon(worker_id, reason, None)
        return await asyncio.shield(self._pump.drain(worker_id, reason, seconds))

    async def uncordon(self, worker_id: str) -> bool:
        """See `ports.FleetDesk.uncordon`."""
        async with self._changing:
            if not self._pump.ledger.is_cordoned(worker_id):
                return False
            # Forgotten on disk first: a crash in between leaves it cordoned, the caller unanswered.
            await self._store.set_cordon(worker_id, None)
            self._pump.uncordon(worker_id)
            self._log.info("worker.uncordoned", worker=worker_id)
        return True

    def backlog(self) -> Backlog:
        """See `ports.FleetDesk.backlog`."""
        ledger = self._pump.ledger
        oldest = ledger.oldest_ready()
        return Backlog(
            counts=replace(ledger.counts),
            oldest_ready_age=None if oldest is None else max(0.0, self._clock.wall() - oldest),
            slots=sum(worker.slots for worker in self.workers() if worker.takes_jobs),
        )

    async def _keep(self, worker_id: str, reason: str) -> None:
        """Writes a cordon that already counts; takes it back when it cannot be written."""
        try:
            await self._store.set_cordon(worker_id, reason)
        except StoreUnavailableError:
            self._pump.uncordon(worker_id)
            raise
