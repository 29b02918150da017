"""Disks that are full, read-only or limited: new work is refused, nothing is lost, no restart.

Needs a file system of its own, mounted for the test. Where that is not allowed, the tests of this
module that need it are skipped with that reason; the one with a limited file size always runs.
"""

import asyncio
import resource
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from virtscale.v1 import job_pb2, license_pb2

from tests.contract.dispatcher_process import (
    PATIENCE,
    DispatcherProcess,
    ScriptedWorker,
    Start,
    until,
)

NUMBERS = [f"KA-47-UT-{number:04}" for number in range(1, 501)]


def run(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, check=False
    )


def mounted(place: Path, *words: str | Path) -> Iterator[Path]:
    place.mkdir()
    made = run("mount", *words, place)
    if made.returncode != 0:
        pytest.skip(
            "NOT PROVEN HERE: what a full, broken or read-only disk does, for want of the right to "
            f"mount one ({made.stderr.strip()}); run as root"
        )
    yield place
    assert run("umount", "--lazy", place).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    yield from mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=2m", "virtscale-test")


@pytest.fixture
def real_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system on a block device of its own."""
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(16 * 1024 * 1024)
    assert run("mkfs.ext4", "-q", "-F", image).returncode == 0
    yield from mounted(tmp_path / "disk", "-o", "loop,errors=remount-ro", image)


async def refusal(dispatcher: DispatcherProcess, jobs: int = 500) -> grpc.aio.AioRpcError:
    """Submits until it is refused, or fails."""
    async with asyncio.timeout(4 * PATIENCE):
        while True:
            request = license_pb2.SubmitJobsRequest(
                request_id=str(uuid.uuid4()),
                jobs=[
                    job_pb2.JobSpec(number=number, reference="r" * 100) for number in NUMBERS[:jobs]
                ],
            )
            try:
                await dispatcher.licenses.SubmitJobs(request, timeout=PATIENCE)
            except grpc.aio.AioRpcError as error:
                return error


def retry_info(error: grpc.aio.AioRpcError) -> bool:
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    return b"google.rpc.RetryInfo" in bytes(details)


def is_writable(dispatcher: DispatcherProcess) -> bool:
    return "virtscale_dispatcher_store_writable 1.0" in dispatcher.metrics()


def fill(directory: Path) -> None:
    """Takes the last byte."""
    with (directory / "rest").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            pass


async def test_a_full_disk_refuses_new_work_and_heals_by_itself(
    small_disk: Path, start: Start
) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * 512 * 1024)
    dispatcher = start(database=str(small_disk / "jobs.db"), disk_reserve_mib=0)
    worker = await ScriptedWorker(dispatcher.address, slots=8).connect()
    await worker.credit(8)
    held_ids = await dispatcher.submit(*NUMBERS[:8])
    held = [await worker.take() for _ in range(8)]
    error = await refusal(dispatcher)
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert retry_info(error)
    assert "jobs.db" in str(error.details())
    assert "full" in str(error.details())
    fill(small_disk)
    assert (await refusal(dispatcher, 1)).code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    counts = await dispatcher.backlog()

    await worker.answer(*held)

    async def is_failing() -> bool:
        return not is_writable(dispatcher)

    await until(is_failing)
    await worker.credit(8)
    for _ in range(20):  # round trips in which the credit arrives, and could be used
        assert (await dispatcher.backlog()).leased == 8, "leased while nothing can be stored"
    assert worker.acked == set(), "acknowledged before it was on disk"
    assert worker.assignments.empty()
    assert [job.job_id for job in await dispatcher.jobs(held_ids)] == held_ids

    ballast.unlink()
    for assignment in held:
        await worker.acknowledged(assignment)
    finals = await dispatcher.finals(held_ids)
    assert {job.state for job in finals} == {job_pb2.JOB_STATE_DONE}
    assert (await worker.take()).lease.key not in {each.lease.key for each in held}
    assert is_writable(dispatcher)
    after = await dispatcher.backlog()
    assert (after.accepted, after.done) == (counts.accepted, 8)
    await dispatcher.submit("KA-47-UT-9174")
    await worker.cut()


async def test_new_work_is_refused_while_there_is_still_room_for_results(
    small_disk: Path, start: Start
) -> None:
    assert run("mount", "-o", "remount,size=24m", small_disk).returncode == 0
    (small_disk / "ballast").write_bytes(b"\0" * 7 * 1024 * 1024)
    dispatcher = start(database=str(small_disk / "jobs.db"), disk_reserve_mib=16)
    error = await refusal(dispatcher, 100)
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert retry_info(error)
    assert "disk_reserve_mib" in str(error.details())
    counts = await dispatcher.backlog()
    worker = await ScriptedWorker(dispatcher.address, slots=100).connect()
    await worker.credit(counts.accepted)
    await worker.answer(*[await worker.take() for _ in range(counts.accepted)])

    async def is_done() -> bool:
        return (await dispatcher.backlog()).done == counts.accepted

    await until(is_done)
    await worker.cut()


async def test_what_was_accepted_outlives_a_kill_on_a_full_disk(
    small_disk: Path, start: Start
) -> None:
    dispatcher = start(database=str(small_disk / "jobs.db"), disk_reserve_mib=0)
    first = await dispatcher.submit(*NUMBERS[:100])
    assert (await refusal(dispatcher)).code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    counts = await dispatcher.backlog()
    dispatcher.end(signal.SIGKILL)
    assert run("mount", "-o", "remount,size=8m", small_disk).returncode == 0
    dispatcher.start()
    assert (await dispatcher.backlog()).accepted == counts.accepted
    worker = await ScriptedWorker(dispatcher.address, slots=100).connect()
    await worker.credit(100)
    await worker.answer(*[await worker.take() for _ in range(100)])
    assert len(await dispatcher.finals(first)) == 100
    await worker.cut()


async def test_write_errors_refuse_new_work_and_heal_by_themselves(
    real_disk: Path, start: Start
) -> None:
    """The kernel refuses writes to immutable files, also to those that are open."""
    dispatcher = start(database=str(real_disk / "jobs.db"), disk_reserve_mib=0)
    worker = await ScriptedWorker(dispatcher.address).connect()
    (job_id,) = await dispatcher.submit("KA-47-UT-9173")
    await worker.credit(1)
    assignment = await worker.take()
    files = [real_disk / f"jobs.db{suffix}" for suffix in ("", "-wal")]
    assert run("chattr", "+i", *files).returncode == 0
    try:
        error = await refusal(dispatcher, 1)
        assert error.code() == grpc.StatusCode.UNAVAILABLE
        assert retry_info(error)
        assert "jobs.db cannot be written now" in str(error.details())
        await worker.answer(assignment)

        async def is_failing() -> bool:
            return not is_writable(dispatcher)

        await until(is_failing)
        assert worker.acked == set()
        assert [job.job_id for job in await dispatcher.jobs([job_id])] == [job_id]
    finally:
        assert run("chattr", "-i", *files).returncode == 0
    await worker.acknowledged(assignment)
    await dispatcher.submit("KA-47-UT-9174")
    await worker.cut()


async def test_a_disk_that_turns_read_only_loses_nothing(
    real_disk: Path, tmp_path: Path, start: Start
) -> None:
    """As the kernel does it after an error on the device: only a new mount makes it writable."""
    dispatcher = start(database=str(real_disk / "jobs.db"), disk_reserve_mib=0)
    (job_id,) = await dispatcher.submit("KA-47-UT-9173")
    assert run("mount", "-o", "remount,abort", real_disk).returncode == 0
    error = await refusal(dispatcher, 1)
    assert error.code() == grpc.StatusCode.UNAVAILABLE
    assert retry_info(error)
    assert "jobs.db" in str(error.details())
    assert [job.job_id for job in await dispatcher.jobs([job_id])] == [job_id]
    assert (await dispatcher.backlog()).accepted == 1
    dispatcher.end(signal.SIGKILL)
    assert run("umount", real_disk).returncode == 0
    assert run("mount", "-o", "loop", tmp_path / "image", real_disk).returncode == 0
    dispatcher.start()
    assert [job.job_id for job in await dispatcher.jobs([job_id])] == [job_id]
    await dispatcher.submit("KA-47-UT-9174")
    dispatcher.end(signal.SIGTERM)
    assert run("mount", "-o", "remount,ro", real_disk).returncode == 0
    with pytest.raises(AssertionError, match="the dispatcher ended"):
        dispatcher.start()


async def test_a_limited_file_size_is_like_a_full_disk(tmp_path: Path, start: Start) -> None:
    dispatcher = start(disk_reserve_mib=0)
    process = dispatcher._process
    assert process is not None
    worker = await ScriptedWorker(dispatcher.address).connect()
    (job_id,) = await dispatcher.submit("KA-47-UT-9173")
    await worker.credit(1)
    assignment = await worker.take()
    soft, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, hard))
    error = await refusal(dispatcher)
    assert error.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
    assert retry_info(error)
    assert str(tmp_path / "jobs.db") in str(error.details())
    await worker.answer(assignment)

    async def is_failing() -> bool:
        return not is_writable(dispatcher)

    await until(is_failing)
    assert worker.acked == set()
    (job,) = await dispatcher.jobs([job_id])
    assert job.state == job_pb2.JOB_STATE_LEASED
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (soft, hard))
    await worker.acknowledged(assignment)
    (job,) = await dispatcher.finals([job_id])
    assert job.state == job_pb2.JOB_STATE_DONE
    await worker.cut()
