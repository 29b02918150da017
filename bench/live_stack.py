"""A real stack for a benchmark: `./run` in a state directory, on ports of its own, and its APIs."""

import contextlib
import json
import os
import socket
import subprocess
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import grpc
from google.protobuf import duration_pb2
from virtscale.v1 import fleet_pb2, fleet_pb2_grpc, job_pb2, license_pb2, license_pb2_grpc

from bench.rig import free_port
from scaler.decision_store import DecisionFile
from scaler.entries import FAR

Value = TypeVar("Value")

ROOT = Path(__file__).resolve().parents[1]
_PORTS = 7
_START_SECONDS = 900.0
"""With the set-up and the guest image, which the first run of a state directory makes."""
_STOP_SECONDS = 120.0
_PAGE = 1000


@dataclass
class LiveStack:
    """A running stack and what it is asked."""

    endpoints: dict[str, Any]
    state: Path
    fleet: Any = field(init=False)
    licenses: Any = field(init=False)

    def __post_init__(self) -> None:
        token = Path(self.endpoints["token_file"]).read_text(encoding="utf-8").strip()
        self._metadata = (("authorization", f"Bearer {token}"),)
        channel = grpc.insecure_channel(self.endpoints["dispatcher"])
        self.fleet = fleet_pb2_grpc.FleetServiceStub(channel)
        self.licenses = license_pb2_grpc.LicenseServiceStub(channel)

    @property
    def scaler_config(self) -> Path:
        """The configuration that the running scaler was started with."""
        return self.state / "run" / "configs" / "scaler.yaml"

    def api(self, path: str) -> Any:
        """The scaler's answer."""
        with urllib.request.urlopen(f"http://{self.endpoints['scaler']}{path}", timeout=5) as one:
            return json.loads(one.read())

    def status(self) -> dict[str, Any]:
        """The pool as of the scaler's newest turn."""
        return dict(self.api("/api/v1/status"))

    def entries(self, since: float) -> list[dict[str, Any]]:
        """Everything in the decision log since that Unix time, the oldest first."""
        found: list[dict[str, Any]] = []
        before = ""
        while True:
            page = self.api(f"/api/v1/decisions?limit={_PAGE}&since={since:.3f}{before}")
            found = [*page["decisions"], *found]
            if page["next"] is None:
                return found
            before = f"&before={page['next']}"

    def decisions(self, since: float) -> list[Mapping[str, Any]]:
        """Entries with the inputs that they were made from, from the scaler's own file."""
        path = self.state / "scaler" / "decisions.db"
        return [entry.body for entry in DecisionFile(path).stream(since, FAR)]

    def dispatcher_metrics(self) -> dict[str, float]:
        """Every sample of the dispatcher by its name and labels."""
        address = f"http://{self.endpoints['dispatcher_metrics']}/metrics"
        with urllib.request.urlopen(address, timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    def workers(self) -> dict[str, fleet_pb2.Worker]:
        """Every worker that the dispatcher knows, by its name."""
        request = fleet_pb2.ListWorkersRequest()
        answer = self.fleet.ListWorkers(request, timeout=5, metadata=self._metadata)
        return {worker.worker_id: worker for worker in answer.workers}

    def submit(self, specs: Sequence[job_pb2.JobSpec]) -> list[str]:
        """Job ids, once the jobs are on disk."""
        request = license_pb2.SubmitJobsRequest(request_id=str(uuid.uuid4()), jobs=specs)
        answer = self.licenses.SubmitJobs(request, timeout=30, metadata=self._metadata)
        return list(answer.job_ids)

    def jobs(self, job_ids: Sequence[str]) -> dict[str, job_pb2.Job]:
        """What the dispatcher knows of these jobs."""
        wanted = set(job_ids)
        found: dict[str, job_pb2.Job] = {}
        token = ""
        while True:
            request = license_pb2.ListJobsRequest(page_size=_PAGE, page_token=token)
            page = self.licenses.ListJobs(request, timeout=30, metadata=self._metadata)
            for job in page.jobs:
                if job.job_id in found:
                    raise SystemExit(f"{job.job_id} is listed twice: the run does not count")
                if job.job_id in wanted:
                    found[job.job_id] = job
            token = page.next_page_token
            if not token:
                return found


def busy_job(number: str, seconds: float) -> job_pb2.JobSpec:
    """A number with so many seconds of CPU time inside the guest."""
    whole = int(seconds)
    duration = duration_pb2.Duration(seconds=whole, nanos=int((seconds - whole) * 1e9))
    return job_pb2.JobSpec(
        number=number,
        profile=job_pb2.HASH_PROFILE_LEGACY_SHA256,
        load=job_pb2.Load(busy=job_pb2.Busy(duration=duration)),
    )


def until(
    what: str, condition: Callable[[], Value | None], seconds: float, *, every: float
) -> Value:
    """The first true value of `condition`.

    Raises:
        SystemExit: there was none in time.

    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError, grpc.RpcError):
            found = condition()
            if found:
                return found
        time.sleep(every)
    raise SystemExit(f"not within {seconds:.0f} s: {what}")


@contextlib.contextmanager
def running_stack(state: Path | None, *arguments: str) -> Iterator[LiveStack]:
    """`./run` without load; it is ended with the block.

    Raises:
        SystemExit: it did not run, with what it said.

    """
    place = state or Path(os.environ.get("VIRTSCALE_STATE", "/var/lib/virtscale"))
    flags = ["--state", str(place), "--port-base", str(_free_ports(_PORTS))]
    announced = place / "run" / "endpoints.json"
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        process = subprocess.Popen(
            [ROOT / "run", "--no-load", *flags, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            text=True,
        )

        def endpoints() -> dict[str, Any] | None:
            if process.poll() is not None:
                said.seek(0)
                raise SystemExit(f"the stack did not run:\n{said.read()}")
            found: dict[str, Any] = json.loads(announced.read_text())
            # An announcement of a stack that was killed may still lie there.
            return found if Path(f"/proc/{found['pid']}").exists() else None

        try:
            found = until("the stack runs", endpoints, _START_SECONDS, every=0.5)
            yield LiveStack(found, place)
        finally:
            process.terminate()
            process.wait(_STOP_SECONDS)


def _free_ports(count: int) -> int:
    """The first of so many ports in a row that nobody uses."""
    for _ in range(1000):
        first = free_port()
        if all(_is_free(port) for port in range(first, first + count)):
            return first
    raise SystemExit(f"no {count} free ports in a row on 127.0.0.1")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
