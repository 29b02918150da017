"""How late a worker's heartbeats are while every core searches collisions.

The dispatcher is scripted, in this process: it hands out searches that do not end and notes when
each heartbeat arrives. Lateness is the gap between two heartbeats less the agreed interval, so a
late one counts once; one that comes early, as after a new job, counts as on time. A bare timer in a
third process shows how late anything is on this machine meanwhile: it is the control.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import grpc
from virtscale.v1 import job_pb2, worker_pb2, worker_pb2_grpc

from bench.numbers import number_at
from bench.rig import Rig, WorkerProcess, free_port

_ENDLESS_BITS = 40
_WARMUP_SECONDS = 2.0
_LEASE_SECONDS = 60
_FEWEST = 3


class _Recorder(worker_pb2_grpc.WorkerServiceServicer):
    def __init__(self, interval: float, slots: int) -> None:
        self.arrivals: list[float] = []
        self.busy_slots = 0
        self._interval = interval
        self._slots = slots

    async def Work(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
        """Welcomes the worker, fills its slots, then listens."""
        requests = aiter(request_iterator)
        if not (await anext(requests)).HasField("hello"):
            raise SystemExit("the worker did not say Hello first")
        welcome = worker_pb2.Welcome(session_id="bench", store_id="bench")
        welcome.heartbeat_interval.FromNanoseconds(int(self._interval * 1e9))
        welcome.lease_ttl.seconds = _LEASE_SECONDS
        yield worker_pb2.WorkResponse(welcome=welcome)
        jobs = worker_pb2.Jobs()
        for slot in range(self._slots):
            job = jobs.assignments.add(
                profile=job_pb2.HASH_PROFILE_LEGACY_SHA256, inputs=[number_at(slot).encode()]
            )
            job.lease.key, job.lease.epoch, job.lease.count = slot + 1, slot + 1, 1
            job.load.collision.difficulty_bits = _ENDLESS_BITS
            job.load.collision.seed = slot + 1
        yield worker_pb2.WorkResponse(jobs=jobs)
        async for request in requests:
            if request.HasField("heartbeat"):
                self.arrivals.append(time.monotonic())
                self.busy_slots = request.heartbeat.busy_slots


@dataclass(frozen=True)
class Lateness:
    """Ordered milliseconds: of the worker's heartbeats, and of a bare timer beside them."""

    lateness: list[float]
    control: list[float]


async def measure(rig: Rig, *, slots: int, interval: float, seconds: float) -> Lateness:
    """How late heartbeats came for so long.

    Raises:
        SystemExit: the worker was not busy on all slots, or sent next to no heartbeat.

    """
    recorder = _Recorder(interval, slots)
    server = grpc.aio.server()
    worker_pb2_grpc.add_WorkerServiceServicer_to_server(recorder, server)
    address = f"127.0.0.1:{free_port()}"
    server.add_insecure_port(address)
    await server.start()
    worker = WorkerProcess(rig, address, "bench-1", slots, 0)
    deadline = time.monotonic() + 30
    while recorder.busy_slots < slots:
        if time.monotonic() > deadline:
            raise SystemExit(f"the worker is not busy:\n{rig.tail('bench-1')}")
        await asyncio.sleep(0.05)
    await asyncio.sleep(_WARMUP_SECONDS)
    ticks = rig.directory / "ticks.json"
    timer = rig.python("metronome", "-m", "bench.metronome", str(interval), str(seconds), ticks)
    recorder.arrivals.clear()
    await asyncio.sleep(seconds)
    arrivals = list(recorder.arrivals)
    is_busy = recorder.busy_slots == slots
    if await asyncio.to_thread(timer.wait, seconds + 60) != 0:
        raise SystemExit(f"the bare timer failed:\n{rig.tail('metronome')}")
    worker.kill()
    await server.stop(0)
    if len(arrivals) < _FEWEST or not is_busy:
        raise SystemExit(f"only {len(arrivals)} heartbeats came in {seconds:.0f} s")
    return Lateness(
        late_gaps(arrivals, interval), late_gaps(json.loads(ticks.read_text()), interval)
    )


def late_gaps(arrivals: list[float], interval: float) -> list[float]:
    """Ordered milliseconds by which gaps between arrivals exceed the interval; early is 0."""
    gaps = (after - before for before, after in pairwise(arrivals))
    return sorted(max(0.0, gap - interval) * 1e3 for gap in gaps)
