"""A real dispatcher against clients and workers that break every rule.

After each attack: the process lives, said nothing of an exception, its memory is bounded, its
counts add up, and an honest client and worker still complete a job. A failure prints the seed.
"""

import asyncio
import contextlib
import random
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from virtscale.v1 import fleet_pb2, job_pb2, license_pb2, worker_pb2

from dispatcher import hashing
from tests.contract import hostile_messages
from tests.contract.dispatcher_process import (
    JOIN_KEY,
    LEGACY,
    PATIENCE,
    DispatcherProcess,
    ScriptedWorker,
    until,
)

MAX_GROWTH_BYTES = 150_000_000
BUGS = (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)
CALLS = [
    (f"/{service.full_name}/{method.name}", method.input_type, method.client_streaming)
    for service in (
        license_pb2.DESCRIPTOR.services_by_name["LicenseService"],
        fleet_pb2.DESCRIPTOR.services_by_name["FleetService"],
    )
    for method in service.methods
]
OWN_WORDS = "Internal error from Core"
MAX_EXAMPLES = 12
seeds = settings(
    max_examples=MAX_EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Target:
    """The dispatcher under attack, and what must hold after it."""

    def __init__(self, process: DispatcherProcess) -> None:
        self.process = process
        self.address = process.address
        self.grown_from = self.memory()

    def memory(self) -> int:
        assert self.process.pid is not None
        text = Path(f"/proc/{self.process.pid}/statm").read_text()
        return int(text.split()[1]) * 4096

    def run(self, attack: Callable[["Target"], Awaitable[None]]) -> None:
        """The attack, then an honest client and worker."""

        async def all_of_it() -> None:
            try:
                async with asyncio.timeout(4 * PATIENCE):
                    await attack(self)
                    await self.is_sound()
            finally:
                await self.process.hang_up()

        asyncio.run(all_of_it())

    async def is_sound(self) -> None:
        worker = await ScriptedWorker(self.address, f"honest-{uuid.uuid4()}").connect()
        try:
            (job_id,) = await self.process.submit("KA-47-UT-9173", profile=LEGACY)
            await self._work_until_done(worker, job_id)
        finally:
            await worker.send(goodbye=worker_pb2.Goodbye())
            await worker.cut()
        await self.process.backlog()  # which checks that the counts add up
        assert self.memory() - self.grown_from < MAX_GROWTH_BYTES
        text = self.process.log.read_text()
        assert "Traceback" not in text, text[max(0, text.find("Traceback") - 500) :][:4000]
        assert "UT-9173" not in text

    async def _work_until_done(self, worker: ScriptedWorker, job_id: str) -> None:
        """Hashes what comes; jobs that attacks left behind are refused if they need a key."""
        async with asyncio.timeout(2 * PATIENCE):
            while True:
                await worker.credit(1)
                assignment = await worker.assignments.get()
                if assignment.profile == LEGACY:
                    await worker.answer(assignment)
                else:
                    refusal = worker_pb2.Refusal(message="not here")
                    outcome = worker_pb2.Outcome(lease=assignment.lease, refusal=refusal)
                    await worker.send(results=worker_pb2.Results(outcomes=[outcome]))
                await worker.acknowledged(assignment)
                if str(assignment.lease.key) == job_id.rpartition("-")[2]:
                    return


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    process = DispatcherProcess(
        tmp_path_factory.mktemp("fuzz"), argon2_memory_kib=1024, lease_ttl_seconds=5
    )
    process.start()
    made = Target(process)
    made.run(_nothing)
    made.grown_from = made.memory()
    yield made
    asyncio.run(process.close())


async def _nothing(_: Target) -> None:
    """No attack."""


def channel(target: Target) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(
        target.address, options=[("grpc.use_local_subchannel_pool", 1)]
    )


async def code_of(call: Any, *, within: float = PATIENCE) -> grpc.StatusCode | None:
    """How a call ended; None when it goes on and on, as a watch does."""
    try:
        async with asyncio.timeout(within):
            with contextlib.suppress(grpc.aio.AioRpcError):
                async for _ in call:
                    pass
            code = await call.code()
            # What a client says itself of a write to a call that had ended.
            if code == grpc.StatusCode.INTERNAL and OWN_WORDS in str(await call.details()):
                return None
            return code  # type: ignore[no-any-return]
    except TimeoutError:
        call.cancel()
        return None


def hello(worker_id: str, **fields: Any) -> worker_pb2.WorkRequest:
    return worker_pb2.WorkRequest(
        hello=worker_pb2.Hello(
            **{
                "worker_id": worker_id,
                "instance_id": str(uuid.uuid4()),
                "join_token": hashing.join_token(JOIN_KEY, worker_id),
                "slots": 2,
                "profiles": [1, 2, 3],
                **fields,
            }
        )
    )


# -- any bytes -------------------------------------------------------------------------------------


@seeds
@given(seed=st.integers(0, 2**32))
def test_any_message_to_any_call(target: Target, seed: int) -> None:
    choose = random.Random(seed)

    async def attack(target: Target) -> None:
        known = tuple(await target.process.submit("KA-47-UT-9173", profile=LEGACY))
        async with channel(target) as opened:
            for _ in range(25):
                path, kind, is_stream = choose.choice(CALLS)
                made = hostile_messages.message(kind, choose, known)
                raw = hostile_messages.mangled(made.SerializeToString(), choose)
                call = opened.stream_stream(path)(timeout=0.5)
                # grpc itself answers INTERNAL to a second message where one is expected.
                for _ in range(choose.choice((0, 1, 2, 3)) if is_stream else 1):
                    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                        await call.write(raw)
                if choose.random() < 0.9:
                    await call.done_writing()
                assert await code_of(call) not in BUGS, (path, raw)

    target.run(attack)


@seeds
@given(seed=st.integers(0, 2**32))
def test_any_messages_on_a_worker_s_stream(target: Target, seed: int) -> None:
    """Out of order, replayed, cut short, of unknown jobs, of other workers' jobs."""
    choose = random.Random(seed)

    async def attack(target: Target) -> None:
        known = tuple(await target.process.submit(*["KA-47-UT-9173"] * 3, profile=LEGACY))
        async with channel(target) as opened:
            for turn in range(4):
                call = opened.stream_stream("/virtscale.v1.WorkerService/Work")()
                sent = [hello(f"fuzz-{turn % 2}").SerializeToString()]
                if choose.random() < 0.15:
                    sent = []
                for _ in range(choose.randrange(25)):
                    made = hostile_messages.message(
                        worker_pb2.WorkRequest.DESCRIPTOR, choose, known
                    )
                    raw = made.SerializeToString()
                    if choose.random() < 0.2:
                        raw = hostile_messages.mangled(raw, choose)
                    sent.append(raw if choose.random() < 0.9 or not sent else choose.choice(sent))
                with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    for raw in sent:
                        await call.write(raw)
                    if choose.random() < 0.5:
                        await call.done_writing()
                assert await code_of(call, within=0.5) not in BUGS

    target.run(attack)


# -- a hostile worker ------------------------------------------------------------------------------


async def others_leases(target: Target) -> None:
    """Results for a lease that another worker holds: by its own epoch, and by future ones."""
    victim = await ScriptedWorker(target.address, "victim").connect()
    thief = await ScriptedWorker(target.address, "thief").connect()
    (job_id,) = await target.process.submit("KA-47-UT-9173", profile=LEGACY)
    await victim.credit(1)
    assignment = await victim.take()
    for epoch in (0, assignment.lease.epoch + 1, 2**61, 2**62, assignment.lease.epoch):
        lease = worker_pb2.Lease(key=assignment.lease.key, epoch=epoch)
        bad = worker_pb2.Outcome(lease=lease, hashes=["0" * 64 + ":" + "0" * 32])
        refused = worker_pb2.Outcome(lease=lease, refusal={"message": "KA-47-UT-9173"})
        await thief.send(results=worker_pb2.Results(outcomes=[bad, refused]))
        await thief.send(heartbeat=worker_pb2.Heartbeat(held=[lease]))
    await thief.send(heartbeat=worker_pb2.Heartbeat())
    (job,) = await target.process.jobs([job_id])
    assert job.state != job_pb2.JOB_STATE_DONE
    assert job.state != job_pb2.JOB_STATE_FAILED
    # Whoever holds it now, only the right hash ends it.
    if (await target.process.jobs([job_id]))[0].state == job_pb2.JOB_STATE_LEASED:
        await victim.answer(assignment)
        await victim.acknowledged(assignment)
    await victim.cut()
    await thief.cut()


async def epochs_from_the_future(target: Target) -> None:
    worker = ScriptedWorker(target.address, "prophet")
    job_ids = await target.process.submit(*["KA-47-UT-9173"] * 3, profile=LEGACY)
    first = int(job_ids[0].rpartition("-")[2])
    held = [worker_pb2.Lease(key=first, epoch=2**62, count=3)]
    await worker.connect(held=held)
    assert worker.welcome is not None
    assert not worker.welcome.kept
    await worker.send(heartbeat=worker_pb2.Heartbeat(held=held, busy_slots=1))
    await worker.was_told("leases_revoked")
    await worker.cut()


async def a_hundred_thousand_leases(target: Target) -> None:
    worker = await ScriptedWorker(target.address, "hoarder").connect()
    leases = [worker_pb2.Lease(key=1_000_000 + 2 * n, epoch=n) for n in range(20_000)]
    for _ in range(5):
        await worker.send(heartbeat=worker_pb2.Heartbeat(held=leases))
    run = worker_pb2.Lease(key=1_000_000, epoch=1, count=2**32 - 1)
    for held, words in ((leases * 5, "has 100000 entries"), ([run], "send at most")):
        await worker.send(heartbeat=worker_pb2.Heartbeat(held=held))
        await worker.was_told("end")
        code, text = await worker.status()
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert "heartbeat.held" in text
        assert words in text
        worker.told.clear()
        await worker.connect()
    await worker.cut()


async def all_the_credit_there_is(target: Target) -> None:
    worker = await ScriptedWorker(target.address, "greedy").connect()
    await worker.credit(2**32 - 1)
    await worker.was_told("end")
    assert (await worker.status())[0] == grpc.StatusCode.INVALID_ARGUMENT
    await worker.connect()
    for _ in range(20):
        await worker.credit(1_000_000)
    await target.process.submit(*["KA-47-UT-9173"] * 50, profile=LEGACY)
    for _ in range(20):
        await worker.take()
    await worker.cut()


async def a_flood_of_hellos(target: Target) -> None:
    """The same worker three hundred times at once: each fences the one before."""
    async with channel(target) as opened:
        work = opened.stream_stream(
            "/virtscale.v1.WorkerService/Work",
            request_serializer=worker_pb2.WorkRequest.SerializeToString,
        )
        calls = [work() for _ in range(300)]
        for call in calls:
            await call.write(hello("many"))
        ended = [asyncio.ensure_future(code_of(call)) for call in calls]
        done, _ = await asyncio.wait(ended, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        assert done

        async def is_one() -> bool:
            return sum(not each.done() for each in ended) <= 1

        await until(is_one)
        found = {each.result() for each in ended if each.done()}
        assert found <= {grpc.StatusCode.ABORTED, grpc.StatusCode.UNAVAILABLE}
        for call in calls:
            call.cancel()
        await asyncio.gather(*ended, return_exceptions=True)


async def wrong_tokens(target: Target) -> None:
    async with channel(target) as opened:
        work = opened.stream_stream(
            "/virtscale.v1.WorkerService/Work",
            request_serializer=worker_pb2.WorkRequest.SerializeToString,
        )
        for token in ("", "v1.", "v1." + "A" * 43, "\u00e9" * 40, "x" * 4096):
            call = work()
            await call.write(hello("liar", join_token=token))
            assert await code_of(call) == grpc.StatusCode.UNAUTHENTICATED


async def a_stream_that_is_never_read(target: Target) -> None:
    """It asks for everything and reads nothing; its jobs come back when its lease time is over."""
    async with channel(target) as opened:
        call = opened.stream_stream(
            "/virtscale.v1.WorkerService/Work",
            request_serializer=worker_pb2.WorkRequest.SerializeToString,
        )()
        await call.write(hello("deaf"))
        await call.write(worker_pb2.WorkRequest(credit={"jobs": 1000}))
        job_ids = await target.process.submit(*["KA-47-UT-9173"] * 500, profile=LEGACY)
        for _ in range(50):
            strangers = [{"lease": {"key": 10**9 + n}, "hashes": ["x"]} for n in range(1000)]
            await call.write(worker_pb2.WorkRequest(results={"outcomes": strangers}))
        call.cancel()
        cancelled = license_pb2.CancelJobsRequest(job_ids=job_ids)
        await target.process.licenses.CancelJobs(cancelled, timeout=PATIENCE)


async def wrong_results(target: Target) -> None:
    """A hash that is none, of another job, in another format: no job is done by it."""
    worker = await ScriptedWorker(target.address, "wrong").connect()
    (job_id,) = await target.process.submit("KA-47-UT-9173", profile=LEGACY)
    digests = (*hostile_messages.TEXTS, "f" * 64 + ":" + "a" * 32)
    for digest in digests[:4]:
        await worker.credit(1)
        assignment = await worker.take()
        await worker.answer(assignment, digest=digest or " ")
        await worker.acknowledged(assignment)
    (job,) = await target.process.jobs([job_id])
    assert job.state in (job_pb2.JOB_STATE_READY, job_pb2.JOB_STATE_LEASED)
    await worker.cut()


async def huge_messages(target: Target) -> None:
    """As large as a message may be, and larger, of many parts that are nothing; eight at a time."""
    part = b"\x12\x00"  # an empty job, or an empty credit
    sizes = (2**20 - 2, 2**20 + 2, 2**21 - 2, 2**22 - 2, 2**22 + 2, 17 * 2**20)
    async with channel(target) as opened:
        for service, sent in (("License", "SubmitJobs"), ("Worker", "Work")):
            send = opened.stream_stream(f"/virtscale.v1.{service}Service/{sent}")
            for size in sizes:
                calls = [send() for _ in range(8)]
                for call in calls:
                    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                        await call.write(part * (size // 2))
                        await call.done_writing()
                codes = {await code_of(call) for call in calls}
                refused = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED}
                # None: the client saw its write fail before it saw the answer.
                assert codes <= {*refused, None}, codes


# -- slow and half clients -------------------------------------------------------------------------


async def half_connections(target: Target) -> None:
    """Two hundred that send the beginning of something and then nothing more."""
    beginnings = (
        b"",
        b"PRI * HTTP/2.0\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00",
        b"GET / ",
    )
    writers = []
    for number in range(200):
        _, writer = await asyncio.open_connection("127.0.0.1", target.process.port)
        writer.write(beginnings[number % len(beginnings)])
        writers.append(writer)
    try:
        await target.is_sound()
    finally:
        for writer in writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def calls_that_never_go_on(target: Target) -> None:
    """Streams without a Hello, batches without an end, watches that are not read."""
    async with channel(target) as opened:
        calls = []
        for path in (
            "WorkerService/Work",
            "LicenseService/StreamJobs",
            "LicenseService/WatchResults",
        ):
            for _ in range(100):
                call = opened.stream_stream(f"/virtscale.v1.{path}")()
                if path.endswith("WatchResults"):
                    await call.write(b"\x10\x01")  # from the start
                calls.append(call)
        await target.is_sound()
        for call in calls:
            call.cancel()


@pytest.mark.parametrize(
    "attack",
    [
        others_leases,
        epochs_from_the_future,
        a_hundred_thousand_leases,
        all_the_credit_there_is,
        a_flood_of_hellos,
        wrong_tokens,
        a_stream_that_is_never_read,
        wrong_results,
        huge_messages,
        half_connections,
        calls_that_never_go_on,
    ],
)
def test_an_attack_harms_nobody(
    target: Target, attack: Callable[[Target], Awaitable[None]]
) -> None:
    target.run(attack)
