"""A client in a process of its own: batches on a StreamJobs call, every answer checked.

`python -m bench.submitter REQUEST FILE`: REQUEST is JSON (`address`, `batch`, `jobs`, `warmup`,
`window`, `start`, `watch` from name to process id); the figures are written to FILE.
"""

import asyncio
import json
import sys
import time
import uuid
from functools import partial
from pathlib import Path
from typing import Any

import grpc
from virtscale.v1 import job_pb2, license_pb2, license_pb2_grpc

from bench.numbers import check_answers, number_at
from bench.usage import CpuMeter

_LEGACY = job_pb2.HASH_PROFILE_LEGACY_SHA256
_MESSAGE_BYTES = 32 << 20


class _Submission:
    """One stream: keeps `window` jobs unanswered, never more."""

    def __init__(self, stub: Any, batch: int, window: int) -> None:
        self._stub = stub
        self._batch = batch
        self._window = window
        self._order: dict[str, int] = {}
        self._accepted: list[tuple[int, list[str]]] = []
        self._hashes: dict[str, str] = {}
        self._room = asyncio.Condition()
        self._submitted = 0

    async def run(self, start: int, jobs: int) -> list[tuple[str, str]]:
        """Submits, returns (number, stored hash) of every job."""
        call = self._stub.StreamJobs()
        writing = asyncio.ensure_future(self._write(call, start, jobs))
        while (response := await call.read()) is not grpc.aio.EOF:
            if self._take(response):
                async with self._room:
                    self._room.notify()
        await writing
        return [
            (number_at(first + offset), self._hashes[job_id])
            for first, job_ids in self._accepted
            for offset, job_id in enumerate(job_ids)
        ]

    async def _write(self, call: Any, start: int, jobs: int) -> None:
        for first in range(start, start + jobs, self._batch):
            size = min(self._batch, start + jobs - first)
            async with self._room:
                await self._room.wait_for(partial(self._has_room, size))
            request = license_pb2.StreamJobsRequest(request_id=str(uuid.uuid4()))
            for index in range(first, first + size):
                request.jobs.add(number=number_at(index), profile=_LEGACY)
            self._order[request.request_id] = first
            self._submitted += size
            await call.write(request)
        await call.done_writing()

    def _has_room(self, size: int) -> bool:
        return self._submitted + size - len(self._hashes) <= max(self._window, size)

    def _take(self, response: Any) -> bool:
        """Notes an event; whether it brought results. Batches of results are taken as well."""
        kind = response.WhichOneof("event")
        event = getattr(response, kind)
        if kind == "accepted":
            self._accepted.append((self._order[event.request_id], list(event.job_ids)))
            return False
        for job in event.jobs if hasattr(event, "jobs") else (event,):
            if job.state != job_pb2.JOB_STATE_DONE:
                raise SystemExit(f"a job ended as {job_pb2.JobState.Name(job.state)}")
            self._hashes[job.job_id] = job.result.hash
        return True


async def measure(request: dict[str, Any]) -> dict[str, Any]:
    """The figures of one run, warm-up excluded."""
    options = [("grpc.max_receive_message_length", _MESSAGE_BYTES)]
    async with grpc.aio.insecure_channel(request["address"], options=options) as channel:
        stub = license_pb2_grpc.LicenseServiceStub(channel)
        start, warmup, jobs = request["start"], request["warmup"], request["jobs"]
        await _Submission(stub, request["batch"], request["window"]).run(start, warmup)
        meter = CpuMeter(request["watch"] | {"client": _own_pid()})
        began = time.perf_counter()
        answers = await _Submission(stub, request["batch"], request["window"]).run(
            start + warmup, jobs
        )
        seconds = time.perf_counter() - began
        used, others = meter.seconds(), meter.others() / seconds
    if check_answers(answers) != jobs:
        raise SystemExit(f"{len(answers)} of {jobs} jobs were answered")
    return {"jobs": jobs, "seconds": seconds, "cpu_seconds": used, "others": others}


def _own_pid() -> int:
    return int(Path("/proc/self").readlink().name)


def main() -> None:
    """Runs one measurement."""
    request, path = json.loads(sys.argv[1]), Path(sys.argv[2])
    path.write_text(json.dumps(asyncio.run(measure(request))))


if __name__ == "__main__":
    main()
