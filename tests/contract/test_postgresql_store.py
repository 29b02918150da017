"""What only the PostgreSQL store has to bear: lost answers, lost turns, foreign databases."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psycopg
import pytest

from bench.postgresql import PostgresqlServer, program
from dispatcher import postgresql_session as sessions
from dispatcher.database import PostgresqlUrl
from dispatcher.jobs import Done, JobKey, JobNames, NewJob, Payload, Profile
from dispatcher.ports import Accepted, StoreOpenError, StoreTakenError, StoreUnavailableError
from dispatcher.postgresql_store import PostgresqlStore
from tests.contract.dispatcher_process import ROOT, until

NUMBER = "KA-47-UT-9173"
NewStore = Callable[..., PostgresqlStore]


@pytest.fixture
async def new_store(postgresql_url: str) -> AsyncIterator[NewStore]:
    """Makes stores over one database."""
    made: list[PostgresqlStore] = []

    def make(url: str = postgresql_url, **more: object) -> PostgresqlStore:
        made.append(PostgresqlStore(PostgresqlUrl(url), **more))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for store in made:
        await store.close()


def job(number: str = NUMBER) -> NewJob:
    return NewJob(Payload(Profile.LEGACY_SHA256, number.encode()))


def schema_of(url: str) -> str:
    return url.rpartition("search_path%3D")[2]


def pid_of(store: PostgresqlStore) -> int:
    assert store._writer is not None
    return store._writer.info.backend_pid


def end_session(server: PostgresqlServer, pid: int) -> None:
    with server.connect() as connection:
        connection.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


async def waits(server: PostgresqlServer, pid: int, event: str) -> None:
    with server.connect() as connection:

        async def does_wait() -> bool:
            statement = "SELECT wait_event FROM pg_stat_activity WHERE pid = %s"
            return connection.execute(statement, (pid,)).fetchall() == [(event,)]

        await until(does_wait)


async def test_a_commit_whose_answer_was_lost_is_told_when_it_is_known(
    postgresql: PostgresqlServer, new_store: NewStore
) -> None:
    store = new_store()
    store.open()
    kept: list[Accepted] = []
    with postgresql.connect() as connection:
        # A commit that is on disk and waits for a standby server which never comes.
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        connection.execute("SELECT pg_reload_conf()")
        try:
            submitting = asyncio.ensure_future(store.submit("r1", ["d"], [job()], 1.0, kept.append))
            await waits(postgresql, pid_of(store), "SyncRep")
            await asyncio.to_thread(end_session, postgresql, pid_of(store))
            with pytest.raises(StoreUnavailableError):
                await submitting
            assert kept == []
        finally:
            connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
            connection.execute("SELECT pg_reload_conf()")

    async def is_told() -> bool:
        return len(kept) == 1

    await until(is_told)
    again = await store.submit("r1", ["d"], [job()], 2.0, kept.append)
    assert (again.first, again.is_fresh) == (1, False)
    assert [each.is_fresh for each in kept] == [True, False]
    assert (await store.submit("r2", ["d"], [job()], 3.0)).first == 2


async def test_a_transaction_that_is_cut_off_is_done_again_and_kept_once(
    postgresql: PostgresqlServer, postgresql_url: str, new_store: NewStore
) -> None:
    store = new_store()
    store.open()
    kept: list[Accepted] = []
    with postgresql.connect(schema_of(postgresql_url)) as connection:
        with connection.transaction():
            connection.execute("SELECT * FROM numbers FOR UPDATE")
            submitting = asyncio.ensure_future(store.submit("r1", ["d"], [job()], 1.0, kept.append))
            await waits(postgresql, pid_of(store), "transactionid")
            await asyncio.to_thread(end_session, postgresql, pid_of(store))
        assert (await submitting).is_fresh
        assert connection.execute("SELECT accepted, commits FROM numbers").fetchall() == [(1, 1)]
    assert len(kept) == 1
    assert (await store.submit("r2", ["d"], [job()], 1.0)).first == 2


async def test_who_was_replaced_is_told_and_writes_no_more(
    postgresql: PostgresqlServer, new_store: NewStore
) -> None:
    told: list[str] = []
    first, second = new_store(on_fenced=told.append), new_store()
    assert first.open().generation == 1
    with pytest.raises(StoreTakenError, match=r"in use by another dispatcher \(the same host"):
        second.open()
    await first.submit("r1", ["d"], [job()], 1.0)
    await asyncio.to_thread(end_session, postgresql, pid_of(first))

    async def has_opened() -> bool:
        try:
            return second.open().generation == 2
        except StoreTakenError:
            # It had its session again before anybody else came.
            await asyncio.to_thread(end_session, postgresql, pid_of(first))
            return False

    await until(has_opened)
    with pytest.raises(StoreUnavailableError, match="another dispatcher has become active"):
        await first.settle([Done(JobKey(1), "d:s", "w1", 0.1)], 2.0)
    with pytest.raises(StoreUnavailableError):
        await first.submit("r2", ["d"], [job()], 2.0)
    assert len(told) == 1
    assert await second.last_cursor() == 0
    assert (await second.submit("r3", ["d"], [job()], 2.0)).first == 2


def test_a_lock_is_released_before_the_server_learns_of_the_end(postgresql_url: str) -> None:
    url = PostgresqlUrl(postgresql_url)
    with (
        contextlib.closing(sessions.connect(url, None, is_writer=True)) as first,
        contextlib.closing(sessions.connect(url, None, is_writer=True)) as second,
    ):
        assert [sessions.take_lock(each) for each in (first, first, second)] == [True, True, False]
        sessions.release_lock(first)
        assert sessions.take_lock(second)


async def test_even_with_a_session_a_replaced_one_is_refused_by_the_database(
    postgresql: PostgresqlServer, postgresql_url: str, new_store: NewStore
) -> None:
    told: list[str] = []
    store = new_store(on_fenced=told.append)
    store.open()
    with postgresql.connect(schema_of(postgresql_url)) as connection:
        connection.execute("UPDATE numbers SET generation = generation + 1")
        with pytest.raises(StoreUnavailableError, match="another dispatcher has become active"):
            await store.submit("r1", ["d"], [job()], 1.0)
        assert connection.execute("SELECT * FROM requests").fetchall() == []
    assert len(told) == 1


async def test_one_bad_operation_takes_no_other_with_it(new_store: NewStore) -> None:
    store = new_store()
    store.open()
    results = await asyncio.gather(
        store.submit("r1", ["d"], [job()], 1.0),
        store.submit("r2", ["d"], [job()], float("nan")),
        store.submit("r3", ["d"], [job()], 1.0),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [Accepted, ValueError, Accepted]
    assert await store.check() is None


async def test_no_number_stays_in_the_database_once_all_is_final(
    postgresql: PostgresqlServer, postgresql_url: str, new_store: NewStore
) -> None:
    store = new_store()
    store.open()
    number = "MH-12-ZZ-0042"  # of no other test on this server
    await store.submit("r1", ["d"], [job(number)], 1.0)
    await store.settle([Done(JobKey(1), "d:s", "w1", 0.1)], 2.0)
    with postgresql.connect(schema_of(postgresql_url)) as connection:

        async def is_empty() -> bool:
            return connection.execute("SELECT pg_relation_size('open_jobs')").fetchall() == [(0,)]

        await until(is_empty)
        connection.execute("CHECKPOINT")
    files = [path for path in (postgresql.directory / "data").rglob("*") if path.is_file()]
    holding = {path for path in files if number.encode() in path.read_bytes()}
    # docs/OPERATIONS.md says how long it stays there.
    assert {path.parent.name for path in holding} <= {"pg_wal"}
    assert number not in postgresql.log()


async def test_it_is_told_how_large_the_store_is(new_store: NewStore) -> None:
    store = new_store()
    store.open()
    sizes = await asyncio.to_thread(store.sizes)
    assert sizes["database"] > 8192


def make_foreign(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    connection.execute("CREATE TABLE attempts (id int)")


def make_newer(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    connection.execute("CREATE TABLE meta (name text, value text)")
    connection.execute("INSERT INTO meta VALUES ('application', 'virtscale dispatcher')")
    connection.execute("INSERT INTO meta VALUES ('version', '99')")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (make_foreign, r"tables of another program in schema schema_\w+ \(attempts\)"),
        (make_newer, "has schema version 99, this program knows 1 to"),
    ],
)
def test_a_database_that_is_no_store_is_refused(
    new_store: NewStore,
    postgresql: PostgresqlServer,
    postgresql_url: str,
    make: Callable[[psycopg.Connection[tuple[object, ...]]], None],
    message: str,
) -> None:
    with postgresql.connect(schema_of(postgresql_url)) as connection:
        connection.execute("SET ROLE owner")
        make(connection)
    with pytest.raises(StoreOpenError, match=message):
        new_store().open()


def test_a_schema_that_does_not_exist_is_named(
    new_store: NewStore, postgresql: PostgresqlServer
) -> None:
    with pytest.raises(StoreOpenError, match="has no schema to make tables in"):
        new_store(postgresql.url("test_nowhere")).open()


def test_a_wrong_password_is_an_error_without_it(
    new_store: NewStore, postgresql: PostgresqlServer, tmp_path: Path
) -> None:
    path = tmp_path / "password"
    path.write_text("not " + postgresql.password)
    url = postgresql.url("public", host="127.0.0.1")
    with pytest.raises(StoreOpenError, match="password authentication failed") as raised:
        new_store(url, password_file=path).open()
    assert postgresql.password not in str(raised.value)


def virtscale_dispatcher(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dispatcher", *words],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"},
        capture_output=True,
        text=True,
    )


async def test_a_dump_is_restored_as_the_beginning_of_an_era(
    postgresql_url: str, new_store: NewStore, tmp_path: Path
) -> None:
    store = new_store()
    before = store.open()
    await store.submit("r1", ["d"], [job()], 1.0)
    dump, schema = str(tmp_path / "dump"), schema_of(postgresql_url)
    words = [str(program("pg_dump")), "--format", "custom", "--file", dump, postgresql_url]
    await asyncio.to_thread(subprocess.run, [*words, "--schema", schema], check=True)
    await store.submit("r2", ["d"], [job()], 2.0)
    refused = virtscale_dispatcher("--database", postgresql_url, "--begin-era")
    assert (refused.returncode, "in use by a dispatcher" in refused.stderr) == (1, True)
    await store.close()
    words = ["--clean", "--if-exists", "--single-transaction", "--dbname", postgresql_url, dump]
    words = [str(program("pg_restore")), *words]
    await asyncio.to_thread(subprocess.run, words, check=True)
    begun = virtscale_dispatcher("--database", postgresql_url, "--begin-era")
    assert begun.returncode == 0, begun.stderr
    checked = virtscale_dispatcher("--database", postgresql_url, "--check-store")
    assert (checked.returncode, "no contradiction" in checked.stdout) == (0, True)
    store = new_store()
    after = store.open()
    assert after.generation > before.generation + 1000
    names = JobNames(after.store_id, after.former)
    accepted = await store.submit("r3", ["d"], [job()], 3.0)
    # The first keeps its name; the second is lost, and its name is nobody else's.
    assert names.key(f"{before.store_id}-1") == 1
    assert names.key(f"{before.store_id}-2") is None
    assert names.name(accepted.first) == f"{after.store_id}-2"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://me:s3cret@host/db", "must not hold a password"),
        ("postgresql://host/db?password=s3cret", "must not hold a password"),
        ("postgresql:s3cret", "is no URL; write postgresql://"),
    ],
)
def test_a_url_with_a_password_is_refused_without_repeating_it(url: str, words: str) -> None:
    refused = virtscale_dispatcher("--database", url, "--check-config")
    assert refused.returncode == 2
    assert words in refused.stderr
    assert "s3cret" not in refused.stderr
