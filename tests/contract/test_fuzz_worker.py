"""The real guest worker against a dispatcher that breaks every rule: it lives, and starts nothing
that it should not."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from virtscale.v1 import job_pb2, worker_pb2

from tests.contract import hostile_messages
from tests.contract.worker_dispatcher import (
    PATIENCE,
    ScriptedDispatcher,
    Stream,
    lease,
    legacy,
    welcome,
)

ROOT = Path(__file__).parents[2]
ARGON2ID, HMAC = job_pb2.HASH_PROFILE_ARGON2ID, job_pb2.HASH_PROFILE_HMAC_SHA256
MAX_GROWTH_BYTES = 80_000_000
HONEST = 4711
# After the others it waits half a minute, for a person.
CURABLE = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DATA_LOSS,
)


class Victim:
    """A worker process and the dispatcher that is after it."""

    def __init__(self, directory: Path) -> None:
        self.dispatcher = ScriptedDispatcher()
        self.log = directory / "worker.log"
        with self.log.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "guest_worker", "--slots", "1", "--loglevel", "debug"],
                env={
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}",
                    "VIRTSCALE_DISPATCHER": self.dispatcher.address,
                    "VIRTSCALE_WORKER_ID": "pool-1",
                    "VIRTSCALE_JOIN_TOKEN": "v1.secret-token",
                },
                stderr=errors,
            )
        stream = self.dispatcher.greet(heartbeat=1.0)
        self.works(stream)
        self.grown_from = self.memory()
        stream.end()

    def memory(self) -> int:
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * 4096

    def works(self, stream: Stream) -> None:
        """It does a job in the greeted stream, and nothing but it."""
        stream.send_jobs(legacy(HONEST))
        while True:
            results = stream.expect("results", "credit", "heartbeat", "release").results
            for outcome in results.outcomes:
                stream.ack(outcome.lease)
            if any(each.lease.key == HONEST and len(each.hashes) for each in results.outcomes):
                return

    def is_sound(self) -> None:
        """It comes back by itself and works; nothing of what it was told is in its log."""
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        while True:
            stream = self.dispatcher.accept(2 * PATIENCE)
            first = stream.next()
            if first is not None and first.WhichOneof("message") == "hello":
                break
        stream.send(welcome=welcome())
        self.works(stream)
        stream.end()
        assert self.memory() - self.grown_from < MAX_GROWTH_BYTES
        text = self.log.read_text()
        assert "Traceback" not in text, text[-3000:]
        for secret in ("UT-9173", "secret-token"):
            assert secret not in text

    def stream(self) -> Stream:
        """The next stream, greeted."""
        return self.dispatcher.greet(heartbeat=1.0)

    def close(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.dispatcher.stop()


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    made = Victim(tmp_path_factory.mktemp("victim"))
    yield made
    made.close()


@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**32))
def test_any_messages_are_survived(victim: Victim, seed: int) -> None:
    choose = random.Random(seed)
    stream = victim.stream() if choose.random() < 0.8 else victim.dispatcher.accept()
    for _ in range(choose.randrange(20)):
        made = hostile_messages.message(
            worker_pb2.WorkResponse.DESCRIPTOR, choose, ("s1", "KA-47-UT-9173")
        )
        if made.HasField("jobs"):
            del made.jobs.assignments[3:]
        bound(made)
        stream.responses.put(made)
    if choose.random() < 0.3:
        stream.abort(choose.choice(CURABLE), "x" * choose.choice((0, 1, 3000)))
    stream.end()
    victim.is_sound()


def bound(response: Message) -> None:
    """Keeps runs of leases within the protocol: what is not has a test of its own."""
    for field, value in response.ListFields():
        if isinstance(response, worker_pb2.Lease):
            setattr(response, field.name, value % (2**40 if field.name != "count" else 1000))
        elif field.type == field.TYPE_MESSAGE:
            for part in value if field.is_repeated else [value]:
                bound(part)


def refusals(stream: Stream, *assignments: worker_pb2.Assignment) -> dict[int, worker_pb2.Refusal]:
    """What the worker says to jobs that it must not start, one by one: it may release others."""
    found: dict[int, worker_pb2.Refusal] = {}
    for assignment in assignments:
        stream.send_jobs(assignment)
        (outcome,) = stream.expect("results", "credit", "heartbeat", "release").results.outcomes
        assert outcome.lease == assignment.lease
        assert outcome.HasField("refusal"), outcome
        found[outcome.lease.key] = outcome.refusal
        stream.ack(outcome.lease)
    return found


def argon2id(key: int, memory_kib: int, passes: int, lanes: int) -> worker_pb2.Assignment:
    return worker_pb2.Assignment(
        lease=lease(key),
        profile=ARGON2ID,
        inputs=[b"k" * 32],
        key_id="k1",
        argon2_cost=worker_pb2.Argon2Cost(memory_kib=memory_kib, passes=passes, lanes=lanes),
    )


def test_work_that_is_out_of_bounds_is_refused_and_not_begun(victim: Victim) -> None:
    """Memory, time and repetitions without end, inputs that are none, profiles of the future."""
    stream = victim.stream()
    load = job_pb2.Load
    bad = [
        argon2id(100, 2**32 - 1, 1, 1),
        argon2id(102, 1024, 2**32 - 1, 1),
        argon2id(104, 1024, 1, 2**32 - 1),
        argon2id(106, 0, 0, 0),
        worker_pb2.Assignment(lease=lease(108), profile=ARGON2ID, inputs=[b"k" * 32]),
        worker_pb2.Assignment(lease=lease(110), profile=HMAC, inputs=[b"k" * 3]),
        worker_pb2.Assignment(lease=lease(112), profile=77, inputs=[b"k"]),  # type: ignore[arg-type]
        legacy(114, load=load(collision=job_pb2.Collision(difficulty_bits=2**32 - 1))),
        legacy(116, load=load(verify=job_pb2.Verify(repetitions=2**32 - 1))),
        legacy(118, load=load(busy={"duration": {"seconds": 2**62}})),
        legacy(120, load=load(busy={"duration": {"seconds": -5}})),
    ]
    found = refusals(stream, *bad)
    assert set(found) == {each.lease.key for each in bad}
    for key, refusal in found.items():
        assert not refusal.retryable, key
        assert refusal.message
        assert len(refusal.message) < 500
        assert "9173" not in refusal.message
    stream.end()
    victim.is_sound()


def test_a_lease_that_is_over_is_not_begun_again(victim: Victim) -> None:
    """Acknowledgements and revocations of what it never had, and jobs with an older epoch."""
    stream = victim.stream()
    nonsense = [lease(10**6 + 2 * number, 2**62) for number in range(20_000)]
    stream.ack(*nonsense)
    stream.send(leases_revoked=worker_pb2.LeasesRevoked(leases=nonsense))
    stream.send(drain_cancelled=worker_pb2.DrainCancelled())
    stream.send(goodbye_ack=worker_pb2.GoodbyeAck())
    stream.send(welcome=welcome(*nonsense[:100]))
    stream.end()
    victim.is_sound()


def test_a_few_bytes_that_name_billions_of_leases_end_the_stream(tmp_path: Path) -> None:
    """A person has to look, so the worker waits long before it comes back: a worker of its own."""
    victim = Victim(tmp_path)
    try:
        stream = victim.stream()
        stream.ack(worker_pb2.Lease(key=1, epoch=1, count=2**32 - 1))
        while stream.next() is not None:
            pass
        assert victim.process.poll() is None
        assert victim.memory() - victim.grown_from < MAX_GROWTH_BYTES
        deadline = time.monotonic() + PATIENCE
        while "leases that no dispatcher grants" not in victim.log.read_text():
            assert time.monotonic() < deadline, "the worker does not say why"
            time.sleep(0.02)
    finally:
        victim.close()


def test_more_jobs_than_it_asked_for_are_done_one_by_one(victim: Victim) -> None:
    stream = victim.stream()
    stream.send_jobs(*(legacy(1000 + number) for number in range(2000)))
    seen: set[int] = set()
    while len(seen) < 2000:
        for outcome in stream.expect("results", "credit", "heartbeat").results.outcomes:
            assert len(outcome.hashes) == (outcome.lease.count or 1)
            seen |= {outcome.lease.key + place for place in range(len(outcome.hashes))}
            stream.ack(outcome.lease)
    stream.end()
    victim.is_sound()
