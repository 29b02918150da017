"""A worker that hashes whatever it gets and comes back when its dispatcher is gone."""

import asyncio
import contextlib

import grpc

from tests.contract.dispatcher_process import ScriptedWorker

_CREDIT = 50


class HashingWorker:
    """Runs from `start` to `stop`; does not keep results over a lost connection."""

    def __init__(self, *addresses: str, worker_id: str = "w1") -> None:
        self._addresses = addresses
        self._worker_id = worker_id
        self._task: asyncio.Task[None] | None = None
        self.answered = 0

    def start(self) -> "HashingWorker":
        self._task = asyncio.ensure_future(self._run())
        return self

    async def stop(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        place = 0
        while True:
            worker = ScriptedWorker(self._addresses[place % len(self._addresses)], self._worker_id)
            place += 1
            try:
                async with asyncio.timeout(2.0):
                    await worker.connect()
                    await worker.credit(_CREDIT)
                await self._work(worker)
            except (TimeoutError, AttributeError, grpc.aio.AioRpcError, asyncio.InvalidStateError):
                pass  # nobody there, or no more
            finally:
                await worker.cut()

    async def _work(self, worker: ScriptedWorker) -> None:
        while "end" not in worker.told:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    assignment = await worker.assignments.get()
                await worker.answer(assignment)
                await worker.credit(1)
                self.answered += 1
