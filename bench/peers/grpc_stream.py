"""A bare gRPC stream of batches to one hashing process: no store, no lease, no retry.

The upper bound of what this language and this transport give. `worker ADDRESS` is the hashing side;
without these words it is the giving side, and measures.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
from virtscale.v1 import worker_pb2, worker_pb2_grpc

from bench.peers import formula, measuring

_BATCH = 256
_IN_FLIGHT = 8


class _Giver(worker_pb2_grpc.WorkerServiceServicer):
    """Hands out numbers to the one worker, keeping some batches in flight."""

    def __init__(self) -> None:
        self.work: asyncio.Queue[list[str]] = asyncio.Queue()
        self.answers: asyncio.Queue[Sequence[str]] = asyncio.Queue()

    async def Work(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
        reading = asyncio.ensure_future(self._read(request_iterator))
        try:
            while True:
                run = worker_pb2.Assignment(inputs=map(str.encode, await self.work.get()))
                jobs = worker_pb2.Jobs(assignments=[run])
                yield worker_pb2.WorkResponse(jobs=jobs)
        finally:
            reading.cancel()

    async def _read(self, requests: Any) -> None:
        async for request in requests:
            if request.HasField("results"):
                self.answers.put_nowait(request.results.outcomes[0].hashes)

    async def round(self, numbers: list[str]) -> list[tuple[str, str]]:
        """Every number with its hash."""
        batches = [numbers[at : at + _BATCH] for at in range(0, len(numbers), _BATCH)]
        for batch in batches[:_IN_FLIGHT]:
            self.work.put_nowait(batch)
        answers: list[tuple[str, str]] = []
        for place, batch in enumerate(batches):
            answers += zip(batch, await self.answers.get(), strict=True)
            if place + _IN_FLIGHT < len(batches):
                self.work.put_nowait(batches[place + _IN_FLIGHT])
        return answers


async def _give(asked: dict[str, Any]) -> None:
    server = grpc.aio.server()
    giver = _Giver()
    worker_pb2_grpc.add_WorkerServiceServicer_to_server(giver, server)
    server.add_insecure_port(asked["address"])
    await server.start()
    loop = asyncio.get_running_loop()

    def work(numbers: list[str]) -> list[tuple[str, str]]:
        return asyncio.run_coroutine_threadsafe(giver.round(numbers), loop).result()

    await asyncio.to_thread(measuring.measure, asked, work)
    await server.stop(0)


def main() -> None:
    """Runs the giving side, or the hashing side."""
    if sys.argv[1] == "worker":
        asyncio.run(hash_numbers(sys.argv[2]))
    else:
        asyncio.run(_give(measuring.request()))


async def hash_numbers(address: str) -> None:
    """Hashes what comes until the stream ends."""
    async with grpc.aio.insecure_channel(address) as channel:
        call: Any = worker_pb2_grpc.WorkerServiceStub(channel).Work(wait_for_ready=True)
        await call.write(worker_pb2.WorkRequest())
        while (response := await call.read()) is not grpc.aio.EOF:
            results = worker_pb2.Results()
            for run in response.jobs.assignments:
                hashes = [formula.sha256(number.decode()) for number in run.inputs]
                results.outcomes.add(lease=run.lease, hashes=hashes)
            await call.write(worker_pb2.WorkRequest(results=results))


if __name__ == "__main__":
    main()
