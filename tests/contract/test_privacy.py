"""No licence number, key or token outside the memory that needs it: real processes, real gRPC."""

import asyncio
import contextlib
import hmac
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest
from virtscale.v1 import job_pb2, license_pb2

from dispatcher import hashing
from tests.contract import secret_search
from tests.contract.dispatcher_process import (
    JOIN_KEY,
    PATIENCE,
    PEPPER,
    ROOT,
    DispatcherProcess,
    until,
)
from tests.contract.secret_search import spellings

NUMBER = "MH-31-ZV-7086"
CANONICAL = "MH31ZV7086"
# What is sent to have the places overwritten that were freed last, such as gRPC's read buffers.
OTHER_NUMBER = "KA-47-UT-9173"
TOKEN = hashing.join_token(JOIN_KEY, "vs-1")
PEPPER_HEX = PEPPER.strip().partition(":")[2]
LEGACY, HMAC, ARGON2ID = (
    job_pb2.HASH_PROFILE_LEGACY_SHA256,
    job_pb2.HASH_PROFILE_HMAC_SHA256,
    job_pb2.HASH_PROFILE_ARGON2ID,
)
PROFILES = (LEGACY, HMAC, ARGON2ID)
KEYED = hmac.digest(
    bytes.fromhex(PEPPER_HEX), b"virtscale:number:v1:" + CANONICAL.encode(), "sha256"
)
NUMBERS = {
    **spellings("number", NUMBER.encode()),
    **spellings("canonical number", CANONICAL.encode()),
    "number in lower case": NUMBER.lower().encode(),
}
KEYS = {
    **spellings("pepper", bytes.fromhex(PEPPER_HEX)),
    **spellings("join key", JOIN_KEY),
    "token": TOKEN.removeprefix("v1.").encode(),
}
SECRETS = {**NUMBERS, **KEYS, **spellings("keyed number", KEYED)}


def leaks(directory: Path) -> dict[str, list[str]]:
    return secret_search.leaks(directory, SECRETS)


def found_in(content: bytes) -> list[str]:
    return secret_search.found_in(content, SECRETS)


class World:
    """A dispatcher and a worker; everything they write ends in one directory."""

    def __init__(self, directory: Path) -> None:
        self.keys, self.written = directory / "keys", directory / "written"
        self.keys.mkdir()
        self.written.mkdir()
        self.dispatcher = DispatcherProcess(
            self.keys,
            database=str(self.written / "jobs.db"),
            logfile=None,
            loglevel="debug",
            argon2_memory_kib=1024,
        )
        self.processes: list[subprocess.Popen[bytes]] = []

    def run(self, name: str, *arguments: str, **environ: str) -> "subprocess.Popen[bytes]":
        with (self.written / f"{name}.stderr").open("ab") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                env={"PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}", **environ},
                stdout=errors,
                stderr=errors,
            )
        self.processes.append(process)
        return process

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    yield made
    made.close()
    await made.dispatcher.close()


def test_the_search_finds_what_it_looks_for() -> None:
    for name, secret in SECRETS.items():
        assert name in found_in(b"x" + secret + b"y")


async def test_nothing_secret_is_written_anywhere(world: World) -> None:
    dispatcher = world.dispatcher
    config = ("--config", str(world.keys / "config.yaml"))
    serving = world.run("dispatcher", "dispatcher", *config)
    working = work(world)
    job_ids: list[str] = []
    for profile in PROFILES:
        job_ids += await dispatcher.submit(NUMBER, NUMBER.lower(), profile=profile)
    load = job_pb2.Load(verify=job_pb2.Verify(repetitions=3))
    job_ids += await dispatcher.submit(NUMBER, profile=PROFILES[0], load=load)
    jobs = await dispatcher.finals(job_ids)
    for job in jobs:
        assert job.state == job_pb2.JOB_STATE_DONE
        request = license_pb2.VerifyLicenseRequest(number=NUMBER, hash=job.result.hash)
        assert (await dispatcher.licenses.VerifyLicense(request)).matches
        assert not found_in(job.SerializeToString())
    shown = await asyncio.to_thread(dispatcher.metrics)
    assert "virtscale_dispatcher_jobs" in shown
    assert not found_in(shown.encode())

    async def is_forgotten() -> bool:
        return not leaks(world.written)

    # While the dispatcher lives: the log of the database is emptied when it has been idle.
    await until(is_forgotten)
    for process in (working, serving):
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, PATIENCE) == 0
    assert not leaks(world.written)
    names = {path.name for path in world.written.iterdir()}
    assert {"jobs.db", "dispatcher.stderr", "worker.stderr"} <= names
    assert b"dispatcher.started" in (world.written / "dispatcher.stderr").read_bytes()
    assert b"worker.started" in (world.written / "worker.stderr").read_bytes()


async def test_a_backup_made_after_a_job_holds_nothing_of_it(world: World) -> None:
    """SQLite's own backup of the open database, as any tool makes one."""
    dispatcher = world.dispatcher
    world.run("dispatcher", "dispatcher", "--config", str(world.keys / "config.yaml"))
    work(world)
    job_ids = await dispatcher.submit(NUMBER, profile=LEGACY)
    await dispatcher.finals(job_ids)

    async def is_forgotten() -> bool:
        return not leaks(world.written)

    await until(is_forgotten)
    copy = world.written / "copy.db"
    with (
        contextlib.closing(apsw.Connection(str(world.written / "jobs.db"))) as source,
        contextlib.closing(apsw.Connection(str(copy))) as target,
        target.backup("main", source, "main") as backup,
    ):
        while not backup.done:
            backup.step(100)
    assert copy.stat().st_size > 4096
    assert not leaks(world.written)


async def test_no_number_stays_in_the_dispatcher_s_memory(world: World) -> None:
    """With `scrub_memory`: so there is no living copy of it either, in any cache or structure."""
    dispatcher = world.dispatcher
    serving = world.run(
        "dispatcher",
        "dispatcher",
        *("--config", str(world.keys / "config.yaml")),
        VIRTSCALE_DISPATCHER_SCRUB_MEMORY="true",
    )
    work(world)
    for profile in PROFILES:
        (job_id,) = await dispatcher.submit(NUMBER, profile=profile)
        (job,) = await dispatcher.finals([job_id])
        request = license_pb2.VerifyLicenseRequest(number=NUMBER, hash=job.result.hash)
        assert (await dispatcher.licenses.VerifyLicense(request)).matches

    async def is_forgotten() -> bool:
        others = await dispatcher.submit(*[OTHER_NUMBER] * 100, profile=LEGACY)
        await dispatcher.finals(others)
        request = license_pb2.VerifyLicenseRequest(number=OTHER_NUMBER, hash=job.result.hash)
        await dispatcher.licenses.VerifyLicense(request)
        return not secret_search.memory_leaks(serving.pid, NUMBERS)

    # The search sees what is there: the number of a job that is open.
    world.processes[-1].kill()
    world.processes[-1].wait()
    await dispatcher.submit(NUMBER, profile=LEGACY)
    assert secret_search.memory_leaks(serving.pid, NUMBERS)
    work(world)
    await until(is_forgotten)


async def test_a_guest_never_sees_a_number_or_a_key_of_the_keyed_profiles(world: World) -> None:
    """Not in its memory either, which is what a saved guest or a stolen disk would hold."""
    dispatcher = world.dispatcher
    world.run("dispatcher", "dispatcher", "--config", str(world.keys / "config.yaml"))
    working = work(world)
    for profile in (HMAC, ARGON2ID):
        await dispatcher.finals(await dispatcher.submit(*[NUMBER] * 20, profile=profile))
    pids = [working.pid, *secret_search.children(working.pid)]
    assert len(pids) == 2
    for pid in pids:
        without_token = {name: value for name, value in KEYS.items() if name != "token"}
        assert not secret_search.memory_leaks(pid, {**NUMBERS, **without_token})
    # It does see the number of a legacy job: that is what the profile is, and the search sees it.
    load = job_pb2.Load(verify=job_pb2.Verify(repetitions=10_000_000))
    await dispatcher.submit(NUMBER, profile=LEGACY, load=load)

    async def is_seen() -> bool:
        return bool(secret_search.memory_leaks(pids[-1], NUMBERS))

    await until(is_seen)


def work(world: World) -> "subprocess.Popen[bytes]":
    return world.run(
        "worker",
        *("guest_worker", "--slots", "1", "--loglevel", "debug"),
        VIRTSCALE_DISPATCHER=world.dispatcher.address,
        VIRTSCALE_WORKER_ID="vs-1",
        VIRTSCALE_JOIN_TOKEN=TOKEN,
    )


async def test_faults_show_nothing_secret_either(world: World) -> None:
    """Refusals, a wrong token and a job that is never done: what people read when things break."""
    dispatcher = world.dispatcher
    world.run("dispatcher", "dispatcher", "--config", str(world.keys / "config.yaml"))
    wrong = TOKEN[:-4] + "AAAA"
    rejected = world.run(
        "worker",
        *("guest_worker", "--slots", "1", "--loglevel", "debug"),
        VIRTSCALE_DISPATCHER=dispatcher.address,
        VIRTSCALE_WORKER_ID="vs-1",
        VIRTSCALE_JOIN_TOKEN=wrong,
    )
    (job_id,) = await dispatcher.submit(NUMBER, profile=PROFILES[0])
    # An open job's number is in the store, else a restart would lose the job: the search finds it.
    assert any("number" in secrets for secrets in leaks(world.written).values())
    texts: list[str] = []
    for request in (
        license_pb2.SubmitJobsRequest(request_id="x", jobs=[job_pb2.JobSpec(number=NUMBER)]),
        license_pb2.SubmitJobsRequest(jobs=[job_pb2.JobSpec(number=NUMBER + "\x07")]),
        license_pb2.SubmitJobsRequest(jobs=[job_pb2.JobSpec(number=NUMBER * 9)]),
    ):
        texts.append(str(await _error(dispatcher.licenses.SubmitJobs(request))))
    request = license_pb2.VerifyLicenseRequest(number=NUMBER, hash=NUMBER)
    texts.append(str(await _error(dispatcher.licenses.VerifyLicense(request))))
    worker_log = world.written / "worker.stderr"

    async def is_rejected() -> bool:
        return "dispatcher.rejected" in worker_log.read_text()

    await until(is_rejected)
    rejected.kill()
    written = (world.written / "dispatcher.stderr").read_bytes() + worker_log.read_bytes()
    assert not found_in("".join(texts).encode() + written)
    assert wrong.encode() not in written
    request = license_pb2.CancelJobsRequest(job_ids=[job_id])
    await dispatcher.licenses.CancelJobs(request)

    async def is_forgotten() -> bool:
        return not leaks(world.written)

    await until(is_forgotten)


async def _error(call: object) -> BaseException:
    with pytest.raises(Exception, match="StatusCode") as raised:
        await call  # type: ignore[misc]
    return raised.value
