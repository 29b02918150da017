"""Backup, restore and check of a real store, by the process that people run."""

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from virtscale.v1 import job_pb2, license_pb2

from tests.contract.dispatcher_process import (
    PATIENCE,
    ROOT,
    DispatcherProcess,
    ScriptedWorker,
    Start,
    until,
)


def tool(database: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dispatcher", "--database", str(database), *map(str, words)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


async def done_jobs(dispatcher: DispatcherProcess, *numbers: str) -> list[str]:
    worker = await ScriptedWorker(dispatcher.address).connect()
    job_ids = await dispatcher.submit(*numbers)
    await worker.credit(len(numbers))
    for _ in numbers:
        await worker.answer(await worker.take())
    await dispatcher.finals(job_ids)
    await worker.cut()
    return job_ids


async def code_of(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code()


async def cursors(dispatcher: DispatcherProcess, cursor: str = "") -> list[str]:
    """The cursors of everything that is stored after one."""
    request = license_pb2.WatchResultsRequest(cursor=cursor, from_start=True)
    call = dispatcher.licenses.WatchResults(request, wait_for_ready=True)
    counts = await dispatcher.backlog()
    found: list[str] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while len(found) < counts.done + counts.failed:
                found.append((await call.read()).cursor)
                if int(found[-1].split("-")[1].removesuffix("r")) == counts.done + counts.failed:
                    break
    call.cancel()
    return found


async def test_a_backup_is_the_store_at_one_instant_while_jobs_stream_in(
    start: Start, tmp_path: Path
) -> None:
    dispatcher = start()
    is_over = asyncio.Event()

    async def feed() -> int:
        batches = 0
        while not is_over.is_set():
            await dispatcher.submit(*[f"KA-47-UT-{number:04}" for number in range(1, 501)])
            batches += 1
        return batches

    await dispatcher.submit(*[f"KA-47-UT-{number:04}" for number in range(1, 1001)])
    feeding = asyncio.ensure_future(feed())
    copy = tmp_path / "copy.db"
    ran = await asyncio.to_thread(tool, tmp_path / "jobs.db", "--backup", copy, "--json")
    is_over.set()
    assert await feeding > 0
    assert ran.returncode == 0, ran.stderr
    events = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [event["event"] for event in events[-2:]] == ["copied", "ended"]
    assert events[-2]["done"] == events[-2]["total"]
    assert events[-1]["bytes"] == copy.stat().st_size
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert not list(tmp_path.glob("*.partial*"))  # noqa: ASYNC240
    kept = sqlite3.connect(f"file:{copy}?mode=ro", uri=True)
    (accepted,) = kept.execute("SELECT accepted FROM numbers").fetchone()
    assert kept.execute("SELECT count(*), max(key) FROM jobs").fetchone() == (accepted, accepted)
    assert accepted >= 1000
    assert accepted % 500 == 0, "a batch is in the copy whole or not at all"
    kept.close()


async def test_a_backup_overwrites_nothing_unless_told_to(start: Start, tmp_path: Path) -> None:
    dispatcher = start()
    await dispatcher.submit("KA-47-UT-9173")
    assert dispatcher.end(signal.SIGTERM) == 0
    copy = tmp_path / "copy.db"
    copy.write_text("mine")
    refused = tool(tmp_path / "jobs.db", "--backup", copy)
    assert (refused.returncode, copy.read_text()) == (1, "mine")
    assert "--force" in refused.stderr
    made = tool(tmp_path / "jobs.db", "--backup", copy, "--force")
    assert made.returncode == 0
    assert "copied 100 %" in made.stdout
    assert "checked" in made.stdout
    assert tool(copy, "--check-store").returncode == 0


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--backup", "copy.db"), "no such store"),
        (("--restore", "nothing.db"), "nothing.db: no such file"),
        (("--check-store",), "no such store"),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, words: tuple[str, ...], text: str) -> None:
    paths = [word if word.startswith("--") else str(tmp_path / word) for word in words]
    ran = tool(tmp_path / "none.db", *paths)
    assert ran.returncode == 1
    assert text in ran.stderr
    assert "Traceback" not in ran.stderr


async def test_a_restored_store_knows_what_was_before_and_mixes_nothing_up(
    start: Start, tmp_path: Path
) -> None:
    dispatcher = start()
    before = await done_jobs(dispatcher, "KA-47-UT-0001", "KA-47-UT-0002")
    # Connected when the copy is made: a restored dispatcher believes what it says it has.
    worker = await ScriptedWorker(dispatcher.address, "holder", slots=2).connect()
    assert worker.welcome is not None
    (unfinished,) = await dispatcher.submit("KA-47-UT-0003")
    known = await cursors(dispatcher)
    copy = tmp_path / "copy.db"
    assert tool(tmp_path / "jobs.db", "--backup", copy).returncode == 0

    await worker.credit(2)
    (lost,) = await dispatcher.submit("KA-47-UT-0004")
    held = [await worker.take(), await worker.take()]
    after = await done_jobs(dispatcher, "KA-47-UT-0005")
    late = (await cursors(dispatcher))[-1]

    running = tool(tmp_path / "jobs.db", "--restore", copy)
    assert running.returncode == 1
    assert "in use by another dispatcher" in running.stderr
    dispatcher.end(signal.SIGKILL)
    await worker.cut()
    restored = tool(tmp_path / "jobs.db", "--restore", copy, "--json")
    assert restored.returncode == 0, restored.stderr
    aside = Path(json.loads(restored.stdout.splitlines()[-1])["kept"])
    assert tool(aside, "--check-store").returncode == 0

    dispatcher.start()
    assert [job.job_id for job in await dispatcher.jobs(before)] == before
    for name in (lost, *after):
        request = license_pb2.GetJobRequest(job_id=name)
        assert await code_of(dispatcher.licenses.GetJob(request)) == grpc.StatusCode.NOT_FOUND
    fresh = await dispatcher.submit("KA-47-UT-0006", "KA-47-UT-0007")
    assert not {*fresh} & {*before, unfinished, lost, *after}

    # The worker still has a job of the lost stretch, whose key is another job's now, and one that
    # both stretches know. It names neither its store nor, with its results, anything but keys.
    await worker.connect(held=[each.lease for each in held])
    assert [lease.key for lease in worker.welcome.kept] == [held[0].lease.key]
    await worker.answer(*held)
    (job,) = await dispatcher.finals([unfinished])
    assert job.result.worker_id == "holder"
    await worker.acknowledged(held[1])
    assert (await dispatcher.backlog()).done == 3
    await worker.credit(2)
    again = [await worker.take(), await worker.take()]
    assert {each.lease.key for each in again} == {4, 5}
    assert again[0].lease.epoch > max(each.lease.epoch for each in held)
    counts = await dispatcher.backlog()
    assert (counts.accepted, counts.done) == (5, 3)

    # A client that had seen a result of the lost stretch gets everything since the backup.
    assert len(await cursors(dispatcher, known[-1])) == 1
    assert len(await cursors(dispatcher, late)) == 1


async def test_what_is_no_sound_copy_is_not_restored(start: Start, tmp_path: Path) -> None:
    dispatcher = start()
    (job_id,) = await dispatcher.submit("KA-47-UT-9173")
    assert dispatcher.end(signal.SIGTERM) == 0
    store = tmp_path / "jobs.db"
    rubbish, spoilt = tmp_path / "rubbish.db", tmp_path / "spoilt.db"
    rubbish.write_bytes(b"rubbish" * 1000)
    spoilt.write_bytes(store.read_bytes())
    spoil(spoilt)
    before = store.read_bytes()
    for path in (rubbish, spoilt):
        ran = tool(store, "--restore", path)
        assert ran.returncode == 1
        assert path.name in ran.stderr
        assert store.read_bytes() == before
    assert sorted(path.suffix for path in tmp_path.glob("jobs.db*")) == [".db", ".lock"]  # noqa: ASYNC240
    dispatcher.start()
    assert [job.state for job in await dispatcher.jobs([job_id])] == [job_pb2.JOB_STATE_READY]


def spoil(path: Path) -> None:
    """Overwrites the second half of every page of the index of finals, which no read call uses."""
    connection = sqlite3.connect(path)
    statement = "SELECT rootpage FROM sqlite_schema WHERE name = 'jobs_unfinished'"
    ((page,),) = connection.execute(statement)
    ((size,),) = connection.execute("PRAGMA page_size")
    connection.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size + 8)
        file.write(b"\xff" * 8)


async def test_damage_is_found_while_serving_and_stops_new_work_only(
    start: Start, tmp_path: Path
) -> None:
    dispatcher = start()
    job_ids = await done_jobs(dispatcher, "KA-47-UT-9173")
    assert dispatcher.end(signal.SIGTERM) == 0
    connection = sqlite3.connect(tmp_path / "jobs.db")
    statement = "SELECT rootpage FROM sqlite_schema WHERE name = 'requests_at'"
    ((page,),) = connection.execute(statement)
    ((size,),) = connection.execute("PRAGMA page_size")
    connection.close()
    with (tmp_path / "jobs.db").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\x55" * 64)
    assert tool(tmp_path / "jobs.db", "--check-store").returncode == 1
    dispatcher.start()
    health = health_pb2_grpc.HealthStub(dispatcher.channel)

    async def is_refusing() -> bool:
        answer = await health.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True)
        return bool(answer.status == health_pb2.HealthCheckResponse.NOT_SERVING)

    await until(is_refusing)
    assert "virtscale_dispatcher_store_sound 0.0" in dispatcher.metrics()
    request = license_pb2.SubmitJobsRequest(
        request_id=str(uuid.uuid4()), jobs=[job_pb2.JobSpec(number="KA-47-UT-9174")]
    )
    with pytest.raises(grpc.aio.AioRpcError, match="virtscale restore") as raised:
        await dispatcher.licenses.SubmitJobs(request)
    assert raised.value.code() == grpc.StatusCode.UNAVAILABLE
    (job,) = await dispatcher.jobs(job_ids)
    assert job.state == job_pb2.JOB_STATE_DONE
