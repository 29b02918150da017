"""The client against a real gRPC server whose answers a test writes."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2, timestamp_pb2
from virtscale.v1 import fleet_pb2, fleet_pb2_grpc, job_pb2, license_pb2, license_pb2_grpc

from stack import rpc_details
from stack.calibration import JobLoad
from stack.client import DispatcherClient
from stack.jobs import DispatcherError, JobSpec

DONE = job_pb2.Job(
    job_id="j1",
    state=job_pb2.JOB_STATE_DONE,
    reference="row 1",
    accepted_at=timestamp_pb2.Timestamp(seconds=100),
    attempts=1,
    result=job_pb2.Result(
        profile=job_pb2.HASH_PROFILE_LEGACY_SHA256,
        hash="d:s",
        worker_id="vs-1",
        completed_at=timestamp_pb2.Timestamp(seconds=101, nanos=500_000_000),
        service_time=duration_pb2.Duration(nanos=250_000_000),
    ),
)
FAILED = job_pb2.Job(
    job_id="j2",
    state=job_pb2.JOB_STATE_FAILED,
    failure=job_pb2.Failure(message="given up after 5 attempts"),
)


class Licenses(license_pb2_grpc.LicenseServiceServicer):
    """Keeps what it is asked; answers or refuses."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.refusal: tuple[grpc.StatusCode, str, bytes] | None = None

    async def _hear(self, request: Any, context: Any) -> None:
        self.asked.append(request)
        assert ("authorization", "Bearer vst_x") in tuple(context.invocation_metadata())
        if self.refusal is not None:
            code, text, details = self.refusal
            await context.abort(code, text, ((rpc_details.METADATA_KEY, details),))

    async def SubmitJobs(self, request: Any, context: Any) -> Any:
        await self._hear(request, context)
        return license_pb2.SubmitJobsResponse(job_ids=[f"j{n}" for n, _ in enumerate(request.jobs)])

    async def WaitJobs(self, request: Any, context: Any) -> Any:
        await self._hear(request, context)
        return license_pb2.WaitJobsResponse(jobs=[DONE, FAILED], all_final=True)

    async def GetJob(self, request: Any, context: Any) -> Any:
        await self._hear(request, context)
        return license_pb2.GetJobResponse(job=DONE)

    async def VerifyLicense(self, request: Any, context: Any) -> Any:
        await self._hear(request, context)
        return license_pb2.VerifyLicenseResponse(matches=True, needs_rehash=True)

    async def WatchResults(self, request: Any, context: Any) -> AsyncIterator[Any]:
        await self._hear(request, context)
        yield license_pb2.WatchResultsResponse(job=DONE, cursor="c1")


class Fleet(fleet_pb2_grpc.FleetServiceServicer):
    async def ListWorkers(self, request: Any, context: Any) -> Any:
        return fleet_pb2.ListWorkersResponse(
            workers=[
                fleet_pb2.Worker(
                    worker_id="vs-1",
                    state=fleet_pb2.WORKER_STATE_READY,
                    slots=2,
                    busy_slots=1,
                    leases=3,
                    completed=9,
                    connected_at=timestamp_pb2.Timestamp(seconds=90),
                    boot_time=duration_pb2.Duration(seconds=4),
                ),
                fleet_pb2.Worker(worker_id="vs-2", state=fleet_pb2.WORKER_STATE_DISCONNECTED),
            ]
        )

    async def GetBacklog(self, request: Any, context: Any) -> Any:
        return fleet_pb2.GetBacklogResponse(accepted=5, ready=1, leased=1, done=3, slots=2)


class World:
    def __init__(self) -> None:
        self.licenses = Licenses()
        self.client: Any = None


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World()
    token_file = tmp_path / "token"
    token_file.write_text("vst_x\n")
    server = grpc.aio.server()
    license_pb2_grpc.add_LicenseServiceServicer_to_server(made.licenses, server)
    fleet_pb2_grpc.add_FleetServiceServicer_to_server(Fleet(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with DispatcherClient(f"127.0.0.1:{port}", token_file=token_file) as made.client:
        yield made
    await server.stop(None)


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        (JobLoad("none", 0), None),
        (JobLoad("collision", 17), job_pb2.Load(collision=job_pb2.Collision(difficulty_bits=17))),
        (JobLoad("verify", 50_000), job_pb2.Load(verify=job_pb2.Verify(repetitions=50_000))),
        (
            JobLoad("busy", 1.5),
            job_pb2.Load(
                busy=job_pb2.Busy(duration=duration_pb2.Duration(seconds=1, nanos=500_000_000))
            ),
        ),
    ],
)
async def test_a_job_is_sent_as_it_was_asked_for(world, load, expected):
    spec = JobSpec("KA-47-UT-9173", "argon2id", load=load, reference="row 1")
    assert await world.client.submit("r1", [spec]) == ["j0"]
    (request,) = world.licenses.asked
    assert request.request_id == "r1"
    assert request.jobs[0] == job_pb2.JobSpec(
        number="KA-47-UT-9173",
        profile=job_pb2.HASH_PROFILE_ARGON2ID,
        load=expected,
        reference="row 1",
    )


async def test_finished_jobs_come_back_as_plain_values(world):
    done, failed = await world.client.wait(["j1", "j2"], seconds=2.5)
    assert (done.state, done.profile, done.hash) == ("done", "legacy-sha256", "d:s")
    assert (done.accepted_at, done.completed_at, done.service_seconds) == (100.0, 101.5, 0.25)
    assert (failed.state, failed.failure) == ("failed", "given up after 5 attempts")
    assert failed.completed_at is None
    (request,) = world.licenses.asked
    assert (request.timeout.seconds, request.timeout.nanos) == (2, 500_000_000)
    assert await world.client.get("j1") == done


async def test_results_are_followed_until_the_stream_ends(world):
    seen = []
    with pytest.raises(DispatcherError, match="ended the stream") as refused:
        async for job, cursor in world.client.watch(from_start=True):
            seen.append((job.job_id, cursor))
    assert seen == [("j1", "c1")]
    assert refused.value.is_retryable


async def test_verification(world):
    assert await world.client.verify("KA-47-UT-9173", "d:s") == (True, True)


async def test_workers_and_backlog(world):
    here, away = await world.client.list_workers()
    assert (here.state, here.slots, here.leases, here.boot_seconds) == ("ready", 2, 3, 4.0)
    assert (here.connected_at, here.oldest_lease_at) == (90.0, None)
    assert (away.state, away.connected_at, away.boot_seconds) == ("disconnected", None, None)
    backlog = await world.client.backlog()
    assert (backlog.accepted, backlog.open, backlog.oldest_ready_seconds) == (5, 2, None)


async def test_a_refused_field_is_named_without_its_value(world):
    details = rpc_details_of("jobs[3].number", "is empty; send 1 to 64 printable characters")
    world.licenses.refusal = (grpc.StatusCode.INVALID_ARGUMENT, "jobs[3].number: ...", details)
    with pytest.raises(DispatcherError) as refused:
        await world.client.submit("r1", [JobSpec("KA-47-UT-9173")])
    assert "jobs[3].number: is empty" in str(refused.value)
    assert "9173" not in str(refused.value)
    assert not refused.value.is_retryable


async def test_a_time_to_come_back_is_understood(world):
    details = rpc_details_of(retry_seconds=2.5)
    world.licenses.refusal = (grpc.StatusCode.RESOURCE_EXHAUSTED, "the disk is full", details)
    with pytest.raises(DispatcherError, match="the disk is full") as refused:
        await world.client.submit("r1", [JobSpec("A")])
    assert refused.value.is_retryable
    assert refused.value.retry_seconds == 2.5


async def test_a_dispatcher_that_is_not_there_is_named():
    async with DispatcherClient("127.0.0.1:1", seconds=5.0) as client:
        with pytest.raises(DispatcherError, match=r"127\.0\.0\.1:1 does not answer") as refused:
            await client.backlog()
    assert refused.value.code == "UNAVAILABLE"


async def test_a_dispatcher_that_never_answers_costs_the_deadline_only():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        async with DispatcherClient(f"127.0.0.1:{port}", seconds=0.3) as client:
            with pytest.raises(DispatcherError) as refused:
                await client.backlog()
    assert refused.value.is_retryable


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("dispatcher", "HOST:PORT"),
        (":50051", "HOST:PORT"),
        ("127.0.0.1:http", "HOST:PORT"),
        ("127.0.0.1:99999", "HOST:PORT"),
        ("192.0.2.1:50051", "--insecure"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_at_once(address, words):
    with pytest.raises(DispatcherError, match=words):
        DispatcherClient(address)


def test_a_certificate_authority_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DispatcherError, match=r"--ca .*missing\.pem: cannot be read: No such file"):
        DispatcherClient("192.0.2.1:50051", ca=tmp_path / "missing.pem")


def rpc_details_of(
    field: str = "", description: str = "", *, retry_seconds: float | None = None
) -> bytes:
    """A packed google.rpc.Status, built byte by byte: nothing of ours checks itself here."""

    def part(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    def packed(name: str, content: bytes) -> bytes:
        return part(3, part(1, f"type.googleapis.com/google.rpc.{name}".encode()) + content)

    if retry_seconds is not None:
        delay = duration_pb2.Duration(
            seconds=int(retry_seconds), nanos=int(retry_seconds % 1 * 1e9)
        )
        return packed("RetryInfo", part(2, part(1, delay.SerializeToString())))
    violation = part(1, field.encode()) + part(2, description.encode())
    return packed("BadRequest", part(2, part(1, violation)))
