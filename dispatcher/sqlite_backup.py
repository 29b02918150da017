"""Copies of a SQLite store: made while the dispatcher runs, put back while it does not.

A copy is taken inside one read transaction, so it is the store at one instant, however long it
takes and whatever is written meanwhile. It is checked before it gets its final name.
"""

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw

from dispatcher import sqlite_check, sqlite_lock
from dispatcher import sqlite_migrations as migrations

Progress = Callable[[int, int], None]
"""Called with the pages that are copied and with how many there are."""

_STEP_PAGES = 2048
_GENERATIONS_AHEAD = 1 << 16


class BackupError(Exception):
    """Nothing was changed. The text names the file and the fix."""


def backup(database: Path, target: Path, *, force: bool, progress: Progress) -> int:
    """Copies the store to `target`, readable by its owner only; returns the copy's bytes.

    Raises:
        BackupError: no store there, the target exists, no room, or the copy is damaged.

    """
    if target.exists() and not force:
        raise BackupError(f"{target}: exists; choose another name, or overwrite it with --force")
    if not database.exists():
        raise BackupError(f"{database}: no such store; name it with --database or --state")
    with _partial(target) as partial:
        _copy(database, partial, progress)
        _check(partial, f"the copy of {database} is damaged, and so may the store be")
        _publish(partial, target, force=force)
    return target.stat().st_size


def restore(source: Path, database: Path, *, progress: Progress) -> Path | None:
    """Puts a copy in the store's place; returns where the store went that was there.

    Jobs that were accepted after the copy was made are gone, and their names stay unknown; see
    `jobs.Era`. Epochs go on above those of both files.

    Raises:
        BackupError: the dispatcher runs, the source is no sound copy, or there is no room.

    """
    if not source.is_file():
        raise BackupError(f"{source}: no such file")
    try:
        _make_directory(database.parent)
        lock = sqlite_lock.take(database)
        _adopt(database.with_name(database.name + ".lock"))
    except sqlite_lock.LockedError as error:
        raise BackupError(str(error)) from None
    except OSError as error:
        raise BackupError(f"{database}: {error.strerror}; run this as the store's owner") from None
    try:
        with _partial(database) as partial:
            _copy(source, partial, progress)
            _check(partial, f"{source} is damaged")
            _begin_era(partial, at_least=_generation(database))
            _adopt(partial)
            kept = _set_aside(database)
            _publish(partial, database, force=True)
    finally:
        os.close(lock)
    return kept


def check(database: Path) -> str | None:
    """What is damaged in a store, looked at thoroughly; None when nothing is.

    Raises:
        BackupError: there is no store that could be looked at.

    """
    if not database.exists():
        raise BackupError(f"{database}: no such store; name it with --database")
    try:
        _check_header(database)
        return sqlite_check.fault(database, is_thorough=True)
    except apsw.Error as error:
        raise BackupError(f"{database}: cannot be read: {error}") from None


@contextlib.contextmanager
def _partial(target: Path) -> Iterator[Path]:
    """An empty private file beside the target, gone afterwards unless it was renamed."""
    partial = target.with_name(f"{target.name}.{secrets.token_hex(4)}.partial")
    try:
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        yield partial
    except apsw.FullError:
        raise BackupError(f"{target}: no room on the disk of {target.parent}") from None
    except apsw.Error as error:
        raise BackupError(f"{target}: cannot be copied: {error}") from None
    except OSError as error:
        where = error.filename or target
        raise BackupError(f"{where}: {error.strerror}; choose another place") from None
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            partial.with_name(partial.name + suffix).unlink(missing_ok=True)


def _copy(source: Path, target: Path, progress: Progress) -> None:
    _check_header(source)
    reading = apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)
    writing = apsw.Connection(str(target))
    try:
        reading.set_busy_timeout(5000)
        # Without the transaction every write to the source would start the copy anew.
        reading.execute("BEGIN; SELECT count(*) FROM meta").fetchall()
        with writing.backup("main", reading, "main") as copying:
            while not copying.done:
                copying.step(_STEP_PAGES)
                progress(copying.page_count - copying.remaining, copying.page_count)
        writing.execute("PRAGMA journal_mode = DELETE").fetchall()
    finally:
        writing.close()
        reading.close()


def _check_header(path: Path) -> None:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        connection.set_busy_timeout(5000)
        version = migrations.check_header(connection)
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise BackupError(f"{path}: no store: {error}") from None
    except migrations.SchemaError as error:
        raise BackupError(f"{path}: {error}") from None
    finally:
        connection.close()
    if version == 0:
        raise BackupError(f"{path}: is empty, no store")


def _check(copy: Path, blame: str) -> None:
    fault = sqlite_check.fault(copy, is_thorough=True)
    if fault is not None:
        raise BackupError(f"{blame}: {fault}")


def _publish(partial: Path, target: Path, *, force: bool) -> None:
    """Gives a whole file its name, on disk before this returns."""
    file = os.open(partial, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
    if force:
        partial.replace(target)
    else:
        os.link(partial, target)
    directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _begin_era(path: Path, *, at_least: int) -> None:
    """Makes a copy the beginning of a new stretch of the store's life."""
    connection = apsw.Connection(str(path))
    try:
        migrations.upgrade(connection)
        with connection:
            # A store that cannot be read may have been opened any number of times since.
            connection.execute(
                "UPDATE meta SET value = max(CAST(value AS INTEGER) + ?, ?) "
                "WHERE name = 'generation'",
                (_GENERATIONS_AHEAD, at_least),
            )
            connection.execute(
                "INSERT INTO eras (store_id, last_key, last_cursor, next_generation) SELECT "
                "(SELECT value FROM meta WHERE name = 'store_id'), accepted, final_order, "
                "(SELECT value + 1 FROM meta WHERE name = 'generation') FROM numbers"
            )
            connection.execute(
                "UPDATE meta SET value = ? WHERE name = 'store_id'", (secrets.token_hex(4),)
            )
    finally:
        connection.close()


def _generation(database: Path) -> int:
    """How often the store in place was opened; 0 when it cannot be read."""
    if not database.exists():
        return 0
    try:
        connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            statement = "SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'generation'"
            ((generation,),) = connection.execute(statement)
        finally:
            connection.close()
    except (apsw.Error, ValueError):
        return 0
    return int(generation)


def _make_directory(directory: Path) -> None:
    if not directory.exists():
        directory.mkdir(mode=0o700)
        _adopt(directory)


def _adopt(path: Path) -> None:
    """Root restores for the user that the dispatcher runs as: the owner of the directory."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def _set_aside(database: Path) -> Path | None:
    """Gives the store in place a second name, so that its first is never without a store.

    Its log goes along: left behind, it would spoil the restored file.
    """
    if not database.exists():
        return None
    with contextlib.suppress(apsw.Error):
        connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            connection.close()
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    kept = database.with_name(f"{database.name}.before-restore-{stamp}-{secrets.token_hex(2)}")
    os.link(database, kept)
    for suffix in ("-wal", "-shm"):
        log = database.with_name(database.name + suffix)
        if log.exists():
            log.rename(kept.with_name(kept.name + suffix))
    return kept
