"""A real dispatcher process and a scripted worker, for the tests of its API."""

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import grpc
import requests
from google.protobuf import duration_pb2
from virtscale.v1 import (
    fleet_pb2,
    fleet_pb2_grpc,
    job_pb2,
    license_pb2,
    license_pb2_grpc,
    worker_pb2,
    worker_pb2_grpc,
)

from dispatcher import hashing
from tests.free_ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
PEPPER = "k1:" + "ab" * 32 + "\n"
JOIN_KEY = b"j" * 32
LEGACY = job_pb2.HASH_PROFILE_LEGACY_SHA256
FINAL = (job_pb2.JOB_STATE_DONE, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED)
PATIENCE = 15.0

T = TypeVar("T")


async def until(question: Callable[[], Awaitable[T]]) -> T:
    """Asks until the answer is true."""
    async with asyncio.timeout(PATIENCE):
        while not (answer := await question()):  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.01)
    return answer


class DispatcherProcess:
    """`python -m dispatcher` in a directory of its own; the same ports at every start."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.directory = directory
        self.port = free_ports(2)
        self.metrics_port = self.port + 1
        self.log = directory / "log"
        (directory / "pepper").write_text(PEPPER)
        (directory / "join.key").write_bytes(JOIN_KEY)
        self._config = directory / "config.yaml"
        self._config.write_text(
            json.dumps(
                {
                    "listen": f"127.0.0.1:{self.port}",
                    "listen_address": f"127.0.0.1:{self.metrics_port}",
                    "database": str(directory / "jobs.db"),
                    "pepper_file": str(directory / "pepper"),
                    "join_key_file": str(directory / "join.key"),
                    "logfile": str(self.log),
                    "default_profile": "legacy-sha256",
                    # Most tests are about jobs, not numbers, and call them A, B, C.
                    "number_formats": ["in", "free"],
                    **settings,
                }
            )
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: grpc.aio.Channel | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        self.launch()
        self.await_listening()

    def launch(self) -> None:
        """Starts it and does not wait."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "dispatcher", "--config", str(self._config)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"},
        )

    def await_listening(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + PATIENCE
        while not self._is_listening():
            assert self._process.poll() is None, "the dispatcher ended"
            assert time.monotonic() < deadline, "the dispatcher does not listen"
            time.sleep(0.02)

    def _is_listening(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def end(self, number: int) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        code = self._process.wait(PATIENCE)
        self._process = None
        return code

    def ended(self) -> int:
        """Waits until it has ended by itself; its exit code."""
        assert self._process is not None
        code = self._process.wait(PATIENCE)
        self._process = None
        return code

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def hang_up(self) -> None:
        """Closes the channel: it belongs to one event loop."""
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    async def close(self) -> None:
        await self.hang_up()
        if self._process is not None:
            self.end(signal.SIGKILL)

    @property
    def channel(self) -> grpc.aio.Channel:
        if self._channel is None:
            options = [
                ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.max_reconnect_backoff_ms", 200),
            ]
            self._channel = grpc.aio.insecure_channel(self.address, options=options)
        return self._channel

    @property
    def licenses(self) -> Any:
        return license_pb2_grpc.LicenseServiceStub(self.channel)

    @property
    def fleet(self) -> Any:
        return fleet_pb2_grpc.FleetServiceStub(self.channel)

    async def submit(
        self, *numbers: str, request_id: str | None = None, **fields: Any
    ) -> list[str]:
        request = license_pb2.SubmitJobsRequest(
            request_id=request_id or str(uuid.uuid4()),
            jobs=[job_pb2.JobSpec(number=number, **fields) for number in numbers],
        )
        answer = await self.licenses.SubmitJobs(request, wait_for_ready=True, timeout=PATIENCE)
        return list(answer.job_ids)

    async def jobs(self, job_ids: Iterable[str]) -> list[job_pb2.Job]:
        request = license_pb2.WaitJobsRequest(job_ids=job_ids)
        request.timeout.seconds = 0
        answer = await self.licenses.WaitJobs(request, wait_for_ready=True, timeout=PATIENCE)
        return list(answer.jobs)

    async def finals(self, job_ids: list[str]) -> list[job_pb2.Job]:
        request = license_pb2.WaitJobsRequest(job_ids=job_ids)
        request.timeout.seconds = int(PATIENCE)
        answer = await self.licenses.WaitJobs(request, wait_for_ready=True, timeout=2 * PATIENCE)
        assert answer.all_final
        return list(answer.jobs)

    async def backlog(self) -> fleet_pb2.GetBacklogResponse:
        counts = await self.fleet.GetBacklog(
            fleet_pb2.GetBacklogRequest(), wait_for_ready=True, timeout=PATIENCE
        )
        parts = counts.ready + counts.leased + counts.done + counts.failed + counts.cancelled
        assert counts.accepted == parts
        return counts  # type: ignore[no-any-return]

    async def worker(self, worker_id: str) -> fleet_pb2.Worker | None:
        answer = await self.fleet.ListWorkers(fleet_pb2.ListWorkersRequest(), timeout=PATIENCE)
        return next((each for each in answer.workers if each.worker_id == worker_id), None)

    def metrics(self) -> str:
        answer = requests.get(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=PATIENCE)
        answer.raise_for_status()
        return answer.text


def legacy_hash(value: bytes) -> str:
    salt = uuid.uuid4().hex
    return hashlib.sha256(salt.encode() + value).hexdigest() + ":" + salt


def single(run: worker_pb2.Assignment) -> list[worker_pb2.Assignment]:
    """The jobs of a run, each by itself."""
    found = []
    for place, value in enumerate(run.inputs):
        job = worker_pb2.Assignment()
        job.CopyFrom(run)
        job.lease.key += place
        job.lease.epoch += place
        job.lease.count = 1
        job.inputs[:] = [value]
        found.append(job)
    return found


def pairs(runs: Iterable[worker_pb2.Lease]) -> set[tuple[int, int]]:
    """Key and epoch of each lease of the runs."""
    return {(run.key + i, run.epoch + i) for run in runs for i in range(run.count or 1)}


class ScriptedWorker:
    """A worker that does what a test says, and notes what it is told."""

    def __init__(
        self,
        address: str,
        worker_id: str = "w1",
        *,
        slots: int = 1,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self.worker_id = worker_id
        self.instance_id = str(uuid.uuid4())
        self.slots = slots
        self._address = address
        self._credentials = credentials
        self._channel: grpc.aio.Channel | None = None
        self._call: Any = None
        self._reading: asyncio.Task[None] | None = None
        self.welcome: worker_pb2.Welcome | None = None
        self.assignments: asyncio.Queue[worker_pb2.Assignment] = asyncio.Queue()
        self.acked: set[tuple[int, int]] = set()
        self.revoked: set[tuple[int, int]] = set()
        self.told: list[str] = []

    async def connect(
        self, *, held: Iterable[worker_pb2.Lease] = (), token: str | None = None
    ) -> "ScriptedWorker":
        await self.cut()
        options = [("grpc.use_local_subchannel_pool", 1)]
        if self._credentials is None:
            self._channel = grpc.aio.insecure_channel(self._address, options=options)
        else:
            self._channel = grpc.aio.secure_channel(
                self._address, self._credentials, options=options
            )
        self._call = worker_pb2_grpc.WorkerServiceStub(self._channel).Work(
            wait_for_ready=self._credentials is None
        )
        hello = worker_pb2.Hello(
            worker_id=self.worker_id,
            instance_id=self.instance_id,
            join_token=hashing.join_token(JOIN_KEY, self.worker_id) if token is None else token,
            slots=self.slots,
            profiles=[1, 2, 3],
            held=held,
        )
        await self._call.write(worker_pb2.WorkRequest(hello=hello))
        first = await asyncio.wait_for(self._call.read(), PATIENCE)
        self.welcome = first.welcome
        self._reading = asyncio.ensure_future(self._read())
        return self

    async def _read(self) -> None:
        with contextlib.suppress(grpc.aio.AioRpcError):
            while (response := await self._call.read()) is not grpc.aio.EOF:
                kind = response.WhichOneof("message")
                self.told.append(kind)
                if kind == "jobs":
                    for run in response.jobs.assignments:
                        for assignment in single(run):
                            self.assignments.put_nowait(assignment)
                elif kind == "result_acks":
                    self.acked |= pairs(response.result_acks.leases)
                elif kind == "leases_revoked":
                    self.revoked |= pairs(response.leases_revoked.leases)
        self.told.append("end")

    async def send(self, **message: Any) -> None:
        await self._call.write(worker_pb2.WorkRequest(**message))

    async def credit(self, jobs: int) -> None:
        await self.send(credit=worker_pb2.Credit(jobs=jobs))

    async def take(self) -> worker_pb2.Assignment:
        return await asyncio.wait_for(self.assignments.get(), PATIENCE)

    async def answer(
        self, *assignments: worker_pb2.Assignment, digest: str = "", seconds: int = 0
    ) -> None:
        outcomes = [
            worker_pb2.Outcome(
                lease=each.lease,
                hashes=[digest or legacy_hash(each.inputs[0])],
                service_time=duration_pb2.Duration(seconds=seconds),
            )
            for each in assignments
        ]
        await self.send(results=worker_pb2.Results(outcomes=outcomes))

    async def acknowledged(self, assignment: worker_pb2.Assignment) -> None:
        lease = (assignment.lease.key, assignment.lease.epoch)

        async def is_acked() -> bool:
            return lease in self.acked

        await until(is_acked)

    async def was_told(self, kind: str) -> None:
        async def heard() -> bool:
            return kind in self.told

        await until(heard)

    async def status(self) -> tuple[grpc.StatusCode, str]:
        return await self._call.code(), await self._call.details()

    async def cut(self) -> None:
        """Cuts the connection, as a killed process would."""
        if self._channel is not None:
            self._call.cancel()
            await self._channel.close()
            self._channel = None
        if self._reading is not None:
            await asyncio.gather(self._reading, return_exceptions=True)
            self._reading = None


Start = Callable[..., DispatcherProcess]
"""The fixture `start`: a dispatcher with these settings, running."""
