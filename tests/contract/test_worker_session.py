"""The guest worker as a process against a dispatcher over real gRPC: the rules of the stream."""

import hashlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import grpc
import pytest
import trustme
from virtscale.v1 import job_pb2, worker_pb2

from tests.contract.worker_dispatcher import (
    PATIENCE,
    ScriptedDispatcher,
    Stream,
    busy,
    lease,
    legacy,
)

ROOT = Path(__file__).parents[2]
TOKEN = "v1.c2VjcmV0LXRva2Vu"
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def dispatcher() -> Iterator[ScriptedDispatcher]:
    server = ScriptedDispatcher()
    yield server
    server.stop()


@pytest.fixture
def start(dispatcher: ScriptedDispatcher, tmp_path: Path) -> Iterator[Start]:
    workers: list[subprocess.Popen[bytes]] = []

    def begin(*flags: str) -> "subprocess.Popen[bytes]":
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}",
            "VIRTSCALE_DISPATCHER": dispatcher.address,
            "VIRTSCALE_WORKER_ID": "pool-1",
            "VIRTSCALE_JOIN_TOKEN": TOKEN,
            "VIRTSCALE_GENERATION": "sha256:abc",
        }
        log = tmp_path / "worker.log"
        with log.open("ab") as errors:
            worker = subprocess.Popen(
                [sys.executable, "-m", "guest_worker", "--slots", "2", *flags],
                env=environment,
                stderr=errors,
            )
        workers.append(worker)
        return worker

    yield begin
    for worker in workers:
        worker.kill()
        worker.wait()


def finish(worker: "subprocess.Popen[bytes]", stream: Stream) -> None:
    """Stop the worker in order and check that it left clean."""
    worker.send_signal(signal.SIGTERM)
    stream.expect("goodbye", "draining", "heartbeat", "credit")
    stream.send(goodbye_ack=worker_pb2.GoodbyeAck())
    assert worker.wait(PATIENCE) == 0


def held_keys(runs: Iterable[worker_pb2.Lease]) -> set[int]:
    return {run.key + place for run in runs for place in range(run.count or 1)}


def wait_until_held(
    stream: Stream, *keys: int, skip: Sequence[str] = ("credit",)
) -> worker_pb2.Heartbeat:
    """The first heartbeat that names just these jobs. A credit says nothing: the first one leaves
    the worker before any job has reached it."""
    while True:
        beat = stream.expect("heartbeat", *skip).heartbeat
        if held_keys(beat.held) == set(keys):
            return beat


def test_hello_tells_who_the_worker_is_and_what_it_can_do(
    dispatcher: ScriptedDispatcher, start: Start
) -> None:
    worker = start()
    stream = dispatcher.accept()
    hello = stream.expect("hello").hello
    assert (hello.worker_id, hello.join_token, hello.slots) == ("pool-1", TOKEN, 2)
    assert hello.image_generation == "sha256:abc"
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", hello.instance_id)
    assert hello.uptime.seconds > 0
    assert job_pb2.HASH_PROFILE_LEGACY_SHA256 in hello.profiles
    assert job_pb2.HASH_PROFILE_ARGON2ID in hello.profiles
    assert not hello.held
    stream.send(welcome=worker_pb2.Welcome(session_id="s"))
    assert stream.expect("credit", "heartbeat").credit.jobs == 4
    finish(worker, stream)


def test_jobs_come_back_hashed_by_the_reference_formula(
    dispatcher: ScriptedDispatcher, start: Start
) -> None:
    worker = start()
    stream = dispatcher.greet()
    stream.expect("credit")
    stream.send_jobs(*(legacy(i, f"KA-47-UT-{i:04d}") for i in range(1, 5)))
    found: dict[int, str] = {}
    while len(found) < 4:
        for outcome in stream.expect("results", "credit").results.outcomes:
            keys = range(outcome.lease.key, outcome.lease.key + outcome.lease.count)
            found.update(zip(keys, outcome.hashes, strict=True))
            stream.ack(outcome.lease)
    for i in range(1, 5):
        digest, _, salt = found[i].partition(":")
        assert digest == hashlib.sha256((salt + f"KA-47-UT-{i:04d}").encode()).hexdigest()
        assert re.fullmatch(r"[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}", salt)
    finish(worker, stream)


def test_a_result_without_an_acknowledgement_is_offered_again_after_a_reconnect(
    dispatcher: ScriptedDispatcher, start: Start
) -> None:
    worker = start()
    stream = dispatcher.greet()
    stream.send_jobs(legacy(1), legacy(2, load=busy(3600)))
    first = stream.expect("results", "credit").results.outcomes[0]
    stream.end()

    again = dispatcher.accept()
    hello = again.expect("hello").hello
    assert held_keys(hello.held) == {1, 2}
    again.send(welcome=worker_pb2.Welcome(session_id="s2", kept=hello.held))
    assert again.expect("results").results.outcomes[0].hashes == first.hashes
    again.ack(lease(1))
    again.send(leases_revoked=worker_pb2.LeasesRevoked(leases=[lease(2)]))
    finish(worker, again)


def test_held_work_survives_a_restart_of_the_dispatcher(
    dispatcher: ScriptedDispatcher, start: Start
) -> None:
    worker = start()
    stream = dispatcher.greet(heartbeat=0.1)
    stream.send_jobs(legacy(1, load=busy(1)))
    wait_until_held(stream, 1)
    dispatcher.stop()
    dispatcher.start()
    again = dispatcher.accept()
    assert held_keys(again.expect("hello").hello.held) == {1}
    again.send(welcome=worker_pb2.Welcome(session_id="s2", kept=[lease(1)]))
    outcome = again.expect("results", "credit", "heartbeat").results.outcomes[0]
    assert outcome.lease == lease(1)
    assert 0.9 < outcome.service_time.seconds + outcome.service_time.nanos / 1e9 < 1.5
    again.ack(outcome.lease)
    finish(worker, again)


def test_revoked_work_stops_and_frees_its_slot(
    dispatcher: ScriptedDispatcher, start: Start
) -> None:
    worker = start("--slots", "1", "--prefetch", "0")
    stream = dispatcher.greet()
    assert stream.expect("credit").credit.jobs == 1
    stream.send_jobs(legacy(1, load=busy(3600)))
    stream.send(leases_revoked=worker_pb2.LeasesRevoked(leases=[lease(1)]))
    assert stream.expect("credit").credit.jobs == 1
    stream.send_jobs(legacy(2))
    outcomes = stream.expect("results").results.outcomes
    assert [outcome.lease.key for outcome in outcomes] == [2]
    stream.ack(lease(2))
    finish(worker, stream)


def test_a_drain_stops_credit_finishes_work_and_stays_until_it_is_cancelled(
    dispatcher: ScriptedDispatcher, start: Start
) -> None:
    worker = start()
    stream = dispatcher.greet(heartbeat=0.1)
    assert stream.expect("credit").credit.jobs == 4
    stream.send_jobs(legacy(1, load=busy(1)))
    stream.send(drain=worker_pb2.Drain())
    outcome = stream.expect("results", "heartbeat").results.outcomes[0]
    stream.ack(outcome.lease)
    assert wait_until_held(stream, skip=()).busy_slots == 0
    for _ in range(3):
        stream.expect("heartbeat")
    stream.send(drain_cancelled=worker_pb2.DrainCancelled())
    assert stream.expect("credit", "heartbeat").credit.jobs == 1
    finish(worker, stream)


def test_heartbeats_stay_on_time_while_every_slot_hashes(
    dispatcher: ScriptedDispatcher, start: Start
) -> None:
    worker = start()
    stream = dispatcher.greet(heartbeat=0.1)
    stream.send_jobs(legacy(1, load=busy(3600)), legacy(2, load=busy(3600)))
    wait_until_held(stream, 1, 2)
    for _ in range(15):
        assert stream.expect("heartbeat", "credit").heartbeat.busy_slots == 2
    finish(worker, stream)


def test_goodbye_waits_for_the_acknowledgement_of_finished_results(
    dispatcher: ScriptedDispatcher, start: Start
) -> None:
    worker = start()
    stream = dispatcher.greet()
    stream.send_jobs(legacy(1), legacy(2, load=busy(3600)))
    assert stream.expect("results", "credit").results.outcomes[0].lease == lease(1)
    worker.send_signal(signal.SIGTERM)
    assert stream.expect("draining", "credit").draining.reason == "SIGTERM"
    assert stream.has_nothing(0.3)
    stream.ack(lease(1))
    stream.expect("goodbye")
    assert worker.poll() is None
    stream.send(goodbye_ack=worker_pb2.GoodbyeAck())
    assert worker.wait(PATIENCE) == 0


def test_a_crashed_hashing_process_costs_its_job_an_attempt_and_is_replaced(
    dispatcher: ScriptedDispatcher, start: Start
) -> None:
    worker = start("--slots", "1", "--prefetch", "0")
    stream = dispatcher.greet(heartbeat=0.1)
    stream.send_jobs(legacy(1, load=busy(3600)))
    wait_until_held(stream, 1)
    (child,) = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
    os.kill(int(child), signal.SIGKILL)
    results = stream.expect("results", "credit", "heartbeat").results
    outcome = results.outcomes[0]
    assert outcome.refusal.retryable
    assert "signal 9" in outcome.refusal.message
    assert results.credit == 1
    stream.ack(outcome.lease)
    stream.send_jobs(legacy(2))
    assert stream.expect("results", "heartbeat").results.outcomes[0].hashes
    stream.ack(lease(2))
    finish(worker, stream)


def test_a_wrong_token_is_reported_without_the_token_and_is_not_hammered(
    dispatcher: ScriptedDispatcher, start: Start, tmp_path: Path
) -> None:
    worker = start()
    stream = dispatcher.accept()
    stream.expect("hello")
    stream.abort(grpc.StatusCode.UNAUTHENTICATED, "join token does not match worker pool-1")
    log = tmp_path / "worker.log"
    while "dispatcher.rejected" not in log.read_text():
        assert worker.poll() is None
    text = log.read_text()
    assert "join token does not match" in text
    assert "retry_seconds=30" in text
    assert TOKEN not in text
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE) == 1


def test_a_worker_that_another_process_replaced_does_not_fight_for_its_name(
    dispatcher: ScriptedDispatcher, start: Start, tmp_path: Path
) -> None:
    worker = start()
    stream = dispatcher.greet()
    stream.expect("credit")
    stream.abort(grpc.StatusCode.ABORTED, "fenced")
    log = tmp_path / "worker.log"
    while "dispatcher.rejected" not in log.read_text():
        assert worker.poll() is None
    assert "retry_seconds=30" in log.read_text()


def test_the_stream_may_be_encrypted_with_both_ends_proven(start: Start, tmp_path: Path) -> None:
    authority = trustme.CA()
    server, client = authority.issue_cert("localhost"), authority.issue_cert("pool-1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    client.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    client.private_key_pem.write_to_path(tmp_path / "key.pem")
    credentials = grpc.ssl_server_credentials(
        [(server.private_key_pem.bytes(), server.cert_chain_pems[0].bytes())],
        authority.cert_pem.bytes(),
        require_client_auth=True,
    )
    dispatcher = ScriptedDispatcher(credentials)
    try:
        files = {"ca": "ca.pem", "cert": "cert.pem", "key": "key.pem"}
        flags = [f"--tls-{name}={tmp_path / file}" for name, file in files.items()]
        worker = start(f"--dispatcher=localhost:{dispatcher.port}", *flags)
        stream = dispatcher.greet()
        stream.expect("credit")
        finish(worker, stream)
    finally:
        dispatcher.stop()


def test_a_missing_dispatcher_is_retried_until_it_is_there(
    dispatcher: ScriptedDispatcher, start: Start, tmp_path: Path
) -> None:
    dispatcher.stop()
    worker = start()
    log = tmp_path / "worker.log"
    while "stream.lost" not in log.read_text():
        assert worker.poll() is None
    dispatcher.start()
    stream = dispatcher.greet()
    stream.expect("credit")
    finish(worker, stream)
