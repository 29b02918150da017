"""How soon a lost worker's jobs are leased again: killed with -9, or frozen with SIGSTOP.

The victims are real guest workers with jobs in their hashing processes; the worker that gets the
jobs afterwards is scripted here, so that the instant is taken outside of the code under test.
"""

import asyncio
import os
import signal
import time
import uuid
from typing import Any

import grpc
from virtscale.v1 import (
    fleet_pb2,
    fleet_pb2_grpc,
    job_pb2,
    license_pb2,
    license_pb2_grpc,
    worker_pb2,
    worker_pb2_grpc,
)

from bench.numbers import number_at
from bench.peers.formula import sha256
from bench.rig import DispatcherProcess, Rig, WorkerProcess, join_token

_BUSY_SECONDS = 600
_PATIENCE_SECONDS = 30.0
_POLL_SECONDS = 0.02
_SURVIVOR = "survivor"


class _Survivor:
    """A scripted worker: takes jobs when told to, notes when each came, answers at once."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._call: Any = worker_pb2_grpc.WorkerServiceStub(channel).Work(wait_for_ready=True)
        self.came: dict[int, float] = {}
        self._news = asyncio.Condition()
        self._writing = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    async def _send(self, request: worker_pb2.WorkRequest) -> None:
        # A gRPC stream takes one writer at a time.
        async with self._writing:
            await self._call.write(request)

    async def join(self) -> None:
        """Says Hello and stays alive from then on."""
        hello = worker_pb2.Hello(
            worker_id=_SURVIVOR,
            instance_id=str(uuid.uuid4()),
            join_token=join_token(_SURVIVOR),
            slots=64,
            profiles=[job_pb2.HASH_PROFILE_LEGACY_SHA256],
        )
        await self._send(worker_pb2.WorkRequest(hello=hello))
        welcome = (await self._call.read()).welcome
        beat = welcome.heartbeat_interval.ToTimedelta().total_seconds()
        self._tasks = [
            asyncio.ensure_future(self._read()),
            asyncio.ensure_future(self._beat(beat)),
        ]

    async def take(self, jobs: int) -> None:
        """Asks for so many jobs."""
        await self._send(worker_pb2.WorkRequest(credit=worker_pb2.Credit(jobs=jobs)))

    async def got(self, job_id: str, seconds: float) -> float:
        """The instant at which this job had come. Its key is the number at the end of its id."""
        key = int(job_id.rpartition("-")[2])
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(lambda: key in self.came)
        return self.came[key]

    async def leave(self) -> None:
        """Cuts the stream."""
        self._call.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _read(self) -> None:
        while (response := await self._call.read()) is not grpc.aio.EOF:
            now = time.monotonic()
            if response.WhichOneof("message") != "jobs":
                continue
            results = worker_pb2.Results()
            async with self._news:
                for run in response.jobs.assignments:
                    for place in range(len(run.inputs)):
                        self.came.setdefault(run.lease.key + place, now)
                    hashes = [sha256(number.decode()) for number in run.inputs]
                    results.outcomes.add(lease=run.lease, hashes=hashes)
                self._news.notify_all()
            await self._send(worker_pb2.WorkRequest(results=results))

    async def _beat(self, interval: float) -> None:
        while True:
            await self._send(worker_pb2.WorkRequest(heartbeat=worker_pb2.Heartbeat()))
            await asyncio.sleep(interval / 2)


class _Scene:
    """One dispatcher, one survivor, victims that come and go."""

    def __init__(self, rig: Rig, dispatcher: DispatcherProcess, channel: grpc.aio.Channel) -> None:
        self._rig = rig
        self._dispatcher = dispatcher
        self._licenses: Any = license_pb2_grpc.LicenseServiceStub(channel)
        self._fleet: Any = fleet_pb2_grpc.FleetServiceStub(channel)
        self._survivor = _Survivor(channel)
        self._index = 0

    async def begin(self) -> None:
        await self._survivor.join()

    async def end(self) -> None:
        await self._survivor.leave()

    async def lose(self, victims: int, number: int, patience: float) -> list[float]:
        """Milliseconds from the signal to the last lease, per victim."""
        workers = []
        for each in range(victims):
            name = f"victim-{self._index}-{each}"
            workers.append((name, WorkerProcess(self._rig, self._dispatcher.address, name, 1, 0)))
        held = await self._give([name for name, _ in workers])
        await self._survivor.take(victims)
        at = {}
        for name, worker in workers:
            at[name] = time.monotonic()
            os.killpg(worker.pid, number)
        took = [
            (await self._survivor.got(held[name], patience) - at[name]) * 1e3 for name, _ in workers
        ]
        for _, worker in workers:
            worker.kill()
        await self._gone([name for name, _ in workers])
        return took

    async def _give(self, names: list[str]) -> dict[str, str]:
        """One long job for each victim; returns the job by victim."""
        await self._until(names, connected=True)
        request = license_pb2.SubmitJobsRequest(request_id=str(uuid.uuid4()))
        for _ in names:
            spec = request.jobs.add(
                number=number_at(self._index), profile=job_pb2.HASH_PROFILE_LEGACY_SHA256
            )
            spec.load.busy.duration.seconds = _BUSY_SECONDS
            self._index += 1
        job_ids = list((await self._licenses.SubmitJobs(request, timeout=30)).job_ids)
        await self._until(names, connected=True, leases=1)
        return dict(zip(names, job_ids, strict=True))

    async def _gone(self, names: list[str]) -> None:
        await self._until(names, connected=False)

    async def _until(self, names: list[str], *, connected: bool, leases: int = 0) -> None:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                answer = await self._fleet.ListWorkers(fleet_pb2.ListWorkersRequest(), timeout=10)
                there = {each.worker_id: each.leases for each in answer.workers}
                if connected and all(there.get(name, -1) >= leases for name in names):
                    return
                if not connected and not set(names) & set(there):
                    return
                await asyncio.sleep(_POLL_SECONDS)


async def measure(
    rig: Rig, *, number: signal.Signals, rounds: int, victims: int, patience: float, **settings: Any
) -> list[float]:
    """Ordered milliseconds from the signal to the new lease, over `rounds` times `victims`."""
    dispatcher = DispatcherProcess(rig, **settings)
    dispatcher.start()
    took: list[float] = []
    async with grpc.aio.insecure_channel(dispatcher.address) as channel:
        scene = _Scene(rig, dispatcher, channel)
        await scene.begin()
        for _ in range(rounds):
            took += await scene.lose(victims, number, patience)
        await scene.end()
    dispatcher.kill()
    return sorted(took)
