"""What the end-to-end tests look at from outside: processes, ports, libvirt, the API."""

import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import grpc
from virtscale.v1 import (
    fleet_pb2,
    fleet_pb2_grpc,
    job_pb2,
    license_pb2,
    license_pb2_grpc,
)

from tests.free_ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("dispatcher", "collector", "scaler", "prometheus", "alertmanager")
_RETRYABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)

Value = TypeVar("Value")


def wait_for(
    what: str, condition: Callable[[], Value | None], *, within: float, every: float = 0.2
) -> Value:
    """The first true value of `condition`; fails naming `what` after `within` seconds."""
    deadline = time.monotonic() + within
    pause = threading.Event()
    last: BaseException | None = None
    while time.monotonic() < deadline:
        try:
            value = condition()
        except (grpc.RpcError, OSError) as error:
            value, last = None, error
        if value:
            return value
        pause.wait(every)
    raise AssertionError(f"not within {within:.0f} s: {what} (last error: {last!r})")


@dataclass(frozen=True)
class Process:
    """A process of this machine, as /proc shows it."""

    pid: int
    command: str

    def kill(self) -> None:
        """SIGKILL; a process that is gone already is as good."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def processes_of(state: Path) -> list[Process]:
    """Every living process whose command line or working directory names the state directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(state) in command:
            found.append(Process(int(entry.name), command.strip()))
    return found


def is_listening(port: int) -> bool:
    """True when something accepts connections on that loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class _Bearer(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]
    """Shows a token with each call."""

    def __init__(self, token_file: Path) -> None:
        self._token_file = token_file

    def intercept_unary_unary(self, continuation, client_call_details, request):
        header = ("authorization", f"Bearer {self._token_file.read_text().strip()}")
        details = client_call_details._replace(metadata=[header])
        return continuation(details, request)


@dataclass
class Client:
    """A client of the API that keeps its own account of what it submitted."""

    stack: "Stack"
    numbers: dict[str, str] = field(default_factory=dict)
    """job id -> number, for every job the dispatcher accepted."""

    def __post_init__(self) -> None:
        self.channel = grpc.intercept_channel(
            grpc.insecure_channel(self.stack.dispatcher), _Bearer(self.stack.token_file)
        )
        self.licenses = license_pb2_grpc.LicenseServiceStub(self.channel)
        self.fleet = fleet_pb2_grpc.FleetServiceStub(self.channel)

    def close(self) -> None:
        self.channel.close()

    def submit(self, specs: list[job_pb2.JobSpec], *, within: float = 60.0) -> list[str]:
        """Submits one batch, repeating the same request until it is answered."""
        request = license_pb2.SubmitJobsRequest(request_id=str(uuid.uuid4()), jobs=specs)

        def attempt() -> list[str] | None:
            try:
                return list(self.licenses.SubmitJobs(request, timeout=10).job_ids)
            except grpc.RpcError as error:
                if error.code() in _RETRYABLE:
                    return None
                raise AssertionError(f"{error.code()}: {error.details()}") from error

        ids = wait_for("the batch is accepted", attempt, within=within)
        self.numbers.update(zip(ids, (spec.number for spec in specs), strict=True))
        return ids

    def states(self) -> dict[str, job_pb2.Job]:
        """Every job in the dispatcher's store, by id."""
        jobs: dict[str, job_pb2.Job] = {}
        token = ""
        while True:
            page = self.licenses.ListJobs(
                license_pb2.ListJobsRequest(page_size=1000, page_token=token), timeout=10
            )
            for job in page.jobs:
                assert job.job_id not in jobs, f"{job.job_id} is listed twice"
                jobs[job.job_id] = job
            token = page.next_page_token
            if not token:
                return jobs

    def workers(self) -> dict[str, fleet_pb2.Worker]:
        """Connected workers by id."""
        answer = self.fleet.ListWorkers(fleet_pb2.ListWorkersRequest(), timeout=5)
        return {
            worker.worker_id: worker
            for worker in answer.workers
            if worker.state != fleet_pb2.WORKER_STATE_DISCONNECTED
        }

    def unfinished(self) -> list[str]:
        """Submitted jobs that are not final."""
        jobs = self.states()
        final = (job_pb2.JOB_STATE_DONE, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED)
        return [job_id for job_id in self.numbers if jobs[job_id].state not in final]

    def check_every_result(self) -> None:
        """Every submitted job has one stored result, and that result verifies."""
        jobs = self.states()
        missing = set(self.numbers) - set(jobs)
        assert not missing, f"{len(missing)} accepted jobs are not in the store"
        for job_id, number in self.numbers.items():
            job = jobs[job_id]
            assert job.state == job_pb2.JOB_STATE_DONE, f"{job_id}: {job.state} {job.failure}"
            check_hash(self, number, job.result)


def check_hash(client: Client, number: str, result: job_pb2.Result) -> None:
    """Verifies one result; legacy hashes by the reference formula itself, written out here."""
    if result.profile == job_pb2.HASH_PROFILE_LEGACY_SHA256:
        digest, salt = result.hash.split(":")
        assert hashlib.sha256((salt + number).encode()).hexdigest() == digest
    answer = client.licenses.VerifyLicense(
        license_pb2.VerifyLicenseRequest(number=number, hash=result.hash), timeout=10
    )
    assert answer.matches, f"{result.job_id} does not verify"


@dataclass
class Stack:
    """A running `virtscale up`, started as a user starts it."""

    state: Path
    port_base: int
    process: subprocess.Popen[str]
    output: Path

    @property
    def dispatcher(self) -> str:
        return f"127.0.0.1:{self.ports['dispatcher']}"

    @property
    def token_file(self) -> Path:
        """The token that `up` itself uses: it may submit, read and drain."""
        return self.state / "secrets" / "tls" / "up.token"

    @property
    def ports(self) -> dict[str, int]:
        names = ("dispatcher", "dispatcher_metrics", "scaler", "collector")
        names += ("prometheus", "alertmanager", "dispatcher_workers")
        return {name: self.port_base + offset for offset, name in enumerate(names)}

    def service(self, name: str) -> Process:
        """The one living process of a service."""
        marks = {"prometheus": "/prometheus/prometheus.yml", "alertmanager": "/alertmanager.yml"}
        mark = marks.get(name, f"-m {name} ")
        return wait_for(
            f"{name} runs",
            lambda: next((p for p in processes_of(self.state) if mark in p.command), None),
            within=30,
        )

    def guest(self, domain: str) -> Process:
        """The QEMU process of a domain."""
        return next(p for p in processes_of(self.state) if f"guest={domain}," in p.command)

    def running(self) -> list[str]:
        """Names of domains whose QEMU lives."""
        return sorted(
            p.command.split("guest=", 1)[1].split(",", 1)[0]
            for p in processes_of(self.state)
            if "guest=" in p.command
        )

    def stop(self, number: int = signal.SIGTERM, *, within: float = 90.0) -> int:
        """Signals the stack and returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=within)

    def leftovers(self) -> list[str]:
        """What a stopped stack should not have left behind."""
        left = [f"process {p.pid}: {p.command[:120]}" for p in processes_of(self.state)]
        left += [f"port {port} ({name})" for name, port in self.ports.items() if is_listening(port)]
        return left

    def evidence(self) -> str:
        """Screen and log tails, for a failed test."""
        parts = [f"--- screen\n{self.output.read_text(errors='replace')[-4000:]}"]
        for log in sorted((self.state / "logs").rglob("*.log")):
            parts.append(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}")
        return "\n".join(parts)


@contextlib.contextmanager
def running_stack(
    state: Path, *arguments: str, command: Iterable[str], port_base: int | None = None
) -> Iterator[Stack]:
    """`virtscale up ARGUMENTS` in a state directory of its own; nothing stays behind."""
    base = free_ports(8) if port_base is None else port_base
    output = state / "screen.txt"
    with output.open("w") as screen:
        process = subprocess.Popen(
            [*command, "up", "--state", str(state), "--port-base", str(base), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=screen,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        stack = Stack(state, base, process, output)
        try:
            yield stack
        except BaseException:
            print(stack.evidence())
            raise
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            for left in processes_of(state):
                left.kill()


def short_scale_in(state: Path) -> tuple[str, ...]:
    """Options of `up` for tests that are about something else than how long it waits by default.

    By default the averages that the two policies go by keep half a minute of load in memory.
    """
    file = state / "policies.yaml"
    average = 'pool:virtscale_demand_slots:avg10s{pool="$pool"}'
    backlog = {"kind": "backlog", "demand_average": {"query": average}}
    scale_in = {"window_seconds": 3, "cooldown_seconds": 1}
    rules = {"policies": [backlog], "scale_in": scale_in}
    file.write_text(json.dumps(rules), encoding="utf-8")
    return ("--policies-file", str(file))


def run_to_end(command: Iterable[str], *arguments: str, within: float = 60.0) -> tuple[int, str]:
    """Runs the command with nothing on its standard input: exit code, and all it printed."""
    done = subprocess.run(
        [*command, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=within,
    )
    return done.returncode, done.stdout
