"""Follows the results in a process of its own and notes when each arrived.

`python -m bench.watcher REQUEST FILE`: REQUEST is JSON (`address`, `ready`: a file to make when the
stream is live, `stop`: a file that ends it). FILE gets the arrival, on the monotonic clock, by job.
"""

import json
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import grpc
from virtscale.v1 import job_pb2, license_pb2, license_pb2_grpc

from bench.numbers import number_at

_FIRST_INDEX = 3_000_000_000
_PROBE_SECONDS = 0.2


def watch(asked: dict[str, Any]) -> dict[str, float]:
    """When each result arrived."""
    arrived: dict[str, float] = {}
    with grpc.insecure_channel(asked["address"]) as channel:
        stub = license_pb2_grpc.LicenseServiceStub(channel)
        call = stub.WatchResults(license_pb2.WatchResultsRequest(batched=True), wait_for_ready=True)

        def follow() -> None:
            try:
                for response in call:
                    now = time.monotonic()
                    for job in response.jobs:
                        arrived[job.job_id] = now
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.CANCELLED:
                    raise

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        # Only a result that has come through says that the stream is live.
        for index in range(_FIRST_INDEX, _FIRST_INDEX + 1_000):
            if arrived:
                break
            spec = job_pb2.JobSpec(
                number=number_at(index), profile=job_pb2.HASH_PROFILE_LEGACY_SHA256
            )
            request = license_pb2.SubmitJobsRequest(request_id=str(uuid.uuid4()), jobs=[spec])
            stub.SubmitJobs(request, timeout=10)
            time.sleep(_PROBE_SECONDS)
        Path(asked["ready"]).touch()
        while thread.is_alive() and not Path(asked["stop"]).exists():
            time.sleep(_PROBE_SECONDS / 10)
        call.cancel()
        thread.join(10)
    return arrived


def main() -> None:
    """Watches once."""
    asked, path = json.loads(sys.argv[1]), Path(sys.argv[2])
    arrived = watch(asked)
    if not Path(asked["stop"]).exists():
        raise SystemExit("the stream of results ended by itself")
    path.write_text(json.dumps(arrived))


if __name__ == "__main__":
    main()
