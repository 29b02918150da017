"""A scripted dispatcher in a process of its own: keeps one worker fed and checks its answers.

`python -m bench.feeder REQUEST FILE`: REQUEST is JSON (`address`, `profile`, `warmup`, `seconds`,
`worker`: the worker's process id).
"""

import asyncio
import base64
import json
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
from virtscale.v1 import job_pb2, worker_pb2, worker_pb2_grpc

from bench.numbers import is_hash_of, number_at
from bench.raw_hashing import ARGON2_COST, argon2id
from bench.usage import alone_bytes, cpu_seconds, family, proportional_bytes

_PROFILES = {
    "legacy-sha256": job_pb2.HASH_PROFILE_LEGACY_SHA256,
    "argon2id": job_pb2.HASH_PROFILE_ARGON2ID,
}
_BATCH = 256
_CHECKED = {"legacy-sha256": 100_000, "argon2id": 20}
_FEWEST = {"legacy-sha256": 20_000, "argon2id": 5}
"""A busy machine may leave a short run too few jobs to tell anything by."""
_PATIENCE_SECONDS = 30.0


class Feeder(worker_pb2_grpc.WorkerServiceServicer):
    """Sends jobs against credit, acknowledges every result at once."""

    def __init__(self, profile: str) -> None:
        self.done = 0
        self.answers: dict[int, str] = {}
        self._profile = profile
        self._credit = 0
        self._next = 0
        self._out: asyncio.Queue[Any] = asyncio.Queue()

    async def Work(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
        """The session of the one worker."""
        welcome = worker_pb2.Welcome(session_id="bench", store_id="bench")
        welcome.heartbeat_interval.seconds = 2
        welcome.lease_ttl.seconds = 60
        self._out.put_nowait(worker_pb2.WorkResponse(welcome=welcome))
        reading = asyncio.ensure_future(self._read(request_iterator))
        try:
            while True:
                yield await self._out.get()
        finally:
            reading.cancel()

    async def _read(self, requests: Any) -> None:
        async for request in requests:
            self._credit += request.credit.jobs + request.results.credit
            if request.HasField("results"):
                self._acknowledge(request.results.outcomes)
            while self._credit:
                size = min(self._credit, _BATCH)
                self._credit -= size
                self._out.put_nowait(worker_pb2.WorkResponse(jobs=self._jobs(size)))

    def _acknowledge(self, outcomes: Any) -> None:
        acks = worker_pb2.ResultAcks()
        for outcome in outcomes:
            if not outcome.hashes:
                raise SystemExit(f"the worker refused a job: {outcome.refusal.message}")
            acks.leases.append(outcome.lease)
            self.done += len(outcome.hashes)
            if len(self.answers) < _CHECKED[self._profile]:
                self.answers |= dict(enumerate(outcome.hashes, outcome.lease.key - 1))
        self._out.put_nowait(worker_pb2.WorkResponse(result_acks=acks))

    def _jobs(self, size: int) -> worker_pb2.Jobs:
        """One run of jobs; a key is the index of the job's number plus one."""
        indices = range(self._next, self._next + size)
        self._next += size
        run = worker_pb2.Assignment(profile=_PROFILES[self._profile])
        run.lease.key, run.lease.epoch, run.lease.count = indices[0] + 1, indices[0] + 1, size
        if self._profile == "argon2id":
            run.inputs.extend(index.to_bytes(32, "big") for index in indices)
            run.key_id = "k1"
            run.argon2_cost.memory_kib = ARGON2_COST["memory_kib"]
            run.argon2_cost.passes = ARGON2_COST["passes"]
            run.argon2_cost.lanes = ARGON2_COST["lanes"]
        else:
            run.inputs.extend(number_at(index).encode() for index in indices)
        return worker_pb2.Jobs(assignments=[run])

    def check(self) -> int:
        """How many answers were verified.

        Raises:
            SystemExit: one is wrong.

        """
        for index, stored in self.answers.items():
            if not _is_right(self._profile, index, stored):
                raise SystemExit("a hash does not verify: the run does not count")
        return len(self.answers)


def _is_right(profile: str, index: int, stored: str) -> bool:
    if profile == "legacy-sha256":
        return is_hash_of(stored, number_at(index))
    salt, digest = (_unbase64(part) for part in stored.split("$")[-2:])
    return argon2id(index.to_bytes(32, "big"), salt, len(digest)) == digest


def _unbase64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))


async def measure(asked: dict[str, Any]) -> dict[str, Any]:
    """Jobs in the measured seconds, and the CPU time of the worker's processes meanwhile."""
    server = grpc.aio.server()
    feeder = Feeder(asked["profile"])
    worker_pb2_grpc.add_WorkerServiceServicer_to_server(feeder, server)
    server.add_insecure_port(asked["address"])
    await server.start()
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not feeder.done:
        if time.monotonic() > deadline:
            raise SystemExit("the worker answered nothing")
        await asyncio.sleep(0.05)
    await asyncio.sleep(asked["warmup"])
    stream, *hashing = family(asked["worker"])
    done, before = feeder.done, (cpu_seconds([stream]), cpu_seconds(hashing))
    began = time.perf_counter()
    await asyncio.sleep(asked["seconds"])
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while feeder.done - done < _FEWEST[asked["profile"]]:
        if time.monotonic() > deadline:
            raise SystemExit(f"the worker answered only {feeder.done - done} jobs")
        await asyncio.sleep(0.05)
    done, after = feeder.done - done, (cpu_seconds([stream]), cpu_seconds(hashing))
    seconds = time.perf_counter() - began
    memory = proportional_bytes([stream, *hashing]), alone_bytes([stream, *hashing])
    await server.stop(0)
    return {
        "jobs": done,
        "seconds": seconds,
        "stream_cpu_seconds": after[0] - before[0],
        "hashing_cpu_seconds": after[1] - before[1],
        "proportional_bytes": memory[0],
        "alone_bytes": memory[1],
        "checked": feeder.check(),
    }


def main() -> None:
    """Feeds once."""
    asked, path = json.loads(sys.argv[1]), Path(sys.argv[2])
    path.write_text(json.dumps(asyncio.run(measure(asked))))


if __name__ == "__main__":
    main()
