"""A dispatcher's FleetService in memory, on top of a simulated world."""

import asyncio

from scaler.pool import WorkerRecord, WorkerState
from scaler.ports import DrainEnd, FleetError


class FakeFleet:
    """Sees the world's workers. A drain returns when the world says that it is over."""

    def __init__(self, world):
        self._world = world
        self.is_away = False
        self._drains = {}

    async def workers(self):
        await self._answer()
        found = []
        for worker in self._world.workers.values():
            if not worker.is_connected and not worker.is_cordoned:
                continue
            found.append(
                WorkerRecord(
                    worker_id=worker.name,
                    state=self._state(worker),
                    slots=self._world.slots,
                    busy_slots=len(worker.leases),
                    leases=len(worker.leases),
                    connected_since=worker.connected_at if worker.is_connected else None,
                    oldest_lease_since=min(worker.leases.values(), default=None)
                    if worker.leases
                    else None,
                )
            )
        return tuple(found)

    def _state(self, worker):
        if not worker.is_connected:
            return WorkerState.DISCONNECTED
        if worker.name in self._drains:
            return WorkerState.DRAINING
        return WorkerState.CORDONED if worker.is_cordoned else WorkerState.READY

    async def cordon(self, worker_id, *, reason, max_leases):
        await self._answer()
        # As the dispatcher: also a worker that has never been there.
        worker = self._world.worker(worker_id)
        if max_leases is not None and len(worker.leases) > max_leases:
            return False
        worker.is_cordoned = True
        return True

    async def drain(self, worker_id, *, reason, deadline_seconds):
        await self._answer()
        worker = self._find(worker_id)
        worker.is_cordoned = True
        future = asyncio.get_running_loop().create_future()
        self._drains[worker_id] = (future, self._world.clock.wall() + deadline_seconds)
        try:
            return await future
        finally:
            self._drains.pop(worker_id, None)

    async def uncordon(self, worker_id):
        await self._answer()
        worker = self._world.workers.get(worker_id)
        if worker is None:
            return
        worker.is_cordoned = False
        drain = self._drains.get(worker_id)
        if drain is not None and not drain[0].done():
            drain[0].set_result(DrainEnd.CANCELLED)

    def step(self):
        """Ends the drains that are over."""
        for name, (future, deadline) in list(self._drains.items()):
            worker = self._world.workers[name]
            if future.done():
                continue
            if self.is_away:
                future.set_exception(FleetError("dispatcher: UNAVAILABLE"))
            elif not worker.is_connected:
                future.set_result(DrainEnd.LOST)
            elif not worker.leases:
                future.set_result(DrainEnd.DRAINED)
            elif self._world.clock.wall() >= deadline:
                self._world.take_back(worker)
                future.set_result(DrainEnd.DEADLINE)

    async def _answer(self):
        await asyncio.sleep(0)
        if self.is_away:
            raise FleetError("dispatcher: UNAVAILABLE")

    def _find(self, worker_id):
        worker = self._world.workers.get(worker_id)
        if worker is None:
            raise FleetError(f"dispatcher: NOT_FOUND: no worker {worker_id}")
        return worker
