"""The client against a real gRPC server whose answers a test writes."""

import socket
import uuid
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2, timestamp_pb2
from virtscale import rpc_status
from virtscale.client import (
    ONCE,
    AsyncClient,
    Attempt,
    Busy,
    Collision,
    ConflictError,
    DispatcherError,
    InvalidRequestError,
    JobSpec,
    NotAllowedError,
    OverloadedError,
    RetryPolicy,
    Tls,
    UnknownJobError,
    Verdict,
    Verify,
    Violation,
)
from virtscale.client.job_stream import Batch
from virtscale.v1 import fleet_pb2, fleet_pb2_grpc, job_pb2, license_pb2, license_pb2_grpc

REQUEST = "5f0c1d8e-3a52-4c1e-9d5e-0b6a3a0f7c11"
QUICK = RetryPolicy(deadline_seconds=30.0, first_pause_seconds=0.001, longest_pause_seconds=0.01)
IMPATIENT = RetryPolicy(deadline_seconds=0.0, attempt_seconds=0.3)

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
    failure=job_pb2.Failure(
        reason=job_pb2.FAILURE_REASON_ATTEMPTS_EXHAUSTED, message="given up after 5 attempts"
    ),
    attempt_history=[
        job_pb2.Attempt(
            ordinal=5,
            cause=job_pb2.ATTEMPT_CAUSE_WORKER_LOST,
            worker_id="vs-1",
            failed_at=timestamp_pb2.Timestamp(seconds=102),
            certain=True,
        ),
        # As a newer dispatcher may send it.
        job_pb2.Attempt(cause=99, message="boom"),  # type: ignore[arg-type]
    ],
)


class Licenses(license_pb2_grpc.LicenseServiceServicer):
    """Keeps what it is asked; answers or refuses."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.authorizations: list[Any] = []
        self.refusals: list[tuple[grpc.StatusCode, str, bytes] | None] = []

    async def _hear(self, request: Any, context: Any) -> None:
        self.asked.append(request)
        self.authorizations += [
            value for key, value in context.invocation_metadata() if key == "authorization"
        ]
        if self.refusals and (refused := self.refusals.pop(0)) is not None:
            code, text, details = refused
            await context.abort(code, text, ((rpc_status.METADATA_KEY, details),))

    async def SubmitJobs(self, request: Any, context: Any) -> Any:
        await self._hear(request, context)
        return license_pb2.SubmitJobsResponse(
            job_ids=[f"{request.request_id}-{n}" for n, _ in enumerate(request.jobs)]
        )

    async def WaitJobs(self, request: Any, context: Any) -> Any:
        await self._hear(request, context)
        return license_pb2.WaitJobsResponse(jobs=[DONE, FAILED], all_final=True)

    async def GetJob(self, request: Any, context: Any) -> Any:
        await self._hear(request, context)
        return license_pb2.GetJobResponse(job=DONE)

    async def ListJobs(self, request: Any, context: Any) -> Any:
        await self._hear(request, context)
        if request.page_token:
            return license_pb2.ListJobsResponse(jobs=[FAILED])
        return license_pb2.ListJobsResponse(jobs=[DONE], next_page_token="t2")

    async def VerifyLicense(self, request: Any, context: Any) -> Any:
        await self._hear(request, context)
        return license_pb2.VerifyLicenseResponse(matches=True, needs_rehash=True)

    async def WatchResults(self, request: Any, context: Any) -> AsyncIterator[Any]:
        await self._hear(request, context)
        yield license_pb2.WatchResultsResponse(cursor="c0")
        yield license_pb2.WatchResultsResponse(job=DONE, cursor="c1")
        yield license_pb2.WatchResultsResponse(jobs=[DONE, DONE], cursors=["c2", "c3"], cursor="c3")


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
        self.address = ""


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    server = grpc.aio.server()
    license_pb2_grpc.add_LicenseServiceServicer_to_server(made.licenses, server)
    fleet_pb2_grpc.add_FleetServiceServicer_to_server(Fleet(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    made.address = f"127.0.0.1:{port}"
    async with AsyncClient(made.address, retry=ONCE) as made.client:
        yield made
    await server.stop(None)


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        (None, None),
        (
            Collision(17, seed=3),
            job_pb2.Load(collision=job_pb2.Collision(difficulty_bits=17, seed=3)),
        ),
        (Verify(50_000), job_pb2.Load(verify=job_pb2.Verify(repetitions=50_000))),
        (
            Busy(1.5),
            job_pb2.Load(
                busy=job_pb2.Busy(duration=duration_pb2.Duration(seconds=1, nanos=500_000_000))
            ),
        ),
    ],
)
async def test_a_job_is_sent_as_it_was_asked_for(world, load, expected):
    spec = JobSpec("KA-47-UT-9173", "argon2id", load=load, reference="row 1")
    assert await world.client.submit([spec], request_id="r1") == ["r1-0"]
    (request,) = world.licenses.asked
    assert request.request_id == "r1"
    assert request.jobs[0] == job_pb2.JobSpec(
        number="KA-47-UT-9173",
        profile=job_pb2.HASH_PROFILE_ARGON2ID,
        load=expected,
        reference="row 1",
    )


async def test_a_large_submission_travels_in_batches_with_ids_of_their_own(world):
    numbers = [f"KA-01-A-{n:04d}" for n in range(1, 2_501)]
    first = await world.client.submit(numbers, profile="legacy-sha256", request_id=REQUEST)
    again = await world.client.submit(numbers, profile="legacy-sha256", request_id=REQUEST)
    assert first == again
    assert len(set(first)) == 2_500
    sent = [request.request_id for request in world.licenses.asked]
    assert sent[0] == REQUEST
    assert sent[:3] == sent[3:]
    assert {uuid.UUID(each).version for each in sent} == {4}
    assert [len(request.jobs) for request in world.licenses.asked[:3]] == [1000, 1000, 500]


async def test_a_refusal_counts_positions_in_the_whole_submission(world):
    world.licenses.refusals = [
        None,
        refusal(grpc.StatusCode.INVALID_ARGUMENT, "jobs[7].number", "is empty"),
    ]
    with pytest.raises(InvalidRequestError, match=r"jobs\[1007\]\.number: is empty") as refused:
        await world.client.submit(["KA-47-UT-9173"] * 1_500)
    assert refused.value.violations == (Violation("jobs[1007].number", "is empty"),)
    assert len(refused.value.accepted_ids) == 1_000


async def test_a_single_number_is_no_list_of_numbers(world):
    with pytest.raises(TypeError):
        await world.client.submit("KA-47-UT-9173")
    with pytest.raises(TypeError):
        world.client.hash_many("KA-47-UT-9173")


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
    ],
)
async def test_a_call_is_repeated_with_the_same_request_id(world, code):
    told: list[DispatcherError] = []
    world.licenses.refusals = [(code, "later", b"")] * 3
    patient = world.client.with_retry(QUICK, told.append)
    assert await patient.submit(["KA-47-UT-9173"], request_id="r1") == ["r1-0"]
    assert [request.request_id for request in world.licenses.asked] == ["r1"] * 4
    assert [error.code for error in told] == [code.name] * 3


async def test_what_waiting_cannot_mend_is_raised_at_once(world):
    world.licenses.refusals = [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "Sent message larger than max (9 vs. 8)", b""),
        (grpc.StatusCode.PERMISSION_DENIED, "the token's role does not submit", b""),
        (grpc.StatusCode.ALREADY_EXISTS, "used with another content", b""),
        (grpc.StatusCode.NOT_FOUND, "no job", b""),
    ]
    patient = world.client.with_retry(QUICK)
    for kind in (OverloadedError, NotAllowedError, ConflictError, UnknownJobError):
        with pytest.raises(kind):
            await patient.submit(["KA-47-UT-9173"])
    assert len(world.licenses.asked) == 4


async def test_every_call_carries_the_token_and_nothing_shows_it(world):
    tokens = iter(["first-token", "second-token", "third-token"])
    async with AsyncClient(world.address, token=lambda: next(tokens)) as client:
        await client.submit(["KA-47-UT-9173"])
        _ = [each async for each in client.results(follow=False)]
        assert "token" not in repr(client)
    # The first was asked for when the client was made, to refuse a malformed one early.
    assert world.licenses.authorizations == ["Bearer second-token", "Bearer third-token"]


@pytest.mark.parametrize("token", ["", "two words", "line\n", "schl\u00fcssel"])
def test_a_token_that_cannot_be_sent_is_refused_unshown(token):
    with pytest.raises(InvalidRequestError, match="printable ASCII") as refused:
        AsyncClient("127.0.0.1:1", token=token)
    assert not token or token not in str(refused.value)


def test_values_never_show_a_number():
    assert "9173" not in repr(JobSpec("KA-47-UT-9173", reference="row 1"))
    assert "9173" not in repr(Batch("r1", 0, [JobSpec("KA-47-UT-9173")], 1))


async def test_finished_jobs_come_back_as_plain_values(world):
    done, failed = await world.client.wait(["j1", "j2"], seconds=2.5)
    assert (done.state, done.profile, done.hash) == ("done", "legacy-sha256", "d:s")
    assert (done.accepted_at, done.completed_at, done.service_seconds) == (100.0, 101.5, 0.25)
    assert (failed.state, failed.failure) == ("failed", "given up after 5 attempts")
    assert failed.completed_at is None
    (request,) = world.licenses.asked
    assert 2.0 < request.timeout.ToTimedelta().total_seconds() <= 2.5
    assert await world.client.get("j1") == done


async def test_a_failed_job_tells_what_happened(world):
    (_, failed) = await world.client.wait(["j1", "j2"], seconds=2.5)
    assert failed.failure_reason == "attempts_exhausted"
    assert failed.attempt_history == (
        Attempt(5, "worker_lost", "vs-1", 102.0, True, ""),
        Attempt(0, "99", "", 0.0, False, "boom"),
    )


async def test_all_pages_of_a_list_are_read(world):
    jobs = [job.job_id async for job in world.client.list_jobs(states=["done", "failed"])]
    assert jobs == ["j1", "j2"]
    first, second = world.licenses.asked
    assert (first.page_token, second.page_token) == ("", "t2")
    assert list(first.states) == [job_pb2.JOB_STATE_DONE, job_pb2.JOB_STATE_FAILED]


async def test_results_are_followed_until_the_stream_ends(world):
    seen = []
    with pytest.raises(DispatcherError, match="ended the stream") as refused:
        async for exported in world.client.results(from_start=True):
            seen.append((exported.job.job_id, exported.cursor))
    assert seen == [("j1", "c1"), ("j1", "c2"), ("j1", "c3")]
    assert refused.value.is_retryable


async def test_verification(world):
    assert await world.client.verify("KA-47-UT-9173", "d:s") == Verdict(
        matches=True, needs_rehash=True
    )


async def test_workers_and_backlog(world):
    here, away = await world.client.workers()
    assert (here.state, here.slots, here.leases, here.boot_seconds) == ("ready", 2, 3, 4.0)
    assert (here.connected_at, here.oldest_lease_at) == (90.0, None)
    assert (away.state, away.connected_at, away.boot_seconds) == ("disconnected", None, None)
    backlog = await world.client.backlog()
    assert (backlog.accepted, backlog.open, backlog.oldest_ready_seconds) == (5, 2, None)


async def test_a_refused_field_is_named_without_its_value(world):
    world.licenses.refusals = [
        refusal(grpc.StatusCode.INVALID_ARGUMENT, "jobs[3].number", "is empty; send 1 to 64")
    ]
    with pytest.raises(DispatcherError) as refused:
        await world.client.submit([JobSpec("KA-47-UT-9173")])
    assert "jobs[3].number: is empty" in str(refused.value)
    assert "9173" not in str(refused.value)
    assert not refused.value.is_retryable


async def test_a_time_to_come_back_is_understood(world):
    details = rpc_details_of(retry_seconds=2.5)
    world.licenses.refusals = [(grpc.StatusCode.RESOURCE_EXHAUSTED, "the disk is full", details)]
    with pytest.raises(DispatcherError, match="the disk is full") as refused:
        await world.client.submit(["KA-47-UT-9173"])
    assert refused.value.is_retryable
    assert refused.value.retry_seconds == 2.5


async def test_a_dispatcher_that_is_not_there_is_named():
    async with AsyncClient("127.0.0.1:1", retry=ONCE) as client:
        with pytest.raises(DispatcherError, match=r"127\.0\.0\.1:1 does not answer") as refused:
            await client.backlog()
    assert refused.value.code == "UNAVAILABLE"


async def test_a_dispatcher_that_never_answers_costs_the_deadline_only():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        async with AsyncClient(f"127.0.0.1:{port}", retry=IMPATIENT) as client:
            with pytest.raises(DispatcherError) as refused:
                await client.backlog()
    assert refused.value.is_retryable


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("dispatcher", "HOST:PORT"),
        (":15051", "HOST:PORT"),
        ("127.0.0.1:http", "HOST:PORT"),
        ("127.0.0.1:99999", "HOST:PORT"),
        ("192.0.2.1:15051", "--insecure"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_at_once(address, words):
    with pytest.raises(DispatcherError, match=words):
        AsyncClient(address)


def test_a_certificate_authority_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DispatcherError, match=r"--ca .*missing\.pem: cannot be read: No such file"):
        AsyncClient("192.0.2.1:15051", tls=Tls(ca=tmp_path / "missing.pem"))


def refusal(code: grpc.StatusCode, field: str, description: str) -> Any:
    return code, f"{field}: {description}", rpc_details_of(field, description)


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
