"""How long from the decision to scale out to the first job on the new domain, by tier.

Real guests in the real stack: one domain serves, a second waits in the tier that is measured. A
burst of jobs calls for it; when the burst is done the scaler scales in, and the next wake begins
once the second domain is back where it was.
"""

import argparse
import contextlib
import json
import os
import subprocess
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import grpc
from google.protobuf import duration_pb2
from virtscale.v1 import fleet_pb2, fleet_pb2_grpc, job_pb2, license_pb2, license_pb2_grpc

from bench.report import quantile

Value = TypeVar("Value")

ROOT = Path(__file__).resolve().parents[1]
TIERS = ("paused", "saved", "cold")
LIMITS = {"paused": 0.25, "saved": 2.0, "cold": 6.5}
"""Seconds from the decision to the first lease on the new domain, at the 95th percentile."""
_ACTIONS = {"paused": "resume", "saved": "restore", "cold": "start"}
_WAITING = {"paused": "standby_paused", "saved": "standby_saved", "cold": "off"}
_POLL_SECONDS = 0.002
_JOBS = {"paused": 12, "saved": 24, "cold": 36}
"""More than one domain does until the second is there, also on a busy machine."""
_JOB_SECONDS = 1.5
_FROZEN_SECONDS = {"paused": 15.0, "saved": 4.0, "cold": 0.0}
"""How long a domain has waited at least. A paused one keeps its connection: past the lease time."""
_SOON_IN = "scale_in: {window_seconds: 5, cooldown_seconds: 1}\n"
"""Shortens the way back to where the next wake begins, which is not measured."""


@dataclass
class _Wake:
    """Moments of one scale-out, as seconds after its decision."""

    submitted: float
    acted: float
    hello: float
    leased: float


@dataclass
class _Stack:
    """A running stack and what it is asked."""

    endpoints: dict[str, Any]
    fleet: Any = field(init=False)
    licenses: Any = field(init=False)

    def __post_init__(self) -> None:
        token = Path(self.endpoints["token_file"]).read_text(encoding="utf-8").strip()
        self._metadata = (("authorization", f"Bearer {token}"),)
        channel = grpc.insecure_channel(self.endpoints["dispatcher"])
        self.fleet = fleet_pb2_grpc.FleetServiceStub(channel)
        self.licenses = license_pb2_grpc.LicenseServiceStub(channel)

    def api(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://{self.endpoints['scaler']}{path}", timeout=5) as one:
            return json.loads(one.read())

    def states(self) -> dict[str, str]:
        found = self.api("/api/v1/status")["domains"]
        return {domain["name"]: domain["state"] for domain in found}

    def workers(self) -> dict[str, Any]:
        answer = self.fleet.ListWorkers(
            fleet_pb2.ListWorkersRequest(), timeout=5, metadata=self._metadata
        )
        return {worker.worker_id: worker for worker in answer.workers}

    def submit(self, turn: int, count: int) -> None:
        busy = job_pb2.Busy(
            duration=duration_pb2.Duration(
                seconds=int(_JOB_SECONDS), nanos=int(_JOB_SECONDS % 1 * 1e9)
            )
        )
        jobs = [
            job_pb2.JobSpec(
                number=f"KA-{1 + turn % 99:02d}-UT-{1 + index:04d}",
                profile=job_pb2.HASH_PROFILE_LEGACY_SHA256,
                load=job_pb2.Load(busy=busy),
                reference=f"{turn}-{index}",
            )
            for index in range(count)
        ]
        request = license_pb2.SubmitJobsRequest(request_id=str(uuid.uuid4()), jobs=jobs)
        self.licenses.SubmitJobs(request, timeout=10, metadata=self._metadata)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the flags of a measurement by tier."""
    parser.add_argument(
        "--tier", choices=TIERS, help="decision to first lease with a domain waiting in this tier"
    )
    parser.add_argument("--wakes", type=int, default=20, help="with --tier: wakes (default 20)")
    parser.add_argument("--state", type=Path, help="with --tier: the stack's state directory")


def run(arguments: argparse.Namespace) -> int:
    """Measures one tier and prints the figures; 1 when its limit is missed."""
    tier: str = arguments.tier
    wakes: list[_Wake] = []
    with _running_stack(tier, arguments.state) as stack:
        for turn in range(arguments.wakes):
            wakes.append(_one_wake(stack, tier, turn))
            print(_line(turn, wakes[-1]), flush=True)
    figures = {
        "first job queued to decision, s": [-one.submitted for one in wakes],
        "decision to libvirt's answer, s": [one.acted for one in wakes],
        "decision to Hello, s": [one.hello for one in wakes if one.hello > 0],
        f"decision to first lease, {tier}, s": [one.leased for one in wakes],
        "first job queued to first lease, s": [one.leased - one.submitted for one in wakes],
    }
    print(f"{'figure':38} {'p50':>7} {'p95':>7} {'max':>7}   n")
    for name, values in figures.items():
        if values:
            p50, p95 = quantile(sorted(values), 0.5), quantile(sorted(values), 0.95)
            print(f"{name:38} {p50:7.3f} {p95:7.3f} {max(values):7.3f} {len(values):3}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"tier": tier, **figures}, indent=2))
    reached = quantile(sorted(one.leased for one in wakes), 0.95)
    print(f"limit {LIMITS[tier]} s at p95: {'held' if reached <= LIMITS[tier] else 'MISSED'}")
    return 0 if reached <= LIMITS[tier] else 1


def _line(turn: int, wake: _Wake) -> str:
    return (
        f"wake {turn + 1}: queued {wake.submitted:+.3f} s, libvirt {wake.acted:+.3f} s, "
        f"Hello {wake.hello:+.3f} s, lease {wake.leased:+.3f} s"
    )


def _one_wake(stack: _Stack, tier: str, turn: int) -> _Wake:
    def waiting() -> str | None:
        states = stack.states()
        spare = [name for name, state in states.items() if state == _WAITING[tier]]
        serving = [name for name, state in states.items() if state == "ready"]
        return spare[0] if len(spare) == 1 and len(serving) == 1 else None

    _until("a domain serves and another waits", waiting, 180, every=0.5)
    # Not in the moment it was frozen: what goes wrong only later must be able to go wrong here.
    time.sleep(_FROZEN_SECONDS[tier])
    name = _until("a domain serves and another waits", waiting, 180, every=0.5)
    submitted = time.time()
    stack.submit(turn, _JOBS[tier])

    def leased() -> float | None:
        worker = stack.workers().get(name)
        return time.time() if worker is not None and worker.leases else None

    at = _until(f"{name} gets a job", leased, 60, every=_POLL_SECONDS)
    connected = stack.workers()[name].connected_at
    return _moments(stack, name, tier, submitted, at, connected.seconds + connected.nanos / 1e9)


def _moments(
    stack: _Stack, name: str, tier: str, submitted: float, leased: float, hello: float
) -> _Wake:
    kind = _ACTIONS[tier]

    def entries() -> list[dict[str, Any]] | None:
        found = stack.api(f"/api/v1/decisions?limit=200&since={submitted:.3f}")
        found = found if isinstance(found, list) else found["decisions"]
        done = [one for one in found if one.get("domain") == name and one.get("action") == kind]
        return found if done else None

    found = _until(f"{kind} {name} is in the decision log", entries, 30, every=0.1)
    decided = next(
        one["time"]
        for one in found
        if any((each["domain"], each["action"]) == (name, kind) for each in one.get("actions", ()))
    )
    acted = next(one["time"] for one in found if one.get("action") == kind)
    return _Wake(submitted - decided, acted - decided, hello - decided, leased - decided)


def _until(
    what: str, condition: Callable[[], Value | None], seconds: float, *, every: float
) -> Value:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError, grpc.RpcError):
            found = condition()
            if found:
                return found
        time.sleep(every)
    raise SystemExit(f"not within {seconds:.0f} s: {what}")


@contextlib.contextmanager
def _running_stack(tier: str, state: Path | None) -> Iterator[_Stack]:
    """`./run` with two domains, one of them in the tier."""
    flags = [] if state is None else ["--state", str(state)]
    if tier != "cold":
        flags += [f"--standby-{tier}", "1"]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", delete=False) as policies:
        policies.write(_SOON_IN)
    Path(policies.name).chmod(0o644)
    flags += ["--policies-file", policies.name]
    process = subprocess.Popen(
        [ROOT / "run", "--no-load", "--min", "1", "--max", "2", *flags],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    place = state or Path(os.environ.get("VIRTSCALE_STATE", "/var/lib/virtscale"))

    def endpoints() -> dict[str, Any] | None:
        if process.poll() is not None:
            errors = process.stderr.read() if process.stderr else ""
            raise SystemExit(f"the stack did not run:\n{errors}")
        found: dict[str, Any] = json.loads((place / "run" / "endpoints.json").read_text())
        return found

    try:
        yield _Stack(_until("the stack runs", endpoints, 600, every=0.5))
    finally:
        process.terminate()
        process.wait(120)
        Path(policies.name).unlink()
