"""The tables of the SQLite store, as the steps that led to them.

A new file goes through all the steps, so it has the same tables as an old one. Each step is one
transaction that also writes the version: a crash leaves one version or the next. Before the first
step on a file with jobs, a copy of the file is made beside it.
"""

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

APPLICATION_ID = 0x76736A62

_VERSION_1 = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE numbers (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    accepted INTEGER NOT NULL, done INTEGER NOT NULL, failed INTEGER NOT NULL,
    cancelled INTEGER NOT NULL, final_order INTEGER NOT NULL
) STRICT;
CREATE TABLE jobs (
    key INTEGER PRIMARY KEY,
    state INTEGER NOT NULL,
    profile INTEGER NOT NULL,
    accepted_at REAL NOT NULL,
    attempts INTEGER NOT NULL,
    reference TEXT NOT NULL,
    input BLOB,              -- forgotten when the job is final
    key_id TEXT NOT NULL,
    load TEXT NOT NULL,
    final_order INTEGER,     -- set when done or failed
    completed_at REAL,
    hash TEXT,
    worker_id TEXT,
    service_seconds REAL,
    failure_reason INTEGER,
    failure_message TEXT
) STRICT;
CREATE INDEX jobs_unfinished ON jobs (key, profile, accepted_at, attempts) WHERE state = 1;
CREATE UNIQUE INDEX jobs_final_order ON jobs (final_order) WHERE final_order IS NOT NULL;
CREATE TABLE requests (
    request_id TEXT PRIMARY KEY, digest TEXT NOT NULL,
    first INTEGER NOT NULL, count INTEGER NOT NULL, at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX requests_at ON requests (at);
CREATE TABLE cordons (worker_id TEXT PRIMARY KEY, reason TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE connected (worker_id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
"""

_VERSION_2 = """
CREATE TABLE attempts (
    key INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    cause INTEGER NOT NULL,
    worker_id TEXT NOT NULL,
    at REAL NOT NULL,
    certain INTEGER NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (key, ordinal)
) STRICT, WITHOUT ROWID;
"""

# Results count up from 1 in the order they were stored, cancelled jobs count down from -1: both can
# be removed oldest first without an index of their own. `eras` is explained at `jobs.Era`.
_VERSION_3 = """
UPDATE jobs SET final_order = -numbered.place FROM (
    SELECT key, row_number() OVER (ORDER BY completed_at, key) AS place FROM jobs WHERE state = 5
) AS numbered WHERE jobs.key = numbered.key;
ALTER TABLE numbers ADD COLUMN cancelled_order INTEGER NOT NULL DEFAULT 0;
UPDATE numbers SET cancelled_order = cancelled;
CREATE TABLE eras (
    ordinal INTEGER PRIMARY KEY,
    store_id TEXT NOT NULL,
    last_key INTEGER NOT NULL,
    last_cursor INTEGER NOT NULL,
    next_generation INTEGER NOT NULL
) STRICT;
"""


class SchemaError(Exception):
    """The file is not a store that this program knows, or is damaged."""


def _first(connection: apsw.Connection) -> None:
    connection.execute(_VERSION_1)
    connection.execute(
        "INSERT INTO meta VALUES ('store_id', ?), ('generation', '0')", (secrets.token_hex(4),)
    )
    connection.execute("INSERT INTO numbers VALUES (1, 0, 0, 0, 0, 0)")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _keep_attempts(connection: apsw.Connection) -> None:
    connection.execute(_VERSION_2)


def _prepare_removal(connection: apsw.Connection) -> None:
    connection.execute(_VERSION_3)


STEPS: tuple[Callable[[apsw.Connection], None], ...] = (
    _first,
    _keep_attempts,
    _prepare_removal,
)
"""Step n makes version n + 1 out of version n; an empty file has version 0."""

VERSION = len(STEPS)


def prepare(connection: apsw.Connection, path: Path) -> None:
    """Checks the file's header and brings its tables up to this version.

    Only cheap checks: the whole file is looked at by `sqlite_check`.

    Raises:
        SchemaError: another program's file, a newer version, or no room for the copy.

    """
    if _value(connection, "PRAGMA journal_mode = WAL") != "wal":
        raise SchemaError("its file system cannot hold a write-ahead log; use a local disk")
    version = check_header(connection)
    if 0 < version < VERSION:
        _keep_copy(connection, path, version)
    upgrade(connection)


def upgrade(connection: apsw.Connection) -> None:
    """Takes the steps that are left, without a copy.

    Raises:
        SchemaError: as `check_header`.

    """
    for number in range(check_header(connection), VERSION):
        with connection:
            STEPS[number](connection)
            connection.execute(f"PRAGMA user_version = {number + 1}")


def check_header(connection: apsw.Connection) -> int:
    """The file's version; 0 for an empty one.

    Raises:
        SchemaError: another program's file, or a newer version.

    """
    if _value(connection, "SELECT count(*) FROM sqlite_schema") == 0:
        return 0
    if _value(connection, "PRAGMA application_id") != APPLICATION_ID:
        raise SchemaError("belongs to another program; configure another database")
    version = int(_value(connection, "PRAGMA user_version"))
    if not 1 <= version <= VERSION:
        raise SchemaError(
            f"has schema version {version}, this program knows 1 to {VERSION}; use the program "
            "that wrote it, or a newer one"
        )
    return version


def copy_path(path: Path, version: int) -> Path:
    """Where the copy goes that is made before a file of that version is changed."""
    return path.with_name(f"{path.name}.version-{version}")


def _keep_copy(connection: apsw.Connection, path: Path, version: int) -> None:
    """Copies the file as it is; a copy from an earlier, broken-off try is overwritten."""
    final = copy_path(path, version)
    partial = final.with_name(final.name + ".partial")
    try:
        partial.unlink(missing_ok=True)
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        copy = apsw.Connection(str(partial))
        try:
            with copy.backup("main", connection, "main") as backup:
                backup.step(-1)
            copy.execute("PRAGMA journal_mode = DELETE").fetchall()
        finally:
            copy.close()
        partial.replace(final)
    except (OSError, apsw.Error) as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise SchemaError(
            f"has schema version {version} and is to become {VERSION}, but no copy can be made "
            f"beside it first ({error}); make room or mend the directory's permissions"
        ) from None


def _value(connection: apsw.Connection, statement: str) -> Any:
    """The one value of a statement that always has one."""
    ((value,),) = connection.execute(statement)
    return value
