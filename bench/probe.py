"""Watches from outside how long a dispatcher is away; later reads sampled results back.

`python -m bench.probe REQUEST FILE`: REQUEST is JSON with `address` and either `ready` (a file to
make when the probe is watching) or `sample` (pairs of number index and job id).
"""

import json
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import grpc
from virtscale.v1 import job_pb2, license_pb2, license_pb2_grpc

from bench.numbers import number_at

_PATIENCE_SECONDS = 60.0
_LOCAL = [("grpc.use_local_subchannel_pool", 1)]


def _is_serving(address: str, request: license_pb2.SubmitJobsRequest) -> bool:
    """Whether a job is accepted now, over a fresh connection."""
    with grpc.insecure_channel(address, options=_LOCAL) as channel:
        try:
            license_pb2_grpc.LicenseServiceStub(channel).SubmitJobs(request, timeout=10)
        except grpc.RpcError:
            return False
    return True


def watch(asked: dict[str, Any]) -> dict[str, Any]:
    """The monotonic instant at which a job was accepted again after the dispatcher was away."""
    spec = job_pb2.JobSpec(number=number_at(0), profile=job_pb2.HASH_PROFILE_LEGACY_SHA256)
    request = license_pb2.SubmitJobsRequest(request_id=str(uuid.uuid4()), jobs=[spec])
    if not _is_serving(asked["address"], request):
        raise SystemExit("the dispatcher does not serve")
    Path(asked["ready"]).touch()
    deadline = time.monotonic() + _PATIENCE_SECONDS
    was_away = False
    while time.monotonic() < deadline:
        is_serving = _is_serving(asked["address"], request)
        if was_away and is_serving:
            return {"serving_at": time.monotonic()}
        was_away = was_away or not is_serving
        time.sleep(0.005)
    raise SystemExit("the dispatcher did not come back")


def read_back(asked: dict[str, Any]) -> dict[str, Any]:
    """The stored hashes of the sampled jobs, each with its number."""
    answers = []
    with grpc.insecure_channel(asked["address"], options=_LOCAL) as channel:
        stub = license_pb2_grpc.LicenseServiceStub(channel)
        for index, job_id in asked["sample"]:
            job = stub.GetJob(license_pb2.GetJobRequest(job_id=job_id), timeout=30).job
            answers.append((number_at(index), job.result.hash))
    return {"answers": answers}


def main() -> None:
    """Does what was asked for."""
    asked, path = json.loads(sys.argv[1]), Path(sys.argv[2])
    path.write_text(json.dumps(read_back(asked) if "sample" in asked else watch(asked)))


if __name__ == "__main__":
    main()
