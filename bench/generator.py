"""An open-loop generator in a process of its own: single SubmitJobs calls at random instants.

The instants are fixed beforehand (exponential gaps, seeded), so a slow answer delays no later call,
and latency counts from the instant at which a call should have been made. How late this process
itself made it is recorded too: a generator that is late measures itself.

`python -m bench.generator REQUEST FILE`: REQUEST is JSON (`address`, `rate` per second, `begin_at`
and `seconds` on the monotonic clock, `seed`, `start` index of numbers, `deadline` of a call in
seconds, `is_urgent`: go before other processes); FILE gets one row per call, and the CPU time used.
"""

import asyncio
import contextlib
import gc
import json
import os
import random
import selectors
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import grpc
from virtscale.v1 import job_pb2, license_pb2, license_pb2_grpc

from bench.numbers import number_at

_RETRY_INFO = b"google.rpc.RetryInfo"
_DETAILS = "grpc-status-details-bin"


def instants(rate: float, begin_at: float, seconds: float, seed: int) -> list[float]:
    """When the calls are due: a Poisson process of this rate."""
    draw = random.Random(seed)
    due, at = [], begin_at + draw.expovariate(rate)
    while at < begin_at + seconds:
        due.append(at)
        at += draw.expovariate(rate)
    return due


class _Calls:
    """Makes the calls and notes what came of each."""

    def __init__(self, stub: Any, deadline: float) -> None:
        self._submit = stub.SubmitJobs
        self._deadline = deadline
        self.rows: list[dict[str, Any]] = []

    async def make(self, request: Any, due: float) -> None:
        """One call, from now."""
        row: dict[str, Any] = {"due": due, "sent": time.monotonic(), "code": "OK"}
        try:
            answer = await self._submit(request, timeout=self._deadline)
            row["job_id"] = answer.job_ids[0]
        except grpc.aio.AioRpcError as error:
            row["code"] = error.code().name
            details = dict(error.trailing_metadata() or ()).get(_DETAILS, b"")
            row["has_retry_info"] = _RETRY_INFO in bytes(details)
        row["answered"] = time.monotonic()
        self.rows.append(row)


def _request(index: int) -> license_pb2.SubmitJobsRequest:
    spec = job_pb2.JobSpec(number=number_at(index), profile=job_pb2.HASH_PROFILE_LEGACY_SHA256)
    return license_pb2.SubmitJobsRequest(request_id=str(uuid.uuid4()), jobs=[spec])


async def generate(asked: dict[str, Any]) -> list[dict[str, Any]]:
    """One row per call."""
    due = instants(asked["rate"], asked["begin_at"], asked["seconds"], asked["seed"])
    requests = [_request(asked["start"] + offset) for offset in range(len(due))]
    async with grpc.aio.insecure_channel(asked["address"]) as channel:
        calls = _Calls(license_pb2_grpc.LicenseServiceStub(channel), asked["deadline"])
        await channel.channel_ready()
        gc.collect()
        gc.freeze()
        gc.disable()
        running = set()
        for at, request in zip(due, requests, strict=True):
            while (ahead := at - time.monotonic()) > 0:  # noqa: ASYNC110 - it is an instant
                await asyncio.sleep(ahead)
            running.add(task := asyncio.ensure_future(calls.make(request, at)))
            task.add_done_callback(running.discard)
        if running:
            await asyncio.wait(running)
    return calls.rows


def _precise_loop() -> asyncio.AbstractEventLoop:
    # epoll rounds every wait up to a whole millisecond; select does not.
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


def _take_precedence() -> None:
    """Goes before other processes where that is allowed.

    The generator stands for clients on other machines, which would not wait for this one's cores.
    """
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def main() -> None:
    """Generates once."""
    asked, path = json.loads(sys.argv[1]), Path(sys.argv[2])
    if asked["is_urgent"]:
        _take_precedence()
    with asyncio.Runner(loop_factory=_precise_loop) as runner:
        rows = runner.run(generate(asked))
    path.write_text(json.dumps({"rows": rows, "cpu_seconds": time.process_time()}))


if __name__ == "__main__":
    main()
