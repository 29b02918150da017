"""Fills a dispatcher's queue and notes what it costs as the queue grows.

`python -m bench.filler REQUEST FILE`: REQUEST is JSON (`address`, `pid` of the dispatcher, `marks`:
the queue lengths at which to take stock); the figures are written to FILE.
"""

import asyncio
import json
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
from virtscale.v1 import job_pb2, license_pb2, license_pb2_grpc

from bench.numbers import numbers
from bench.usage import cpu_seconds, resident_bytes

_BATCH = 1_000
_IN_FLIGHT = 4
_SAMPLED_EVERY = 97
_SAMPLED_JOBS = 2_000
_MESSAGE_BYTES = 32 << 20


def _batches(first: int, last: int) -> Iterator[range]:
    for start in range(first, last, _BATCH):
        yield range(start, min(start + _BATCH, last))


async def _submit(stub: Any, part: range) -> list[tuple[int, str]]:
    jobs = [
        job_pb2.JobSpec(number=number, profile=job_pb2.HASH_PROFILE_LEGACY_SHA256)
        for number in numbers(part.start, len(part))
    ]
    request = license_pb2.SubmitJobsRequest(request_id=str(uuid.uuid4()), jobs=jobs)
    answer = await stub.SubmitJobs(request, timeout=60)
    if len(answer.job_ids) != len(part):
        raise SystemExit("a batch was accepted in part")
    return list(zip(part, answer.job_ids, strict=True))[::_SAMPLED_EVERY]


async def fill(asked: dict[str, Any]) -> dict[str, Any]:
    """Submits up to the last mark; one point per mark, and some jobs to check later."""
    pid, points = asked["pid"], []
    sample: list[tuple[int, str]] = []
    options = [("grpc.max_receive_message_length", _MESSAGE_BYTES)]
    async with grpc.aio.insecure_channel(asked["address"], options=options) as channel:
        stub = license_pb2_grpc.LicenseServiceStub(channel)
        queued = 0
        for mark in asked["marks"]:
            began, used = time.perf_counter(), cpu_seconds([pid])
            running: set[asyncio.Task[list[tuple[int, str]]]] = set()
            for part in _batches(queued, mark):
                if len(running) == _IN_FLIGHT:
                    done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    sample += [each for task in done for each in task.result()]
                running.add(asyncio.ensure_future(_submit(stub, part)))
            sample += [each for part in await asyncio.gather(*running) for each in part]
            points.append(
                {
                    "queued": mark,
                    "us_per_job": (time.perf_counter() - began) / (mark - queued) * 1e6,
                    "cpu_us_per_job": (cpu_seconds([pid]) - used) / (mark - queued) * 1e6,
                    "resident_bytes": resident_bytes(pid),
                }
            )
            queued = mark
    step = max(1, len(sample) // _SAMPLED_JOBS)
    return {"points": points, "sample": sample[::step]}


def main() -> None:
    """Fills once."""
    asked, path = json.loads(sys.argv[1]), Path(sys.argv[2])
    path.write_text(json.dumps(asyncio.run(fill(asked))))


if __name__ == "__main__":
    main()
