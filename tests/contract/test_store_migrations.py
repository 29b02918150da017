"""Files that older versions wrote are brought up to date, and a copy of them is kept."""

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from dispatcher import sqlite_migrations as migrations
from dispatcher.backlog import Unfinished
from dispatcher.jobs import (
    Attempt,
    AttemptCause,
    Cancelled,
    Era,
    JobKey,
    JobState,
    NewJob,
    Payload,
    Profile,
)
from dispatcher.ports import StoreOpenError
from dispatcher.sqlite_store import SqliteStore

# As version 1 wrote them: a ready job, one each that is done, failed and cancelled.
VERSION_1 = """
UPDATE meta SET value = '0a1b2c3d' WHERE name = 'store_id';
UPDATE meta SET value = '7' WHERE name = 'generation';
UPDATE numbers SET accepted = 5, done = 1, failed = 1, cancelled = 2, final_order = 2;
INSERT INTO jobs VALUES (1, 3, 1, 10.0, 0, 'one', NULL, '', '', 1, 20.0, 'd:s', 'w1', 0.5, NULL, NULL);
INSERT INTO jobs VALUES (2, 4, 1, 10.0, 5, 'two', NULL, '', '', 2, 21.0, NULL, NULL, NULL, 2, 'gone');
INSERT INTO jobs VALUES (3, 5, 1, 10.0, 0, 'three', NULL, '', '', NULL, 22.0, NULL, NULL, NULL, NULL, NULL);
INSERT INTO jobs VALUES (4, 1, 1, 11.0, 2, 'four', X'4b41', '', '', NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO jobs VALUES (5, 5, 1, 12.0, 0, 'five', NULL, '', '', NULL, 22.0, NULL, NULL, NULL, NULL, NULL);
INSERT INTO requests VALUES ('r1', 'digest', 1, 5, 10.0);
INSERT INTO cordons VALUES ('w2', 'why');
INSERT INTO connected VALUES ('w1');
"""  # noqa: E501 - one row a line

# What each later version adds to what the one before wrote.
CONTENT: tuple[str, ...] = (
    VERSION_1,
    "INSERT INTO attempts VALUES (4, 2, 1, 'w1', 12.5, 0, 'lost');",
    "INSERT INTO eras VALUES (1, '99999999', 1, 0, 3);",
)


def write(path: Path, version: int) -> None:
    """A file as that version wrote it."""
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    for number in range(version):
        migrations.STEPS[number](connection)
        connection.execute(CONTENT[number])
        connection.execute(f"PRAGMA user_version = {number + 1}")
    connection.close()


def test_every_version_is_tried() -> None:
    assert len(CONTENT) == migrations.VERSION


@pytest.mark.parametrize("version", range(1, migrations.VERSION + 1))
async def test_a_file_of_every_version_is_read(tmp_path: Path, version: int) -> None:
    path = tmp_path / "jobs.db"
    write(path, version)
    before = path.read_bytes()
    store = SqliteStore(path)
    recovered = store.open()
    assert (recovered.store_id, recovered.generation) == ("0a1b2c3d", 8)
    assert (recovered.counts.accepted, recovered.counts.done) == (5, 1)
    assert (recovered.counts.failed, recovered.counts.cancelled) == (1, 2)
    assert list(recovered.unfinished) == [Unfinished(JobKey(4), Profile.LEGACY_SHA256, 11.0, 2)]
    assert (recovered.cordons, recovered.connected) == ({"w2": "why"}, frozenset({"w1"}))
    jobs = await store.page(JobKey(0), 10, None)
    assert [job.state for job in jobs] == [
        *(JobState.DONE, JobState.FAILED, JobState.CANCELLED),
        *(JobState.READY, JobState.CANCELLED),
    ]
    history = (Attempt(2, AttemptCause.WORKER_LOST, "w1", 12.5, False, "lost"),)
    assert jobs[3].history == (history if version >= 2 else ())
    assert [stored.cursor for stored in await store.results(0, 10)] == [1, 2]
    new = NewJob(Payload(Profile.LEGACY_SHA256, b"KA-47-UT-9173"))
    assert not (await store.submit("r1", ["digest"], [new], 30.0)).is_fresh
    assert (await store.submit("r2", ["digest"], [new], 30.0)).keys == [6]
    attempt = Attempt(3, AttemptCause.LEASE_EXPIRED, "w1", 31.0)
    await store.count_attempts([(JobKey(4), attempt)])
    await store.settle([Cancelled(JobKey(6))], 32.0)
    former = (Era("99999999", 1, 0, 3),) if version >= 3 else ()
    assert recovered.former == former
    assert await store.remove_finals(before=22.5, keep=None, limit=100) == 4
    assert [job.key for job in await store.page(JobKey(0), 10, None)] == [4, 6]
    await store.close()
    copy = migrations.copy_path(path, version)
    assert copy.exists() == (version < migrations.VERSION)
    if copy.exists():
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        kept = apsw.Connection(str(copy), flags=apsw.SQLITE_OPEN_READONLY)
        assert kept.execute("PRAGMA user_version").fetchone() == (version,)
        assert kept.execute("SELECT count(*) FROM jobs").fetchone() == (5,)
        kept.close()
    assert before != path.read_bytes()


def shape(path: Path) -> Any:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    found = connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2").fetchall()
    connection.close()
    return found


@pytest.mark.parametrize("version", range(1, migrations.VERSION))
async def test_an_old_file_ends_as_a_new_one_begins(tmp_path: Path, version: int) -> None:
    for name in ("old.db", "new.db"):
        if name == "old.db":
            write(tmp_path / name, version)
        store = SqliteStore(tmp_path / name)
        store.open()
        await store.close()
    assert shape(tmp_path / "old.db") == shape(tmp_path / "new.db")


def _newer(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(f"PRAGMA user_version = {migrations.VERSION + 1}")
    connection.close()


def _no_room_for_a_copy(path: Path) -> None:
    migrations.copy_path(path, 1).with_name("jobs.db.version-1.partial").mkdir()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_newer, rf"jobs.db: has schema version {migrations.VERSION + 1}, .* use the program that"),
        (_no_room_for_a_copy, "version 1 and is to become .* no copy can be made"),
    ],
)
def test_what_cannot_be_brought_up_to_date_is_left_alone(
    tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    path = tmp_path / "jobs.db"
    write(path, 1)
    spoil(path)
    before = shape(path)
    with pytest.raises(StoreOpenError, match=message):
        SqliteStore(path).open()
    assert shape(path) == before


async def test_a_broken_off_migration_is_begun_again(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    write(path, 1)
    migrations.copy_path(path, 1).with_name("jobs.db.version-1.partial").write_bytes(b"half")
    store = SqliteStore(path)
    assert store.open().counts.accepted == 5
    await store.close()
    assert not list(tmp_path.glob("*.partial"))  # noqa: ASYNC240
