"""One suite for every job store. A new one is one more row in `STORES`."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from dispatcher.backlog import Unfinished
from dispatcher.database import PostgresqlUrl
from dispatcher.jobs import (
    Attempt,
    AttemptCause,
    Busy,
    Cancelled,
    Collision,
    Done,
    Failed,
    Failure,
    FailureReason,
    Final,
    JobKey,
    JobState,
    NewJob,
    Payload,
    Profile,
    Verify,
)
from dispatcher.memory_store import MemoryDisk, MemoryStore
from dispatcher.ports import (
    Accepted,
    JobStore,
    RequestConflictError,
    StoreFullError,
    StoreOpenError,
)
from dispatcher.postgresql_store import PostgresqlStore
from dispatcher.sqlite_store import SqliteStore

Reopen = Callable[[], JobStore]


Disk = Callable[[str], Any]
"""Gives the fixture of that name: what outlives a store."""

STORES: dict[str, Callable[[Disk], JobStore]] = {
    "sqlite": lambda disk: SqliteStore(disk("tmp_path") / "jobs.db"),
    "memory": lambda disk: MemoryStore(disk("memory_disk")),
    "postgresql": lambda disk: PostgresqlStore(PostgresqlUrl(disk("postgresql_url"))),
}
"""How to make each kind over the same disk."""


@pytest.fixture
def memory_disk() -> MemoryDisk:
    """What plays a disk in memory."""
    return MemoryDisk()


@pytest.fixture(params=list(STORES))
async def reopen(request: pytest.FixtureRequest) -> AsyncIterator[Reopen]:
    """Makes stores over one disk; the caller closes one before it makes the next."""
    made: list[JobStore] = []

    def make() -> JobStore:
        store = STORES[request.param](request.getfixturevalue)
        made.append(store)
        return store

    yield make
    for store in made:
        await store.close()


def job(number: str = "AA1", profile: Profile = Profile.LEGACY_SHA256, **more: object) -> NewJob:
    return NewJob(Payload(profile, number.encode(), **more), "ref " + number)  # type: ignore[arg-type]


def done(key: int, digest: str = "d:s") -> Done:
    return Done(JobKey(key), digest, "w1", 0.25)


def attempt(ordinal: int, *, is_certain: bool = True) -> Attempt:
    at = 10.0 + ordinal
    return Attempt(ordinal, AttemptCause.WORKER_LOST, "w1", at, is_certain, f"try {ordinal}")


async def test_an_empty_store_holds_nothing(reopen: Reopen) -> None:
    store = reopen()
    recovered = store.open()
    assert recovered.counts.accepted == 0
    assert list(recovered.unfinished) == []
    assert recovered.cordons == {}
    assert recovered.connected == frozenset()
    assert await store.jobs([JobKey(1)]) == [None]
    assert await store.last_cursor() == 0


async def test_batches_get_consecutive_keys_from_one(reopen: Reopen) -> None:
    store = reopen()
    store.open()
    first = await store.submit("r1", ["d"], [job("A"), job("B")], 10.0)
    second = await store.submit("r2", ["d"], [job("C")], 11.0)
    assert (first.keys, first.is_fresh) == ([1, 2], True)
    assert second.keys == [3]
    found = await store.jobs([JobKey(2)])
    assert found[0] is not None
    assert (found[0].state, found[0].accepted_at, found[0].reference) == (
        JobState.READY,
        10.0,
        "ref B",
    )


async def test_a_request_is_kept_once(reopen: Reopen) -> None:
    store = reopen()
    store.open()
    await store.submit("r1", ["new", "old"], [job()], 10.0)
    again = await store.submit("r1", ["newer", "new"], [job()], 12.0)
    assert (again.keys, again.is_fresh) == ([1], False)
    with pytest.raises(RequestConflictError):
        await store.submit("r1", ["other"], [job("B")], 13.0)
    assert await store.jobs([JobKey(2)]) == [None]
    assert await store.forget_requests(before=11.0, limit=10) == 1
    assert await store.forget_requests(before=11.0, limit=10) == 0
    assert (await store.submit("r1", ["other"], [job("B")], 13.0)).keys == [2]


async def test_submissions_at_once_are_kept_apart(reopen: Reopen) -> None:
    store = reopen()
    store.open()

    async def submit(number: int, digest: str = "d") -> Accepted:
        jobs = [job(f"J{number}")] * (number % 3 + 1)
        return await store.submit(f"r{number}", [digest], jobs, number + 0.1)

    first = await asyncio.gather(*map(submit, range(20)))
    mixed = await asyncio.gather(
        *map(submit, range(10, 30)),
        *map(submit, range(20, 30)),
        submit(0, "another content"),
        return_exceptions=True,
    )
    assert isinstance(mixed[-1], RequestConflictError)
    answers = dict(enumerate(first)) | {
        number: found for number, found in enumerate(mixed[10:20], 20)
    }
    for number, again in zip(range(10, 30), (*mixed[:10], *mixed[20:30]), strict=True):
        assert isinstance(again, Accepted)
        assert again.keys == answers[number].keys
    keys = [key for each in answers.values() for key in each.keys]
    assert sorted(keys) == list(range(1, 61))
    await store.close()
    store = reopen()
    assert store.open().counts.accepted == 60
    for number, accepted in answers.items():
        for found in await store.jobs(accepted.keys):
            assert found is not None
            assert (found.accepted_at, found.state) == (number + 0.1, JobState.READY)
        payloads = (await store.unfinished(accepted.keys)).values()
        assert [each.payload.input for each in payloads] == [f"J{number}".encode()] * (
            number % 3 + 1
        )


async def test_unfinished_jobs_come_back_whole(reopen: Reopen) -> None:
    store = reopen()
    store.open()
    loads = [None, Collision(24, 7), Verify(3), Busy(0.1)]
    jobs = [job("A", Profile.HMAC_SHA256, key_id="k1", load=load) for load in loads]
    keys = (await store.submit("r1", ["d"], jobs, 1.0)).keys
    found = await store.unfinished([*keys, JobKey(99)])
    assert found == dict(zip(keys, jobs, strict=True))


async def test_any_text_and_any_bytes_come_back_as_they_were(reopen: Reopen) -> None:
    store = reopen()
    store.open()
    odd = 'quote " backslash \\ newline \n ü 🎉 [1, {}] \x01 \x7f \x00 \x1b0'
    jobs = [NewJob(Payload(Profile.HMAC_SHA256, bytes(range(256)), "k.1_-"), odd)]
    keys = (await store.submit("r1", ["d"], jobs, 1.0)).keys
    assert list((await store.unfinished(keys)).values()) == jobs
    await store.settle([Failed(keys[0], Failure(FailureReason.REFUSED, odd))], 2.0)
    (found,) = await store.jobs(keys)
    assert found is not None
    assert found.reference == odd
    assert found.failure == Failure(FailureReason.REFUSED, odd)


async def test_a_large_group_settles_each_of_its_kinds(reopen: Reopen) -> None:
    store = reopen()
    store.open()
    keys = (await store.submit("r1", ["d"], [job()] * 900, 1.0)).keys
    kinds: list[Callable[[JobKey], Final]] = [
        lambda key: done(key, f"h{key}"),
        lambda key: Failed(key, Failure(FailureReason.REFUSED, f"m{key}")),
        Cancelled,
    ]
    await store.settle([kinds[key % 3](key) for key in keys], 2.0)
    await store.settle([Cancelled(key) for key in keys], 3.0)
    for key, found in zip(keys, await store.jobs(keys), strict=True):
        assert found is not None
        state = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)[key % 3]
        assert found.state is state
        assert found.result is None or found.result.hash == f"h{key}"
        assert found.failure is None or found.failure.message == f"m{key}"
    await store.close()
    counts = reopen().open().counts
    assert (counts.done, counts.failed, counts.cancelled) == (300, 300, 300)


async def test_a_job_settles_once(reopen: Reopen) -> None:
    store = reopen()
    store.open()
    keys = (await store.submit("r1", ["d"], [job()], 1.0)).keys
    assert await store.settle([done(1, "first")], 2.0) == 1
    assert await store.settle([done(1, "second"), Cancelled(JobKey(1))], 3.0) is None
    (found,) = await store.jobs(keys)
    assert found is not None
    assert found.state is JobState.DONE
    assert found.result is not None
    assert (found.result.hash, found.result.completed_at) == ("first", 2.0)
    assert (found.result.worker_id, found.result.service_seconds) == ("w1", 0.25)
    assert await store.unfinished(keys) == {}
    assert [stored.cursor for stored in await store.results(0, 10)] == [1]


async def test_results_come_in_the_order_of_their_storing(reopen: Reopen) -> None:
    store = reopen()
    store.open()
    await store.submit("r1", ["d"], [job(name) for name in "ABCD"], 1.0)
    failure = Failure(FailureReason.REFUSED, "cannot")
    assert await store.settle([done(3)], 2.0) == 1
    second = [Cancelled(JobKey(2)), Failed(JobKey(1), failure), done(4)]
    assert await store.settle(second, 3.0) == 2
    found = await store.results(0, 10)
    assert [(stored.cursor, stored.job.key) for stored in found] == [(1, 3), (2, 1), (3, 4)]
    assert found[1].job.failure == failure
    assert [stored.cursor for stored in await store.results(1, 1)] == [2]
    assert await store.last_cursor() == 3


async def test_pages_follow_the_order_of_acceptance(reopen: Reopen) -> None:
    store = reopen()
    store.open()
    await store.submit("r1", ["d"], [job(name) for name in "ABCD"], 1.0)
    await store.settle([done(2)], 2.0)
    page = await store.page(JobKey(0), 3, None)
    assert [each.key for each in page] == [1, 2, 3]
    unfinished = await store.page(JobKey(1), 10, frozenset({JobState.LEASED}))
    assert [each.key for each in unfinished] == [3, 4]


async def test_everything_survives_reopening(reopen: Reopen) -> None:
    store = reopen()
    first = store.open()
    await store.submit("r1", ["d"], [job(name) for name in "ABCD"], 1.0)
    failure = Failure(FailureReason.ATTEMPTS_EXHAUSTED, "gone")
    await store.settle([done(1), Cancelled(JobKey(2)), Failed(JobKey(3), failure)], 2.0)
    await store.count_attempts([(JobKey(4), attempt(1)), (JobKey(4), attempt(2))])
    await store.set_cordon("w1", "why")
    await store.set_cordon("w2", "why")
    await store.set_cordon("w2", None)
    await store.set_connected("w1", True)
    await store.set_connected("w2", True)
    await store.set_connected("w2", False)
    await store.close()
    again = reopen()
    recovered = again.open()
    assert recovered.generation > first.generation
    assert recovered.store_id == first.store_id
    counts = recovered.counts
    assert (counts.accepted, counts.done, counts.cancelled, counts.failed) == (4, 1, 1, 1)
    assert list(recovered.unfinished) == [Unfinished(JobKey(4), Profile.LEGACY_SHA256, 1.0, 2)]
    assert recovered.cordons == {"w1": "why"}
    assert recovered.connected == frozenset({"w1"})
    assert (await again.submit("r2", ["d"], [job()], 3.0)).keys == [5]
    assert not (await again.submit("r1", ["d"], [job()], 3.0)).is_fresh
    await again.settle([done(4)], 4.0)
    assert await again.last_cursor() == 3
    (stored,) = await again.results(2, 10)
    assert stored.job.history == (attempt(1), attempt(2))


async def test_the_newest_attempts_are_kept_as_history(reopen: Reopen) -> None:
    store = reopen()
    store.open()
    await store.submit("r1", ["d"], [job("A"), job("B")], 1.0)
    await store.count_attempts([(JobKey(1), attempt(1, is_certain=False))])
    (found, other) = await store.jobs([JobKey(1), JobKey(2)])
    assert found is not None
    assert (found.attempts, found.history) == (1, (attempt(1, is_certain=False),))
    assert other is not None
    assert (other.attempts, other.history) == (0, ())
    await store.count_attempts([(JobKey(1), attempt(number)) for number in range(2, 21)])
    (found,) = await store.page(JobKey(0), 1, None)
    assert found.attempts == 20
    assert found.history == tuple(attempt(number) for number in range(5, 21))


async def stored_keys(store: JobStore) -> list[JobKey]:
    return [each.key for each in await store.page(JobKey(0), 100, None)]


async def test_old_finals_are_removed_and_counts_and_cursors_stay(reopen: Reopen) -> None:
    store = reopen()
    store.open()
    await store.submit("r1", ["d"], [job(name) for name in "ABCDEF"], 1.0)
    await store.count_attempts([(JobKey(1), attempt(1))])
    failure = Failure(FailureReason.ATTEMPTS_EXHAUSTED, "gone")
    await store.settle([Failed(JobKey(1), failure), Cancelled(JobKey(2))], 10.0)
    await store.settle([done(3), Cancelled(JobKey(4))], 20.0)
    await store.settle([done(5)], 30.0)
    assert await store.remove_finals(before=10.0, keep=None, limit=100) == 0
    assert await store.remove_finals(before=20.0, keep=None, limit=1) == 1
    assert await store.remove_finals(before=20.0, keep=None, limit=100) == 1
    assert await stored_keys(store) == [3, 4, 5, 6]
    assert await store.jobs([JobKey(1), JobKey(2)]) == [None, None]
    assert [each.cursor for each in await store.results(0, 10)] == [2, 3]
    assert [each.cursor for each in await store.results(2, 10)] == [3]
    assert await store.remove_finals(before=1000.0, keep=None, limit=100) == 3
    assert await stored_keys(store) == [6]
    assert await store.last_cursor() == 3
    await store.settle([done(1), done(6)], 40.0)
    (newest,) = await store.results(0, 10)
    assert newest.job.key == 6
    assert newest.cursor > 3
    await store.close()
    again = reopen()
    counts = again.open().counts
    assert (counts.accepted, counts.done, counts.failed, counts.cancelled) == (6, 3, 1, 2)
    assert (await again.submit("r2", ["d"], [job()], 50.0)).keys == [7]


async def test_the_newest_finals_are_kept(reopen: Reopen) -> None:
    store = reopen()
    store.open()
    await store.submit("r1", ["d"], [job(name) for name in "ABCDEF"], 1.0)
    await store.settle([done(key) for key in (3, 1, 2)], 10.0)
    await store.settle([Cancelled(JobKey(key)) for key in (6, 4)], 10.0)
    assert await store.remove_finals(before=None, keep=1, limit=100) == 3
    assert await stored_keys(store) == [2, 4, 5]
    assert await store.remove_finals(before=None, keep=None, limit=100) == 0
    assert await store.remove_finals(before=None, keep=0, limit=100) == 2
    assert await stored_keys(store) == [5]


async def test_results_that_are_kept_beside_a_removal_count_for_it(reopen: Reopen) -> None:
    store = reopen()
    store.open()
    await store.submit("r1", ["d"], [job("A"), job("B")], 10.0)
    _, removed = await asyncio.gather(
        store.settle([done(1), done(2)], 20.0),
        store.remove_finals(before=None, keep=1, limit=100),
    )
    assert removed == 1
    first, second = await store.jobs([JobKey(1), JobKey(2)])
    assert first is None
    assert second is not None


async def test_a_clock_that_steps_back_and_forward_breaks_nothing(reopen: Reopen) -> None:
    store = reopen()
    store.open()
    await store.submit("r1", ["d"], [job("A"), job("B")], 1000.0)
    await store.settle([done(1)], 400.0)
    await store.submit("r2", ["d"], [job("C")], 500.0)
    await store.settle([done(2)], 9000.0)
    await store.settle([done(3)], 600.0)
    assert [each.job.key for each in await store.results(0, 10)] == [1, 2, 3]
    # What became final at a time that had not come yet is kept, and so is what came after it.
    assert await store.remove_finals(before=700.0, keep=None, limit=10) == 1
    assert await stored_keys(store) == [2, 3]
    assert await store.remove_finals(before=9001.0, keep=None, limit=10) == 2
    assert not (await store.submit("r1", ["d"], [job("A"), job("B")], 2.0)).is_fresh
    assert (await store.submit("r3", ["d"], [job("D")], 2.0)).keys == [4]


async def test_a_sound_store_has_no_fault(reopen: Reopen) -> None:
    store = reopen()
    store.open()
    await store.submit("r1", ["d"], [job()], 1.0)
    assert await store.check() is None


async def open_sqlite(path: Path) -> SqliteStore:
    store = SqliteStore(path)
    store.open()
    return store


async def test_a_second_process_is_refused(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path / "jobs.db")
    with pytest.raises(StoreOpenError, match="in use by another dispatcher"):
        SqliteStore(tmp_path / "jobs.db").open()
    await store.close()
    await (await open_sqlite(tmp_path / "jobs.db")).close()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"not a database at all" * 100, "not a usable database"), (None, "another program")],
)
def test_a_file_that_is_no_store_is_refused(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "jobs.db"
    if content is None:
        apsw.Connection(str(path)).execute("CREATE TABLE other (x)")
    else:
        path.write_bytes(content)
    with pytest.raises(StoreOpenError, match=message):
        SqliteStore(path).open()


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    await (await open_sqlite(path)).close()
    apsw.Connection(str(path)).execute("PRAGMA user_version = 99")
    with pytest.raises(StoreOpenError, match="schema version 99"):
        SqliteStore(path).open()


async def test_a_full_disk_keeps_nothing_and_recovers(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path / "jobs.db")
    limit = store._writer.execute("PRAGMA page_count").fetchone()[0] + 4  # type: ignore[union-attr, index]
    store._writer.execute(f"PRAGMA max_page_count = {limit}").fetchall()  # type: ignore[union-attr]
    big = [job("A" * 60) for _ in range(1000)]
    with pytest.raises(StoreFullError, match="full"):
        await store.submit("r1", ["d"], big, 1.0)
    assert await store.jobs([JobKey(1)]) == [None]
    store._writer.execute("PRAGMA max_page_count = 1000000").fetchall()  # type: ignore[union-attr]
    accepted = await store.submit("r1", ["d"], big, 1.0)
    assert (accepted.first, accepted.is_fresh) == (1, True)
    await store.close()


async def test_numbers_leave_the_files_when_jobs_settle(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path / "jobs.db")
    await store.submit("r1", ["d"], [job("KA-47-UT-9173")], 1.0)
    await store.settle([done(1)], 2.0)
    await store.close()
    for path in sorted(tmp_path.glob("*")):  # noqa: ASYNC240
        rest = path.read_bytes().replace(b"ref KA-47-UT-9173", b"")
        # With its letters: four digits alone turn up in random names by chance.
        assert b"UT9173" not in rest
        assert b"UT-9173" not in rest
