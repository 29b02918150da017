"""The dispatcher over real gRPC: a process of its own, scripted workers, faults."""

import asyncio
import hashlib
import signal
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from virtscale.v1 import fleet_pb2, job_pb2, license_pb2, worker_pb2

from tests.contract.dispatcher_process import (
    LEGACY,
    PATIENCE,
    DispatcherProcess,
    ScriptedWorker,
    Start,
    until,
)

Connect = Callable[..., Any]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    made: list[ScriptedWorker] = []

    async def begin(
        process: DispatcherProcess, worker_id: str = "w1", *, credit: int = 0, slots: int = 1
    ) -> ScriptedWorker:
        worker = ScriptedWorker(process.address, worker_id, slots=slots)
        made.append(worker)
        await worker.connect()
        if credit:
            await worker.credit(credit)
        return worker

    yield begin
    for worker in made:
        await worker.cut()


async def test_a_number_becomes_a_stored_hash(start: Start, connect: Connect) -> None:
    dispatcher = start()
    worker = await connect(dispatcher, credit=2)
    (job_id,) = await dispatcher.submit(" ka-47-ut-9173", profile=LEGACY, reference="mine")
    assignment = await worker.take()
    assert assignment.inputs[0] == b"KA-47-UT-9173"
    assert (await dispatcher.jobs([job_id]))[0].state == job_pb2.JOB_STATE_LEASED
    await worker.answer(assignment)
    await worker.acknowledged(assignment)
    (job,) = await dispatcher.finals([job_id])
    assert (job.state, job.reference, job.result.worker_id) == (
        job_pb2.JOB_STATE_DONE,
        "mine",
        "w1",
    )
    digest, _, salt = job.result.hash.partition(":")
    assert hashlib.sha256((salt + "KA-47-UT-9173").encode()).hexdigest() == digest
    verdict = await dispatcher.licenses.VerifyLicense(
        license_pb2.VerifyLicenseRequest(number="KA-47-UT-9173", hash=job.result.hash)
    )
    assert verdict.matches
    counts = await dispatcher.backlog()
    assert (counts.accepted, counts.done) == (1, 1)


async def test_guests_see_keyed_numbers_only(start: Start, connect: Connect) -> None:
    dispatcher = start()
    worker = await connect(dispatcher, credit=2)
    await dispatcher.submit("KA-47-UT-9173", profile=job_pb2.HASH_PROFILE_ARGON2ID)
    assignment = await worker.take()
    assert len(assignment.inputs[0]) == 32
    assert (assignment.key_id, assignment.argon2_cost.memory_kib) == ("k1", 19456)


async def test_credit_is_a_limit(start: Start, connect: Connect) -> None:
    dispatcher = start()
    worker = await connect(dispatcher, credit=2, slots=4)
    await dispatcher.submit(*"ABCDE")
    await worker.take()
    await worker.take()
    assert (await dispatcher.backlog()).leased == 2
    assert worker.assignments.empty()
    await worker.credit(1)
    await worker.take()
    assert (await dispatcher.backlog()).leased == 3


async def test_the_emptier_worker_gets_the_job(start: Start, connect: Connect) -> None:
    dispatcher = start()
    small = await connect(dispatcher, "small", credit=10, slots=1)
    large = await connect(dispatcher, "large", credit=10, slots=3)
    await dispatcher.submit(*"ABCD")
    for worker, jobs in ((small, 1), (large, 3)):
        for _ in range(jobs):
            await worker.take()


async def test_a_lost_worker_s_job_goes_to_another(start: Start, connect: Connect) -> None:
    dispatcher = start(reconnect_grace_seconds=0.2)
    first = await connect(dispatcher, "w1", credit=1)
    (job_id,) = await dispatcher.submit("A")
    lost = await first.take()
    await first.cut()
    second = await connect(dispatcher, "w2", credit=1)
    assignment = await second.take()
    assert assignment.lease.key == lost.lease.key
    assert assignment.lease.epoch > lost.lease.epoch
    await second.answer(assignment)
    (job,) = await dispatcher.finals([job_id])
    assert (job.attempts, job.result.worker_id) == (1, "w2")


async def test_a_worker_that_comes_back_keeps_its_job(start: Start, connect: Connect) -> None:
    dispatcher = start(reconnect_grace_seconds=10)
    worker = await connect(dispatcher, credit=1)
    (job_id,) = await dispatcher.submit("A")
    assignment = await worker.take()
    await worker.connect(held=[assignment.lease])
    assert worker.welcome is not None
    assert list(worker.welcome.kept) == [assignment.lease]
    await worker.answer(assignment)
    (job,) = await dispatcher.finals([job_id])
    assert (job.state, job.attempts) == (job_pb2.JOB_STATE_DONE, 0)


async def test_a_new_process_fences_the_old_session(start: Start, connect: Connect) -> None:
    dispatcher = start()
    old = await connect(dispatcher, credit=1)
    (job_id,) = await dispatcher.submit("A")
    stale = await old.take()
    new = await connect(dispatcher, credit=1)
    fresh = await new.take()
    assert (await old.status())[0] == grpc.StatusCode.ABORTED
    # The old result arrives late, through the new session: the work is done, so it counts.
    await new.answer(stale)
    await new.acknowledged(stale)
    (job,) = await dispatcher.finals([job_id])
    stored = job.result.hash
    await new.answer(fresh)
    await new.acknowledged(fresh)
    assert (await dispatcher.jobs([job_id]))[0].result.hash == stored
    assert (fresh.lease.key, fresh.lease.epoch) in new.revoked
    assert (await dispatcher.backlog()).done == 1


async def test_a_doubled_result_is_acknowledged_and_dropped(start: Start, connect: Connect) -> None:
    dispatcher = start()
    worker = await connect(dispatcher, credit=1)
    (job_id,) = await dispatcher.submit("A")
    assignment = await worker.take()
    await worker.answer(assignment, assignment)
    (job,) = await dispatcher.finals([job_id])
    worker.acked.clear()
    await worker.answer(assignment)
    await worker.acknowledged(assignment)
    assert (await dispatcher.jobs([job_id])) == [job]
    assert (await dispatcher.backlog()).done == 1


async def test_a_wrong_hash_is_not_stored(start: Start, connect: Connect) -> None:
    dispatcher = start(max_attempts=2)
    worker = await connect(dispatcher, credit=2)
    (job_id,) = await dispatcher.submit("A")
    await worker.answer(await worker.take(), digest="0" * 64 + ":" + "0" * 32)
    await worker.answer(await worker.take(), digest="rubbish")
    (job,) = await dispatcher.finals([job_id])
    assert job.failure.reason == job_pb2.FAILURE_REASON_ATTEMPTS_EXHAUSTED
    causes = [attempt.cause for attempt in job.attempt_history]
    assert causes == [job_pb2.ATTEMPT_CAUSE_WRONG_RESULT] * 2


async def test_a_job_that_kills_its_workers_is_given_up_alone(
    start: Start, connect: Connect
) -> None:
    dispatcher = start(max_attempts=3, reconnect_grace_seconds=0)
    poison, innocent = await dispatcher.submit("KA-47-UT-9173", "KA-47-UT-9174")
    for number in range(2):
        worker = await connect(dispatcher, f"both{number}", credit=2, slots=2)
        keys = [(await worker.take()).lease.key for _ in range(2)]
        assert [f"{poison.partition('-')[0]}-{key}" for key in keys] == [poison, innocent]
        await worker.cut()
    killed = await connect(dispatcher, "alone", credit=2, slots=2)
    assert (await killed.take()).lease.key == keys[0]
    await killed.cut()
    (dead,) = await dispatcher.finals([poison])
    assert dead.failure.reason == job_pb2.FAILURE_REASON_ATTEMPTS_EXHAUSTED
    history = [(each.ordinal, each.worker_id, each.certain) for each in dead.attempt_history]
    assert history == [(1, "both0", False), (2, "both1", False), (3, "alone", True)]
    worker = await connect(dispatcher, "w9", credit=1)
    await worker.answer(await worker.take())
    (done,) = await dispatcher.finals([innocent])
    assert (done.state, done.attempts) == (job_pb2.JOB_STATE_DONE, 2)
    assert 'attempts_total{cause="worker_lost"} 5.0' in dispatcher.metrics()
    assert 'given_up_total{reason="attempts_exhausted"} 1.0' in dispatcher.metrics()


async def test_a_refused_job_fails_with_the_worker_s_words(start: Start, connect: Connect) -> None:
    dispatcher = start()
    worker = await connect(dispatcher, credit=1)
    (job_id,) = await dispatcher.submit("A")
    assignment = await worker.take()
    refusal = worker_pb2.Refusal(retryable=False, message="cannot do that")
    outcome = worker_pb2.Outcome(lease=assignment.lease, refusal=refusal)
    await worker.send(results=worker_pb2.Results(outcomes=[outcome]))
    (job,) = await dispatcher.finals([job_id])
    assert job.failure.reason == job_pb2.FAILURE_REASON_REFUSED
    assert job.failure.message == "cannot do that"
    await worker.acknowledged(assignment)


async def test_a_silent_worker_loses_its_leases(start: Start, connect: Connect) -> None:
    dispatcher = start(lease_ttl_seconds=0.6, heartbeat_interval_seconds=0.2)
    frozen = await connect(dispatcher, "w1", credit=1)
    await dispatcher.submit("A")
    lost = await frozen.take()
    await frozen.was_told("end")
    assert (await frozen.status())[0] == grpc.StatusCode.UNAVAILABLE
    second = await connect(dispatcher, "w2", credit=1)
    assert (await second.take()).lease.key == lost.lease.key


async def test_a_wrong_token_is_refused(start: Start) -> None:
    dispatcher = start()
    worker = ScriptedWorker(dispatcher.address)
    with pytest.raises(grpc.aio.AioRpcError, match="join token") as raised:
        await worker.connect(token="v1.not-the-token")
    assert raised.value.code() == grpc.StatusCode.UNAUTHENTICATED
    await worker.cut()
    assert "not-the-token" not in dispatcher.log.read_text()
    assert await dispatcher.worker("w1") is None


async def test_goodbye_gives_jobs_back_at_no_cost(start: Start, connect: Connect) -> None:
    dispatcher = start()
    first = await connect(dispatcher, "w1", credit=1)
    (job_id,) = await dispatcher.submit("A")
    await first.take()
    await first.send(goodbye=worker_pb2.Goodbye(reason="test"))
    await first.was_told("goodbye_ack")
    second = await connect(dispatcher, "w2", credit=1)
    await second.answer(await second.take())
    (job,) = await dispatcher.finals([job_id])
    assert job.attempts == 0


async def test_released_jobs_go_to_another_worker_at_once_and_at_no_cost(
    start: Start, connect: Connect
) -> None:
    dispatcher = start()
    first = await connect(dispatcher, "w1", credit=5)
    job_ids = await dispatcher.submit("A", "B", "C")
    held = [await first.take() for _ in job_ids]
    second = await connect(dispatcher, "w2", credit=3)
    leases = [each.lease for each in held[1:]]
    await first.send(release=worker_pb2.Release(leases=leases, credit=2))
    for _ in leases:
        await second.answer(await second.take())
    await first.answer(held[0])
    jobs = await dispatcher.finals(job_ids)
    assert [job.attempts for job in jobs] == [0, 0, 0]
    assert [job.result.worker_id for job in jobs] == ["w1", "w2", "w2"]
    assert 'requeued_total{reason="released"} 2.0' in dispatcher.metrics()


async def test_a_drain_returns_when_all_is_on_disk(start: Start, connect: Connect) -> None:
    dispatcher = start()
    worker = await connect(dispatcher, credit=2)
    job_ids = await dispatcher.submit("A", "B", "C")
    held = [await worker.take(), await worker.take()]
    drain = asyncio.ensure_future(
        dispatcher.fleet.DrainWorker(fleet_pb2.DrainWorkerRequest(worker_id="w1"))
    )
    await worker.was_told("drain")
    await worker.credit(5)
    shown = await dispatcher.worker("w1")
    assert shown is not None
    assert (shown.state, shown.leases) == (fleet_pb2.WORKER_STATE_DRAINING, 2)
    await worker.answer(*held)
    answer = await asyncio.wait_for(drain, PATIENCE)
    assert answer.outcome == fleet_pb2.DRAIN_OUTCOME_DRAINED
    states = [job.state for job in await dispatcher.jobs(job_ids)]
    assert sorted(states) == [job_pb2.JOB_STATE_READY] + [job_pb2.JOB_STATE_DONE] * 2
    # Lifting the cordon makes its credit count again.
    lifted = await dispatcher.fleet.UncordonWorker(fleet_pb2.UncordonWorkerRequest(worker_id="w1"))
    assert lifted.was_cordoned
    await worker.take()


async def test_a_drain_s_deadline_takes_jobs_back_at_no_cost(
    start: Start, connect: Connect
) -> None:
    dispatcher = start()
    worker = await connect(dispatcher, credit=1)
    other = await connect(dispatcher, "w2")
    (job_id,) = await dispatcher.submit("A")
    held = await worker.take()
    request = fleet_pb2.DrainWorkerRequest(worker_id="w1")
    request.deadline.nanos = 100_000_000
    answer = await dispatcher.fleet.DrainWorker(request)
    assert answer.outcome == fleet_pb2.DRAIN_OUTCOME_DEADLINE
    assert answer.leases_taken_back == 1
    await other.credit(1)
    await other.answer(await other.take())
    (job,) = await dispatcher.finals([job_id])
    assert job.attempts == 0
    await worker.was_told("leases_revoked")
    assert (held.lease.key, held.lease.epoch) in worker.revoked


async def test_a_drain_can_be_cancelled(start: Start, connect: Connect) -> None:
    dispatcher = start()
    worker = await connect(dispatcher, credit=1)
    await dispatcher.submit("A")
    await worker.take()
    drain = asyncio.ensure_future(
        dispatcher.fleet.DrainWorker(fleet_pb2.DrainWorkerRequest(worker_id="w1"))
    )
    await worker.was_told("drain")
    await dispatcher.fleet.UncordonWorker(fleet_pb2.UncordonWorkerRequest(worker_id="w1"))
    assert (await drain).outcome == fleet_pb2.DRAIN_OUTCOME_CANCELLED
    await worker.was_told("drain_cancelled")


async def test_a_drain_of_a_worker_that_is_lost_says_so(start: Start, connect: Connect) -> None:
    dispatcher = start(reconnect_grace_seconds=0)
    worker = await connect(dispatcher, credit=1)
    await dispatcher.submit("A")
    await worker.take()
    drain = asyncio.ensure_future(
        dispatcher.fleet.DrainWorker(fleet_pb2.DrainWorkerRequest(worker_id="w1"))
    )
    await worker.was_told("drain")
    await worker.cut()
    assert (await drain).outcome == fleet_pb2.DRAIN_OUTCOME_LOST
    assert (await dispatcher.backlog()).ready == 1


async def test_a_cordon_is_refused_or_atomic_and_survives_a_restart(
    start: Start, connect: Connect
) -> None:
    dispatcher = start()
    worker = await connect(dispatcher, credit=1)
    await dispatcher.submit("A", "B")
    await worker.take()
    request = fleet_pb2.CordonWorkerRequest(worker_id="w1", max_leases=0)
    answer = await dispatcher.fleet.CordonWorker(request)
    assert (answer.granted, answer.leases) == (False, 1)
    answer = await dispatcher.fleet.CordonWorker(fleet_pb2.CordonWorkerRequest(worker_id="w1"))
    assert (answer.granted, answer.leases) == (True, 1)
    dispatcher.end(signal.SIGKILL)
    dispatcher.start()
    await until(lambda: dispatcher.backlog())
    shown = await dispatcher.worker("w1")
    assert shown is not None
    assert shown.state == fleet_pb2.WORKER_STATE_DISCONNECTED
    await worker.connect()
    assert worker.welcome is not None
    assert worker.welcome.cordoned


async def test_every_accepted_job_survives_a_killed_dispatcher(
    start: Start, connect: Connect
) -> None:
    dispatcher = start()
    worker = await connect(dispatcher, credit=1)
    other = ScriptedWorker(dispatcher.address, "w2")
    job_ids = await dispatcher.submit(*"ABCDE")
    running = await worker.take()
    dispatcher.end(signal.SIGKILL)
    dispatcher.start()
    counts = await dispatcher.backlog()
    assert (counts.accepted, counts.ready) == (5, 5)
    # Another worker gets nothing of before while the one that may hold a job is away.
    await other.connect()
    await other.credit(5)
    await worker.connect(held=[running.lease])
    assert worker.welcome is not None
    assert list(worker.welcome.kept) == [running.lease]
    for _ in range(4):
        await other.answer(await other.take())
    await worker.answer(running)
    jobs = await dispatcher.finals(job_ids)
    assert {job.state for job in jobs} == {job_pb2.JOB_STATE_DONE}
    assert {job.attempts for job in jobs} == {0}
    assert (await dispatcher.backlog()).done == 5
    await other.cut()
    # The first one's wait was counted by the process that was killed; the others' by this one.
    assert "\nvirtscale_dispatcher_job_wait_seconds_count 4.0\n" in dispatcher.metrics()


async def test_a_request_is_accepted_once_also_over_a_restart(start: Start) -> None:
    dispatcher = start()
    request_id = str(uuid.uuid4())
    job_ids = await dispatcher.submit("A", "B", request_id=request_id)
    assert await dispatcher.submit("A", "B", request_id=request_id) == job_ids
    dispatcher.end(signal.SIGKILL)
    dispatcher.start()
    assert await dispatcher.submit("A", "B", request_id=request_id) == job_ids
    with pytest.raises(grpc.aio.AioRpcError, match="another content") as raised:
        await dispatcher.submit("A", "C", request_id=request_id)
    assert raised.value.code() == grpc.StatusCode.ALREADY_EXISTS
    assert (await dispatcher.backlog()).accepted == 2


async def test_a_stop_is_quick_and_clean(start: Start, connect: Connect) -> None:
    dispatcher = start()
    worker = await connect(dispatcher, credit=1)
    await dispatcher.submit("A")
    running = await worker.take()
    loop = asyncio.get_running_loop()
    begin = loop.time()
    assert await asyncio.to_thread(dispatcher.end, signal.SIGTERM) == 0
    # A fraction of a second on an idle machine; the lease, which nobody waits for, has ten.
    assert loop.time() - begin < 9.0
    await worker.was_told("end")
    assert "drain" not in worker.told
    dispatcher.start()
    await worker.connect(held=[running.lease])
    assert worker.welcome is not None
    assert list(worker.welcome.kept) == [running.lease]
