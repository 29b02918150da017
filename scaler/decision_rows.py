"""Entries of the decision store as rows: every statement on them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apsw

from scaler.entries import Entry, Page
from scaler.packing import pack, pack_samples, unpack, unpack_samples

SCHEMA = 1

_TABLES = """
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    first REAL NOT NULL,
    last REAL NOT NULL,
    count INTEGER NOT NULL,
    body BLOB NOT NULL,
    samples BLOB
) STRICT;
CREATE INDEX IF NOT EXISTS entries_first ON entries (first);
PRAGMA user_version = 1;
COMMIT;
"""
_LOOSE = "PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 4000000"
_COLUMNS = "id, kind, reason, first, last, count, body, samples"
_BUSY_MILLISECONDS = 5_000


def connect(path: str, *, is_writer: bool) -> apsw.Connection:
    """A connection; a writer makes the tables.

    Raises:
        apsw.Error: the file cannot be used.

    """
    flags = apsw.SQLITE_OPEN_READONLY
    if is_writer:
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    connection = apsw.Connection(path, flags=flags)
    connection.set_busy_timeout(_BUSY_MILLISECONDS)
    ((version,),) = connection.execute("PRAGMA user_version")
    if version > SCHEMA:
        connection.close()
        raise apsw.SQLError("made by a newer version of this program")
    if is_writer:
        connection.execute(_TABLES).fetchall()
        # What a power cut may lose are the last seconds of a history.
        connection.execute(_LOOSE).fetchall()
    return connection


def newest_id(connection: apsw.Connection) -> int:
    """The id of the newest entry; 0 when there is none."""
    ((found,),) = connection.execute("SELECT coalesce(max(id), 0) FROM entries")
    return int(found)


def write(connection: apsw.Connection, entries: Iterable[Entry]) -> None:
    """Keeps the entries as they are now, in one transaction."""
    rows = [
        (
            *(one.id, one.kind, one.reason, one.first, one.last, one.count),
            *(pack(one.body), pack_samples(one.samples) if one.samples else None),
        )
        for one in entries
    ]
    with connection:
        connection.executemany(
            f"INSERT OR REPLACE INTO entries ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows
        )


def read(connection: apsw.Connection, page: Page) -> list[Entry]:
    """The newest entries that fit, newest first, without their samples."""
    conditions = ["last >= ?", "first <= ?"]
    values: list[Any] = [page.since, page.until]
    for column, wanted in (("reason", page.reasons), ("kind", page.kinds)):
        if wanted:
            conditions.append(f"{column} IN ({', '.join('?' * len(wanted))})")
            values += wanted
    if page.before is not None:
        conditions.append("id < ?")
        values.append(page.before)
    found = connection.execute(
        f"SELECT {_COLUMNS.replace(', samples', ', NULL')} FROM entries "
        f"WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT ?",
        (*values, page.limit),
    )
    return [_entry(row) for row in found]


def at(connection: apsw.Connection, moment: float) -> Entry | None:
    """The newest run that began at `moment` or before, with its samples."""
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM entries WHERE kind = 'decision' AND first <= ? "
        "ORDER BY first DESC, id DESC LIMIT 1",
        (moment,),
    ).fetchall()
    return _entry(found[0]) if found else None


def after(connection: apsw.Connection, moment: float) -> Entry | None:
    """The oldest run that began after `moment`."""
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM entries WHERE kind = 'decision' AND first > ? "
        "ORDER BY first, id LIMIT 1",
        (moment,),
    ).fetchall()
    return _entry(found[0]) if found else None


def stream(connection: apsw.Connection, since: float, until: float) -> Iterator[Entry]:
    """All entries with a turn in the range, oldest first, with their samples."""
    for row in connection.execute(
        f"SELECT {_COLUMNS} FROM entries WHERE last >= ? AND first <= ? ORDER BY id",
        (since, until),
    ):
        yield _entry(row)


def remove(connection: apsw.Connection, before: float, max_bytes: int) -> None:
    """Forgets what is too old, and the oldest while the file is too big."""
    with connection:
        connection.execute("DELETE FROM entries WHERE last < ?", (before,))
    size = used_bytes(connection)
    if size > max_bytes:
        ((count,),) = connection.execute("SELECT count(*) FROM entries")
        # A tenth more than is needed: otherwise every group would delete a few.
        excess = min(count, int(count * (1 - 0.9 * max_bytes / size)) + 1)
        with connection:
            connection.execute(
                "DELETE FROM entries WHERE id IN (SELECT id FROM entries ORDER BY id LIMIT ?)",
                (excess,),
            )
    connection.execute("PRAGMA incremental_vacuum").fetchall()


def used_bytes(connection: apsw.Connection) -> int:
    """Size of the pages in use."""
    ((pages,),) = connection.execute("PRAGMA page_count")
    ((free,),) = connection.execute("PRAGMA freelist_count")
    ((size,),) = connection.execute("PRAGMA page_size")
    return int((pages - free) * size)


def _entry(row: Sequence[Any]) -> Entry:
    id_, kind, reason, first, last, count, body, samples = row
    return Entry(id_, kind, reason, first, last, count, unpack(body), unpack_samples(samples))
