"""Rotation of the pepper under a running dispatcher, and what verification may cost."""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from virtscale.v1 import job_pb2, license_pb2, worker_pb2

from tests.contract.dispatcher_process import (
    PATIENCE,
    PEPPER,
    DispatcherProcess,
    ScriptedWorker,
    until,
)

NUMBER = "KA-47-UT-9173"
HMAC = job_pb2.HASH_PROFILE_HMAC_SHA256
K2 = "k2:" + "cd" * 32 + "\n"


@pytest.fixture
async def dispatcher(tmp_path: Path) -> AsyncIterator[DispatcherProcess]:
    made = DispatcherProcess(tmp_path, default_profile="hmac-sha256", number_formats=["in"])
    made.start()
    yield made
    await made.close()


@pytest.fixture
async def worker(dispatcher: DispatcherProcess) -> AsyncIterator[ScriptedWorker]:
    made = await ScriptedWorker(dispatcher.address).connect()
    yield made
    await made.cut()


def stored(assignment: worker_pb2.Assignment) -> str:
    digest = hashlib.sha256(b"virtscale:hmac-sha256:v1:" + assignment.inputs[0]).digest()
    text = base64.b64encode(digest).decode().rstrip("=")
    return f"$hmac-sha256$keyid={assignment.key_id}${text}"


async def verify(dispatcher: DispatcherProcess, digest: str, **call: Any) -> Any:
    request = license_pb2.VerifyLicenseRequest(number=NUMBER, hash=digest)
    return await dispatcher.licenses.VerifyLicense(request, **call)


async def write_pepper(dispatcher: DispatcherProcess, text: str, event: str) -> None:
    """Returns when the dispatcher has said so."""
    before = dispatcher.log.read_text().count(event)
    path = dispatcher.directory / "pepper"
    new = path.with_name("pepper.new")
    new.write_text(text)
    new.replace(path)

    async def is_seen() -> bool:
        return dispatcher.log.read_text().count(event) > before

    await until(is_seen)


async def test_a_rotation_loses_no_job_and_no_hash(
    dispatcher: DispatcherProcess, worker: ScriptedWorker
) -> None:
    request_id = "7f0c1d5e-6f1c-4c40-9a53-0c6a4f1f6d01"
    (old_job,) = await dispatcher.submit(NUMBER, request_id=request_id)
    await worker.credit(1)
    in_hand = await worker.take()
    assert in_hand.key_id == "k1"

    await write_pepper(dispatcher, K2 + PEPPER, "pepper.read")
    # The same request again is still known, though it is digested with another key now.
    assert await dispatcher.submit(NUMBER, request_id=request_id) == [old_job]
    await worker.answer(in_hand, digest=stored(in_hand))
    (job,) = await dispatcher.finals([old_job])
    answer = await verify(dispatcher, job.result.hash)
    assert (answer.matches, answer.needs_rehash) == (True, True)

    (new_job,) = await dispatcher.submit(NUMBER)
    await worker.credit(1)
    assignment = await worker.take()
    assert assignment.key_id == "k2"
    expected = hmac.digest(b"\xcd" * 32, b"virtscale:number:v1:KA47UT9173", "sha256")
    assert assignment.inputs[0] == expected
    await worker.answer(assignment, digest=stored(assignment))
    (fresh,) = await dispatcher.finals([new_job])
    answer = await verify(dispatcher, fresh.result.hash)
    assert (answer.matches, answer.needs_rehash) == (True, False)

    await write_pepper(dispatcher, K2, "pepper.keys_removed")
    with pytest.raises(grpc.aio.AioRpcError, match="'k1', which is not in the pepper") as refused:
        await verify(dispatcher, job.result.hash)
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    await write_pepper(dispatcher, K2 + PEPPER, "pepper.read")
    assert (await verify(dispatcher, job.result.hash)).matches


async def test_a_job_finishes_under_a_key_that_was_removed_meanwhile(
    dispatcher: DispatcherProcess, worker: ScriptedWorker
) -> None:
    (job_id,) = await dispatcher.submit(NUMBER)
    await write_pepper(dispatcher, K2, "pepper.keys_removed")
    await worker.credit(1)
    assignment = await worker.take()
    await worker.answer(assignment, digest=stored(assignment))
    (job,) = await dispatcher.finals([job_id])
    assert job.state == job_pb2.JOB_STATE_DONE
    assert "keyid=k1" in job.result.hash


@pytest.mark.parametrize("content", ["", "k1:zz\n", "k1:" + "ee" * 32 + "\n", "k 2:" + "ee" * 32])
async def test_a_wrong_pepper_file_is_refused_and_nothing_stops(
    dispatcher: DispatcherProcess, worker: ScriptedWorker, content: str
) -> None:
    await write_pepper(dispatcher, content, "pepper.refused")
    assert "eeeeee" not in dispatcher.log.read_text()
    await dispatcher.submit(NUMBER)
    await worker.credit(1)
    assert (await worker.take()).key_id == "k1"


async def test_costly_verifications_wait_their_turn_and_stop_nobody(
    dispatcher: DispatcherProcess,
) -> None:
    """The dearest hash that is accepted at all, a hundred times, by clients that do not wait."""
    dear = "$argon2id$v=19$m=65536,t=10,p=4,keyid=k1$" + "A" * 22 + "$" + "A" * 43
    calls = [
        asyncio.ensure_future(verify(dispatcher, dear, timeout=2 * PATIENCE)) for _ in range(100)
    ]
    done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE)
    refused = [call.exception() for call in done if call.exception() is not None]
    assert refused
    for error in refused:
        assert isinstance(error, grpc.aio.AioRpcError)
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (
            b"google.rpc.RetryInfo"
            in dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
        )
    # Others are served meanwhile.
    await dispatcher.submit(NUMBER)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    # Those that were cancelled are not worked off: the next one gets its turn at once.
    answer = await verify(dispatcher, dear, timeout=PATIENCE)
    assert not answer.matches


async def test_a_deadline_ends_a_verification(dispatcher: DispatcherProcess) -> None:
    dear = "$argon2id$v=19$m=65536,t=10,p=1,keyid=k1$" + "A" * 22 + "$" + "A" * 43
    waiting = [asyncio.ensure_future(verify(dispatcher, dear)) for _ in range(6)]
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await verify(dispatcher, dear, timeout=0.05)
    assert ended.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    for call in waiting:
        call.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
