"""Follows the results in a process of its own and notes when each arrived.

`python -m bench.watcher REQUEST FILE`: REQUEST is JSON (`address`, `ready`: a file to make when the
stream is live, `stop`: a file that ends it). FILE gets the arrival, on the monotonic clock, by job.
"""

import asyncio
import json
import math
import sys
import uuid
from pathlib import Path
from typing import Any

from virtscale.v1 import job_pb2, license_pb2

from bench.http2_calls import Method, connect
from bench.numbers import number_at

_SERVICE = "/virtscale.v1.LicenseService"
_FIRST_INDEX = 3_000_000_000
_PROBE_SECONDS = 0.2


async def watch(asked: dict[str, Any]) -> dict[str, float]:
    """When each result arrived.

    Raises:
        SystemExit: the stream ended by itself.

    """
    # Parsed at the end: until then the cores belong to what is measured.
    arrived: list[tuple[bytes, float]] = []
    connection = await connect(asked["address"], math.inf)
    following = Method(f"{_SERVICE}/WatchResults", asked["address"], math.inf).call(
        license_pb2.WatchResultsRequest(batched=True).SerializeToString()
    )
    following.on_message = lambda message, now: arrived.append((message, now))
    connection.start([following])
    submit = Method(f"{_SERVICE}/SubmitJobs", asked["address"], 10.0)
    # Only a result that has come through says that the stream is live.
    for index in range(_FIRST_INDEX, _FIRST_INDEX + 1_000):
        if following.code or any(_parsed(message).jobs for message, _ in arrived):
            break
        spec = job_pb2.JobSpec(number=number_at(index), profile=job_pb2.HASH_PROFILE_LEGACY_SHA256)
        request = license_pb2.SubmitJobsRequest(request_id=str(uuid.uuid4()), jobs=[spec])
        connection.start([submit.call(request.SerializeToString())])
        await asyncio.sleep(_PROBE_SECONDS)
    Path(asked["ready"]).touch()  # noqa: ASYNC240 - one call on a local file
    while not Path(asked["stop"]).exists():  # noqa: ASYNC240
        if following.code:
            raise SystemExit(f"the stream of results ended: {following.code} {connection.fault}")
        await asyncio.sleep(_PROBE_SECONDS / 10)
    connection.close()
    return {job.job_id: now for message, now in arrived for job in _parsed(message).jobs}


def _parsed(message: bytes) -> license_pb2.WatchResultsResponse:
    return license_pb2.WatchResultsResponse.FromString(message)


def main() -> None:
    """Watches once."""
    asked, path = json.loads(sys.argv[1]), Path(sys.argv[2])
    path.write_text(json.dumps(asyncio.run(watch(asked))))


if __name__ == "__main__":
    main()
