import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guest_worker import hashing
from guest_worker.processes import MAX_LIGHT_JOBS, HashingPool
from guest_worker.values import (
    ARGON2ID,
    HMAC_SHA256,
    LEGACY_SHA256,
    Argon2Cost,
    Assignment,
    Busy,
    Collision,
    Lease,
    Load,
    Outcome,
    Refusal,
    Verify,
)

ROOT = Path(__file__).parents[3]
PATIENCE_MS = 30_000
FOR_EVER = Busy(3600)


@pytest.fixture
def pool() -> Iterator[HashingPool]:
    hashers = HashingPool(2)
    hashers.fork()
    yield hashers
    hashers.close()


def job(key: int, load: Load = None, data: bytes = b"KA-47-UT-9173") -> Assignment:
    return Assignment(Lease(key, 1), LEGACY_SHA256, data, "", load)


def collect(pool: HashingPool, count: int) -> dict[int, Outcome]:
    """Wait for so many outcomes, by job."""
    found: dict[int, Outcome] = {}
    while len(found) < count:
        poll = select.poll()
        for descriptor in pool.file_descriptors():
            poll.register(descriptor, select.POLLIN | select.POLLHUP)
        assert poll.poll(PATIENCE_MS), "no outcome came"
        for outcome in pool.collect():
            assert outcome.lease.key not in found
            found[outcome.lease.key] = outcome
    return found


def test_every_job_is_answered_once_with_a_hash_that_matches(pool: HashingPool) -> None:
    pool.start([job(key, data=f"n{key}".encode()) for key in range(2000)])
    for key, outcome in collect(pool, 2000).items():
        assert isinstance(outcome.result, str)
        assert hashing.matches(outcome.result, f"n{key}".encode())
        assert outcome.cpu_seconds >= 0


def test_every_profile_and_load_is_done(pool: HashingPool) -> None:
    cost = Argon2Cost(8, 1, 1)
    pool.start(
        [
            Assignment(Lease(1, 1), HMAC_SHA256, bytes(32), "k1"),
            Assignment(Lease(2, 1), ARGON2ID, bytes(32), "k1", Verify(2), cost),
            job(3, Collision(8, 0)),
            job(4, Collision(8, 5)),
            job(5, Busy(0.2)),
        ]
    )
    found = collect(pool, 5)
    assert str(found[1].result).startswith("$hmac-sha256$keyid=k1$")
    assert str(found[2].result).startswith("$argon2id$v=19$m=8,t=1,p=1,keyid=k1$")
    assert 0.2 <= found[5].cpu_seconds < 1


def test_what_cannot_be_done_is_refused_for_good(pool: HashingPool) -> None:
    pool.start([job(1, Collision(99, 0)), job(2, data=b"")])
    found = collect(pool, 2)
    for outcome in found.values():
        assert isinstance(outcome.result, Refusal)
        assert not outcome.result.retryable
    assert "difficulty_bits: 99" in str(found[1].result)


def test_cancelled_work_frees_its_process_and_gives_no_outcome(pool: HashingPool) -> None:
    pool.start([job(1, FOR_EVER), job(2, FOR_EVER), job(3), job(4)])
    pool.cancel([Lease(3, 1), Lease(1, 1)])
    assert set(collect(pool, 1)) == {4}


def test_a_cancel_that_comes_too_late_does_not_hit_the_next_job(pool: HashingPool) -> None:
    for turn in range(50):
        pool.start([job(turn), job(1000 + turn, Busy(0.001))])
        pool.cancel([Lease(turn, 1)])
        assert set(collect(pool, 1)) == {1000 + turn}


def test_one_bad_job_of_a_batch_does_not_take_the_others_with_it(pool: HashingPool) -> None:
    pool.start([job(key, data=b"" if key == 30 else b"n") for key in range(60)])
    found = collect(pool, 60)
    assert isinstance(found.pop(30).result, Refusal)
    assert all(isinstance(outcome.result, str) for outcome in found.values())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGUSR2])
def test_a_crash_is_a_retryable_refusal_and_the_process_is_replaced(
    pool: HashingPool, number: signal.Signals
) -> None:
    before = set(pool.pids)
    pool.warm()
    pool.start([job(1, FOR_EVER), job(2, FOR_EVER)])
    for pid in before:
        os.kill(pid, number)
    for outcome in collect(pool, 2).values():
        refusal = Refusal(True, f"the hashing process died (signal {int(number)})")
        assert outcome.result == refusal
    assert list(pool.crashes) == [f"signal {int(number)}"] * 2
    pool.start([job(3), job(4, Busy(0.01))])
    assert all(isinstance(outcome.result, str) for outcome in collect(pool, 2).values())
    assert not before & set(pool.pids)


def test_what_waits_behind_the_batch_of_a_crash_is_hashed_by_another(pool: HashingPool) -> None:
    for pid in pool.pids:
        os.kill(pid, signal.SIGSTOP)
    batches = 2 * 2 * MAX_LIGHT_JOBS
    pool.start([job(key, data=b"n") for key in range(batches)])
    os.kill(pool.pids[0], signal.SIGKILL)
    os.kill(pool.pids[1], signal.SIGCONT)
    found = collect(pool, batches)
    refused = [key for key, outcome in found.items() if isinstance(outcome.result, Refusal)]
    assert len(refused) == MAX_LIGHT_JOBS


def test_a_process_that_dies_idle_is_replaced_when_work_comes(pool: HashingPool) -> None:
    os.kill(pool.pids[0], signal.SIGKILL)
    poll = select.poll()
    poll.register(pool.file_descriptors()[0], select.POLLIN | select.POLLHUP)
    assert poll.poll(PATIENCE_MS)
    assert pool.collect() == []
    assert len(pool.pids) == 1
    pool.start([job(1), job(2)])
    assert len(pool.pids) == 2
    collect(pool, 2)


def test_closing_ends_processes_in_the_middle_of_a_load(pool: HashingPool) -> None:
    pool.start([job(1, FOR_EVER), job(2, Collision(40, 1))])
    pids = pool.pids
    pool.close()
    assert not any(map(_is_alive(), pids))


def test_a_dead_worker_takes_its_hashing_processes_along() -> None:
    """The pipe's end is noticed by both, though they inherited each other's ends at the fork."""
    report, child_report = os.pipe()
    pid = os.fork()
    if pid == 0:
        pool = HashingPool(2)
        pool.fork()
        pool.start([job(1, FOR_EVER), job(2, FOR_EVER)])
        os.write(child_report, ",".join(map(str, pool.pids)).encode())
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(child_report)
    pids = [int(text) for text in os.read(report, 100).decode().split(",")]
    # Orphans hold the write end of the report pipe: its end means that they are gone.
    assert os.read(report, 1) == b""
    os.close(report)
    assert len(pids) == 2


def _is_alive() -> Callable[[int], bool]:
    return lambda pid: os.path.exists(f"/proc/{pid}")


def test_a_replacement_starts_in_an_isolated_interpreter_too() -> None:
    """As in our guest image: no site, no environment, a path that only the program knows."""
    code = f"""
import os, select, signal, sys
sys.path.append({str(ROOT)!r})
from guest_worker.processes import HashingPool
from guest_worker.values import Assignment, Busy, Lease
pool = HashingPool(1)
pool.fork()
def outcome(load):
    pool.start([Assignment(Lease(1, 1), "legacy-sha256", b"n", "", load)])
    if load:
        os.kill(pool.pids[0], signal.SIGKILL)
    found = []
    while not found:
        select.select(pool.file_descriptors(), [], [])
        found = pool.collect()
    return found[0].result
print(type(outcome(Busy(3600))).__name__, type(outcome(None)).__name__)
pool.close()
"""
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        env={},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (result.stdout, result.stderr) == ("Refusal str\n", "")
