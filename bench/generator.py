"""An open-loop generator in a process of its own: single SubmitJobs calls at random instants.

The instants are fixed beforehand (exponential gaps, seeded), so a slow answer delays no later call,
and latency counts from the instant at which a call should have been made. How late this process
itself made it is recorded too: a generator that is late measures itself.

`python -m bench.generator REQUEST FILE`: REQUEST is JSON (`address`, `rate` per second, `begin_at`
and `seconds` on the monotonic clock, `seed`, `start` index of numbers, `deadline` of a call in
seconds); FILE gets one row per call, and the CPU time used from the first call on.

The calls are made with `bench.http2_calls` and prepared beforehand: on a machine that it shares
with the dispatcher, a gRPC library's client would take the cores that it is there to measure.
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

from virtscale.v1 import job_pb2, license_pb2

from bench.http2_calls import Call, Calls, Method, connect
from bench.numbers import number_at

_PATH = "/virtscale.v1.LicenseService/SubmitJobs"
# Each wake-up of this process takes a core from those it measures. What a call waits for it is
# counted, like all of its lateness.
_APART_SECONDS = 0.0005
_RETRY_INFO = b"google.rpc.RetryInfo"


def instants(rate: float, begin_at: float, seconds: float, seed: int) -> list[float]:
    """When the calls are due: a Poisson process of this rate."""
    draw = random.Random(seed)
    due, at = [], begin_at + draw.expovariate(rate)
    while at < begin_at + seconds:
        due.append(at)
        at += draw.expovariate(rate)
    return due


def _prepared(asked: dict[str, Any]) -> list[Call]:
    method = Method(_PATH, asked["address"], asked["deadline"])
    calls = []
    due = instants(asked["rate"], asked["begin_at"], asked["seconds"], asked["seed"])
    for index, at in enumerate(due, asked["start"]):
        spec = job_pb2.JobSpec(number=number_at(index), profile=job_pb2.HASH_PROFILE_LEGACY_SHA256)
        request = license_pb2.SubmitJobsRequest(request_id=str(uuid.uuid4()), jobs=[spec])
        calls.append(method.call(request.SerializeToString(), at))
    return calls


def _row(call: Call) -> dict[str, Any]:
    row: dict[str, Any] = {
        "due": call.due,
        "sent": call.sent,
        "code": call.code,
        "answered": call.answered,
    }
    if call.code == "OK":
        row["job_id"] = license_pb2.SubmitJobsResponse.FromString(call.message).job_ids[0]
    else:
        row["has_retry_info"] = _RETRY_INFO in call.details
    return row


class _Timetable:
    """Starts every call when it is due; those that are due together go in one write."""

    def __init__(self, connection: Calls, calls: list[Call]) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection, self._calls, self._next = connection, calls, 0
        self.is_over = self._loop.create_future()

    def go_on(self) -> None:
        """Starts what is due, and comes back for the next."""
        calls, first, last = self._calls, self._next, len(self._calls)
        now, after = time.monotonic(), first
        while after < last and calls[after].due <= now:
            after += 1
        self._connection.start(calls[first:after])
        self._next = after
        if after < last:
            self._loop.call_at(max(calls[after].due, now + _APART_SECONDS), self.go_on)
        else:
            self.is_over.set_result(None)


async def generate(asked: dict[str, Any]) -> tuple[list[Call], float]:
    """The calls with what came of them, and the CPU time used before the first."""
    # Nothing here makes reference cycles, and a collection would make calls late.
    gc.disable()
    calls = _prepared(asked)
    connection = await connect(asked["address"], asked["deadline"])
    gc.freeze()
    used = time.process_time()
    timetable = _Timetable(connection, calls)
    timetable.go_on()
    await timetable.is_over
    await connection.drained()
    if connection.fault:
        print(f"the connection ended: {connection.fault}", file=sys.stderr)
    connection.close()
    return calls, used


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
    _take_precedence()
    with asyncio.Runner(loop_factory=_precise_loop) as runner:
        calls, used_before = runner.run(generate(asked))
    rows = json.dumps([_row(call) for call in calls])
    used = time.process_time() - used_before
    path.write_text(f'{{"rows": {rows}, "cpu_seconds": {used}}}')


if __name__ == "__main__":
    main()
