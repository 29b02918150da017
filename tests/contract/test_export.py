"""`virtscale export` on a real dispatcher."""

import asyncio
import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.dispatcher_process import (
    PATIENCE,
    ROOT,
    DispatcherProcess,
    ScriptedWorker,
    until,
)


@pytest.fixture
async def dispatcher(tmp_path: Path) -> AsyncIterator[DispatcherProcess]:
    process = DispatcherProcess(tmp_path)
    process.start()
    yield process
    await process.close()


def command(dispatcher: DispatcherProcess, *arguments: str) -> list[str]:
    return [
        *(sys.executable, "-m", "stack", "export", *arguments),
        *("--dispatcher", dispatcher.address),
    ]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"}


async def run(dispatcher: DispatcherProcess, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return await asyncio.to_thread(
        subprocess.run,
        command(dispatcher, *arguments),
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE,
    )


async def hashed(dispatcher: DispatcherProcess, worker: ScriptedWorker, count: int) -> list[str]:
    await worker.credit(count)
    job_ids = await dispatcher.submit(*["KA-47-UT-9173"] * count)
    for _ in range(count):
        await worker.answer(await worker.take())
    await dispatcher.finals(job_ids)
    return job_ids


async def test_an_export_is_complete_and_goes_on_later(
    dispatcher: DispatcherProcess, tmp_path: Path
) -> None:
    worker = await ScriptedWorker(dispatcher.address).connect()
    first = await hashed(dispatcher, worker, 30)
    target = tmp_path / "all.csv"
    done = await run(dispatcher, str(target))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    second = await hashed(dispatcher, worker, 5)
    assert (await run(dispatcher, str(target))).returncode == 0
    assert (await run(dispatcher, str(target), "--once")).returncode == 0
    with target.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["job_id"] for row in rows] == first + second
    assert all(row["hash"] and row["state"] == "done" for row in rows)
    # With its letters: four digits alone turn up in hashes by chance.
    assert "UT" not in target.read_text()
    printed = await run(dispatcher, "-", "--format", "jsonl")
    lines = [json.loads(line) for line in printed.stdout.splitlines()]
    assert [line["job_id"] for line in lines] == first + second
    rest = await run(dispatcher, "-", "--from-cursor", lines[29]["cursor"], "--format", "jsonl")
    assert [json.loads(line)["job_id"] for line in rest.stdout.splitlines()] == second
    await worker.cut()


async def test_following_goes_on_through_a_kill_of_either_side(
    dispatcher: DispatcherProcess, tmp_path: Path
) -> None:
    target = tmp_path / "all.jsonl"
    worker = await ScriptedWorker(dispatcher.address).connect()
    job_ids: list[str] = []

    def begin() -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            command(dispatcher, str(target), "--follow"),
            cwd=ROOT,
            env=environment(),
            stderr=subprocess.DEVNULL,
        )

    async def is_recorded() -> bool:
        """The cursor file names the newest result."""
        state = tmp_path / "all.jsonl.cursor"
        return state.exists() and len(target.read_bytes().splitlines()) >= len(job_ids)

    exporting = begin()
    try:
        for killed in ("dispatcher", "export", ""):
            job_ids += await hashed(dispatcher, worker, 10)
            await until(is_recorded)
            if killed == "dispatcher":
                await asyncio.to_thread(dispatcher.end, signal.SIGKILL)
                await asyncio.to_thread(dispatcher.start)
                await worker.connect()
            elif killed == "export":
                exporting.kill()
                await asyncio.to_thread(exporting.wait)
                exporting = begin()
        exporting.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(exporting.wait, PATIENCE) == 0
    finally:
        exporting.kill()
        await asyncio.to_thread(exporting.wait)
        await worker.cut()
    found = [json.loads(line)["job_id"] for line in target.read_text().splitlines()]
    assert found == job_ids


async def test_faults_are_sentences(dispatcher: DispatcherProcess, tmp_path: Path) -> None:
    taken = tmp_path / "mine.csv"
    taken.write_text("mine")
    for arguments, words in (
        ((str(taken),), "choose another file"),
        ((str(tmp_path / "x.csv"), "--format", "xml"), "choose csv or jsonl"),
        ((str(tmp_path / "y.csv"), "--from-cursor", "rubbish"), "cursor"),
    ):
        done = await run(dispatcher, *arguments)
        assert done.returncode != 0
        assert words in done.stderr
        assert "Traceback" not in done.stderr
