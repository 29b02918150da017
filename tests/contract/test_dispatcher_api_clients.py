"""What clients see of the dispatcher: streams, pages, cancelling, errors, metrics."""

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from virtscale.v1 import job_pb2, license_pb2

from tests.contract.dispatcher_process import (
    PATIENCE,
    ROOT,
    DispatcherProcess,
    ScriptedWorker,
    until,
)

DETAILS = "grpc-status-details-bin"


@pytest.fixture
async def dispatcher(tmp_path: Path) -> AsyncIterator[DispatcherProcess]:
    process = DispatcherProcess(tmp_path, max_unfinished_jobs=1500)
    process.start()
    yield process
    await process.close()


@pytest.fixture
async def worker(dispatcher: DispatcherProcess) -> AsyncIterator[ScriptedWorker]:
    worker = await ScriptedWorker(dispatcher.address).connect()
    yield worker
    await worker.cut()


async def refused(call: Any, code: grpc.StatusCode) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    assert raised.value.code() == code
    return raised.value


def details(error: grpc.aio.AioRpcError) -> bytes:
    return dict(error.trailing_metadata())[DETAILS]  # type: ignore[arg-type, return-value]


async def test_a_flood_of_calls_is_refused_by_name_or_served(dispatcher: DispatcherProcess) -> None:
    """By default grpc ends waiting calls at random, as CANCELLED without a word."""

    async def flood(request_ids: list[str]) -> list[str]:
        """Those that were refused."""
        sent = [dispatcher.submit("A", request_id=request_id) for request_id in request_ids]
        answers = await asyncio.gather(*sent, return_exceptions=True)
        left = []
        for request_id, answer in zip(request_ids, answers, strict=True):
            if isinstance(answer, BaseException):
                assert isinstance(answer, grpc.aio.AioRpcError)
                assert answer.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
                assert b"google.rpc.RetryInfo" in details(answer)
                left.append(request_id)
        return left

    left = [str(uuid.uuid4()) for _ in range(1200)]
    for _ in range(100):
        left = await flood(left)
        if not left:
            break
    assert not left
    assert (await dispatcher.backlog()).accepted == 1200


async def test_a_stream_submits_and_returns_results(
    dispatcher: DispatcherProcess, worker: ScriptedWorker
) -> None:
    request_id = str(uuid.uuid4())
    request = license_pb2.StreamJobsRequest(
        request_id=request_id, jobs=[job_pb2.JobSpec(number=number) for number in "ABC"]
    )
    call = dispatcher.licenses.StreamJobs()
    await call.write(request)
    accepted = (await call.read()).accepted
    assert (accepted.request_id, len(accepted.job_ids)) == (request_id, 3)
    await call.done_writing()
    await worker.credit(3)
    for _ in range(3):
        await worker.answer(await worker.take())
    finished: list[job_pb2.Job] = []
    while (event := await call.read()) is not grpc.aio.EOF:
        finished += event.finished_jobs.jobs
    assert [job.job_id for job in finished] == list(accepted.job_ids)
    assert finished == await dispatcher.jobs(accepted.job_ids)
    # A client that reconnects repeats its batch: accepted once, results sent again.
    again = dispatcher.licenses.StreamJobs()
    await again.write(request)
    await again.done_writing()
    events = [event async for event in again]
    assert events[0].accepted == accepted
    assert [job for event in events[1:] for job in event.finished_jobs.jobs] == finished
    assert (await dispatcher.backlog()).accepted == 3


async def test_results_can_be_followed_from_a_cursor(
    dispatcher: DispatcherProcess, worker: ScriptedWorker
) -> None:
    await worker.credit(9)
    job_ids = await dispatcher.submit("A", "B")
    for _ in range(2):
        await worker.answer(await worker.take())
    watch = dispatcher.licenses.WatchResults(license_pb2.WatchResultsRequest(from_start=True))
    seen = [await asyncio.wait_for(watch.read(), PATIENCE) for _ in range(2)]
    assert {each.job.job_id for each in seen} == set(job_ids)
    watch.cancel()
    resumed = dispatcher.licenses.WatchResults(
        license_pb2.WatchResultsRequest(cursor=seen[0].cursor)
    )
    assert (await asyncio.wait_for(resumed.read(), PATIENCE)) == seen[1]
    (late,) = await dispatcher.submit("C")
    await worker.answer(await worker.take())
    assert (await asyncio.wait_for(resumed.read(), PATIENCE)).job.job_id == late
    resumed.cancel()
    wrong = license_pb2.WatchResultsRequest(cursor="no-cursor")
    await refused(dispatcher.licenses.WatchResults(wrong).read(), grpc.StatusCode.INVALID_ARGUMENT)


async def test_jobs_can_be_cancelled(dispatcher: DispatcherProcess, worker: ScriptedWorker) -> None:
    await worker.credit(1)
    job_ids = await dispatcher.submit("A", "B")
    leased = await worker.take()
    answer = await dispatcher.licenses.CancelJobs(license_pb2.CancelJobsRequest(job_ids=job_ids))
    assert [job.state for job in answer.jobs] == [job_pb2.JOB_STATE_CANCELLED] * 2
    await worker.was_told("leases_revoked")
    await worker.answer(leased)
    await worker.acknowledged(leased)
    assert (await dispatcher.backlog()).cancelled == 2


async def test_pages_show_every_job_once(
    dispatcher: DispatcherProcess, worker: ScriptedWorker
) -> None:
    job_ids = await dispatcher.submit(*"ABCDE")
    await worker.credit(1)
    leased = await worker.take()
    found: list[str] = []
    token = ""
    while True:
        page = await dispatcher.licenses.ListJobs(
            license_pb2.ListJobsRequest(page_size=2, page_token=token)
        )
        found += [job.job_id for job in page.jobs]
        if not (token := page.next_page_token):
            break
    assert found == job_ids
    only = license_pb2.ListJobsRequest(states=[job_pb2.JOB_STATE_LEASED])
    page = await dispatcher.licenses.ListJobs(only)
    assert [job.job_id.rpartition("-")[2] for job in page.jobs] == [str(leased.lease.key)]


@pytest.mark.parametrize(
    ("jobs", "field"),
    [
        ([], "jobs"),
        ([job_pb2.JobSpec(number="A")] * 1001, "jobs"),
        ([job_pb2.JobSpec(number="A"), job_pb2.JobSpec(number="SECRET\x07")], "jobs[1].number"),
        ([job_pb2.JobSpec(number=" - ")], "jobs[0].number"),
        ([job_pb2.JobSpec(number="SECRET" * 11)], "jobs[0].number"),
        ([job_pb2.JobSpec(number="A", reference="r" * 129)], "jobs[0].reference"),
        (
            [job_pb2.JobSpec(number="A", load={"collision": {"difficulty_bits": 41}})],
            "jobs[0].load.collision.difficulty_bits",
        ),
        (
            [job_pb2.JobSpec(number="A", load={"verify": {"repetitions": 0}})],
            "jobs[0].load.verify.repetitions",
        ),
        (
            [job_pb2.JobSpec(number="A", load={"busy": {"duration": {"seconds": 3601}}})],
            "jobs[0].load.busy.duration",
        ),
        ([job_pb2.JobSpec(number="A", profile=77)], "jobs[0].profile"),  # type: ignore[arg-type]
    ],
)
async def test_a_malformed_batch_names_the_field_and_never_the_number(
    dispatcher: DispatcherProcess, jobs: list[job_pb2.JobSpec], field: str
) -> None:
    request = license_pb2.SubmitJobsRequest(request_id=str(uuid.uuid4()), jobs=jobs)
    error = await refused(dispatcher.licenses.SubmitJobs(request), grpc.StatusCode.INVALID_ARGUMENT)
    assert field in str(error.details())
    assert b"google.rpc.BadRequest" in details(error)
    assert field.encode() in details(error)
    assert "SECRET" not in str(error.details()) + dispatcher.log.read_text()
    assert b"SECRET" not in details(error)
    assert (await dispatcher.backlog()).accepted == 0


async def test_too_many_jobs_are_refused_with_a_time_to_come_back(
    dispatcher: DispatcherProcess,
) -> None:
    await dispatcher.submit(*["A"] * 1000)
    error = await refused(dispatcher.submit(*["A"] * 501), grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert b"google.rpc.RetryInfo" in details(error)
    await dispatcher.submit(*["A"] * 500)


async def test_a_stream_waits_for_room_instead_of_being_refused(
    dispatcher: DispatcherProcess, worker: ScriptedWorker
) -> None:
    await dispatcher.submit(*["KA-47-UT-9173"] * 1000)
    call = dispatcher.licenses.StreamJobs()
    for _ in range(2):
        request = license_pb2.StreamJobsRequest(
            request_id=str(uuid.uuid4()), jobs=[job_pb2.JobSpec(number="KA-47-UT-9173")] * 400
        )
        await call.write(request)
    await call.done_writing()
    first = await asyncio.wait_for(call.read(), PATIENCE)
    assert len(first.accepted.job_ids) == 400
    assert (await dispatcher.backlog()).accepted == 1400
    await worker.credit(2_000)
    for _ in range(1800):
        await worker.answer(await worker.take())
    accepted = 0
    while (event := await asyncio.wait_for(call.read(), PATIENCE)) is not grpc.aio.EOF:
        accepted += event.WhichOneof("event") == "accepted"
    assert accepted == 1
    assert (await dispatcher.backlog()).done == 1800


async def test_a_faulty_batch_is_named_and_the_others_stay_accepted(
    dispatcher: DispatcherProcess, worker: ScriptedWorker
) -> None:
    good = license_pb2.StreamJobsRequest(
        request_id=str(uuid.uuid4()), jobs=[job_pb2.JobSpec(number="KA-47-UT-9173")]
    )
    bad = license_pb2.StreamJobsRequest(
        request_id=str(uuid.uuid4()), jobs=[job_pb2.JobSpec(number="SECRET\x07")]
    )
    call = dispatcher.licenses.StreamJobs()
    await call.write(good)
    assert (await call.read()).WhichOneof("event") == "accepted"
    await call.write(bad)
    error = await refused(call.read(), grpc.StatusCode.INVALID_ARGUMENT)
    assert dict(error.trailing_metadata())["virtscale-request-id"] == bad.request_id
    assert b"google.rpc.BadRequest" in details(error)
    await worker.credit(1)
    await worker.answer(await worker.take())
    again = dispatcher.licenses.StreamJobs()
    await again.write(good)
    await again.done_writing()
    events = [event async for event in again]
    assert len(events) == 2
    assert (await dispatcher.backlog()).done == 1
    assert "SECRET" not in dispatcher.log.read_text()


async def test_calls_that_wait_end_when_the_dispatcher_stops(
    dispatcher: DispatcherProcess,
) -> None:
    job_ids = await dispatcher.submit("KA-47-UT-9173")
    waiting = dispatcher.licenses.WaitJobs(license_pb2.WaitJobsRequest(job_ids=job_ids))
    watching = dispatcher.licenses.WatchResults(
        license_pb2.WatchResultsRequest(announce_start=True)
    )
    assert not (await watching.read()).HasField("job")
    streaming = dispatcher.licenses.StreamJobs()
    job = job_pb2.JobSpec(number="KA-47-UT-9173")
    await streaming.write(license_pb2.StreamJobsRequest(request_id=str(uuid.uuid4()), jobs=[job]))
    assert (await streaming.read()).WhichOneof("event") == "accepted"
    assert await asyncio.to_thread(dispatcher.end, signal.SIGTERM) == 0
    for call in (waiting, watching, streaming):
        code = await asyncio.wait_for(call.code(), PATIENCE)
        # Both say: repeat it. A deadline or a good end would say something else.
        assert code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


async def test_work_for_a_caller_that_went_away_is_dropped(
    dispatcher: DispatcherProcess, worker: ScriptedWorker
) -> None:
    job_ids = await dispatcher.submit("KA-47-UT-9173")
    with pytest.raises(grpc.aio.AioRpcError) as late:
        await dispatcher.licenses.WaitJobs(
            license_pb2.WaitJobsRequest(job_ids=job_ids), timeout=0.2
        )
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    async def is_dropped() -> bool:
        text = await asyncio.to_thread(dispatcher.metrics)
        return 'grpc_code="DeadlineExceeded",grpc_method="WaitJobs"' in text

    await until(is_dropped)


async def test_a_message_above_the_limit_says_so(dispatcher: DispatcherProcess) -> None:
    jobs = [job_pb2.JobSpec(number="KA-47-UT-9173", reference="r" * 20_000)] * 1_000
    request = license_pb2.SubmitJobsRequest(request_id=str(uuid.uuid4()), jobs=jobs)
    call = dispatcher.licenses.SubmitJobs(request)
    error = await refused(call, grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert "send at most" in str(error.details())
    assert str(4 * 1024 * 1024) in str(error.details())
    assert (await dispatcher.backlog()).accepted == 0


async def test_pages_show_every_job_once_while_jobs_change(
    dispatcher: DispatcherProcess, worker: ScriptedWorker
) -> None:
    job_ids = await dispatcher.submit(*["KA-47-UT-9173"] * 40)
    found: list[str] = []
    token = ""
    while True:
        page = await dispatcher.licenses.ListJobs(
            license_pb2.ListJobsRequest(page_size=7, page_token=token)
        )
        found += [job.job_id for job in page.jobs]
        if not (token := page.next_page_token):
            break
        # Between two pages jobs are done, cancelled and accepted.
        await worker.credit(3)
        for _ in range(3):
            await worker.answer(await worker.take())
        await dispatcher.licenses.CancelJobs(
            license_pb2.CancelJobsRequest(job_ids=job_ids[-len(found) - 1 :][:1])
        )
        if len(found) < 20:
            job_ids += await dispatcher.submit("KA-47-UT-9174")
    assert found == job_ids


async def test_a_huge_message_is_refused(dispatcher: DispatcherProcess) -> None:
    request = license_pb2.SubmitJobsRequest(
        request_id=str(uuid.uuid4()), jobs=[job_pb2.JobSpec(number="A" * 2_000_000)]
    )
    error = await refused(dispatcher.licenses.SubmitJobs(request), grpc.StatusCode.INVALID_ARGUMENT)
    assert "bytes; send at most 1048576" in str(error.details())


async def test_the_largest_batch_fits(dispatcher: DispatcherProcess) -> None:
    widest = "\U0001f697" * 64
    specs = [job_pb2.JobSpec(number="A" + widest[1:], reference="\U0001f697" * 128)] * 1000
    request = license_pb2.SubmitJobsRequest(request_id=str(uuid.uuid4()), jobs=specs)
    assert len((await dispatcher.licenses.SubmitJobs(request)).job_ids) == 1000


async def test_unknown_jobs_are_not_found(dispatcher: DispatcherProcess) -> None:
    for job_id in ("", "nonsense", "00000000-1", "-1"):
        await refused(
            dispatcher.licenses.GetJob(license_pb2.GetJobRequest(job_id=job_id)),
            grpc.StatusCode.NOT_FOUND,
        )


async def test_a_request_id_must_be_a_uuid(dispatcher: DispatcherProcess) -> None:
    error = await refused(
        dispatcher.submit("A", request_id="mine"), grpc.StatusCode.INVALID_ARGUMENT
    )
    assert "request_id" in str(error.details())


async def test_verification_knows_what_it_cannot_say(dispatcher: DispatcherProcess) -> None:
    async def verify(number: str, digest: str) -> Any:
        return await dispatcher.licenses.VerifyLicense(
            license_pb2.VerifyLicenseRequest(number=number, hash=digest)
        )

    await refused(verify("A", "rubbish"), grpc.StatusCode.INVALID_ARGUMENT)
    greedy = "$argon2id$v=19$m=4194304,t=2,p=1,keyid=k1$" + "A" * 22 + "$" + "A" * 43
    error = await refused(verify("A", greedy), grpc.StatusCode.INVALID_ARGUMENT)
    assert "out of bounds" in str(error.details())
    foreign = "$hmac-sha256$keyid=other$" + "A" * 43
    await refused(verify("A", foreign), grpc.StatusCode.FAILED_PRECONDITION)
    assert not (await verify("A", "0" * 64 + ":" + "0" * 32)).matches


async def test_health_and_reflection_are_served(dispatcher: DispatcherProcess) -> None:
    health = health_pb2_grpc.HealthStub(dispatcher.channel)
    for service in ("", "virtscale.v1.LicenseService", "virtscale.v1.WorkerService"):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    call = reflection_pb2_grpc.ServerReflectionStub(dispatcher.channel).ServerReflectionInfo()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    services = {each.name for each in (await call.read()).list_services_response.service}
    assert "virtscale.v1.FleetService" in services
    call.cancel()


async def test_metrics_add_up_and_workers_leave_them(
    dispatcher: DispatcherProcess, worker: ScriptedWorker
) -> None:
    await worker.credit(1)
    await dispatcher.submit("A", "B")
    assignment = await worker.take()
    text = await asyncio.to_thread(dispatcher.metrics)
    assert 'virtscale_dispatcher_jobs{state="leased"} 1.0' in text
    assert 'virtscale_dispatcher_jobs{state="ready"} 1.0' in text
    assert "virtscale_dispatcher_jobs_accepted_total 2.0" in text
    assert 'virtscale_dispatcher_slots{state="busy"} 1.0' in text
    assert 'virtscale_worker_leases{worker="w1"} 1.0' in text
    await worker.answer(assignment)
    await worker.acknowledged(assignment)
    await worker.cut()

    async def is_gone() -> bool:
        return 'worker="w1"' not in await asyncio.to_thread(dispatcher.metrics)

    assert await until(is_gone)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dispatcher", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def test_a_configuration_is_checked_without_starting() -> None:
    done = run("--check-config")
    assert (done.returncode, done.stdout) == (0, "configuration OK\n")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--listen", "0.0.0.0:15051"], "other machines"),
        (["--listen", "nowhere"], "HOST:PORT"),
        (["--config", "/does/not/exist.yaml"], "no such file"),
        (["--join-key-file", "/does/not/exist"], "join_key_file"),
        (["--pepper-file", "/does/not/exist"], "pepper_file"),
        (["--no-such-flag"], "no-such-flag"),
    ],
)
def test_a_wrong_configuration_is_a_clear_error(flags: list[str], words: str) -> None:
    done = run("--check-config", *flags)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_busy_port_and_a_busy_database_are_clear_errors(
    dispatcher: DispatcherProcess, tmp_path: Path
) -> None:
    flags = ["--listen-address", "127.0.0.1:0", "--listen"]
    busy = await asyncio.to_thread(
        run, *flags, dispatcher.address, "--database", str(tmp_path / "other.db")
    )
    assert (busy.returncode, "in use" in busy.stderr) == (1, True)
    assert "Traceback" not in busy.stderr
    second = await asyncio.to_thread(
        run, *flags, "127.0.0.1:0", "--database", str(tmp_path / "jobs.db")
    )
    assert (second.returncode, "another dispatcher" in second.stderr) == (1, True)
