"""The job store in one SQLite file: WAL, synchronous FULL, one writing thread, group commit.

Readers have a connection of their own and never wait for the writer.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw

from dispatcher import sqlite_check, sqlite_lock
from dispatcher import sqlite_migrations as migrations
from dispatcher import sqlite_schema as schema
from dispatcher.backlog import Unfinished
from dispatcher.group_commit import SMALL_ROWS, Operation
from dispatcher.grouped_store import GroupedStore
from dispatcher.ports import (
    Recovered,
    StoreDamagedError,
    StoreFullError,
    StoreOpenError,
    StoreUnavailableError,
)
from dispatcher.store_rows import Numbers, RepeatedRequestError

_ROOM_SECONDS = 0.05
# Two for each size of a group of small submissions, and all others.
_STATEMENTS = 2 * SMALL_ROWS + 64
_FIRST_SAFE_SQLITE = 3_051_003


class SqliteStore(GroupedStore[apsw.Connection]):
    """See `ports.JobStore`."""

    def __init__(
        self,
        path: Path,
        *,
        reserve_bytes: int = 0,
        on_commit: Callable[[int, float], None] = lambda _rows, _seconds: None,
    ) -> None:
        """With less free disk than `reserve_bytes`, nothing new is accepted.

        `on_commit` hears of every transaction, in the writing thread: its rows and seconds.
        """
        super().__init__(schema, on_commit=on_commit)
        self._path = path
        self._reserve_bytes = reserve_bytes
        self._lock_file: int | None = None
        self._writer: apsw.Connection | None = None
        self._reader: apsw.Connection | None = None
        self._has_room_until = 0.0

    def open(self) -> Recovered:
        """See `ports.JobStore.open`.

        Raises:
            StoreOpenError: locked by another process, damaged, newer than this program, unusable.

        """
        if apsw.SQLITE_VERSION_NUMBER < _FIRST_SAFE_SQLITE:
            raise StoreOpenError(
                f"SQLite {apsw.sqlite_lib_version()} can corrupt a WAL database with two "
                "connections; install apsw 3.54 or newer"
            )
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock_file = sqlite_lock.take(self._path)
            writer = _connect(self._path, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
            self._writer = writer
            self._path.chmod(0o600)
            migrations.prepare(writer, self._path)
            reader = _connect(self._path, apsw.SQLITE_OPEN_READONLY)
            self._reader = reader
            recovered = schema.recover(writer, self._numbers, self._unfinished(reader))
        except sqlite_lock.LockedError as error:
            raise StoreOpenError(str(error)) from None
        except OSError as error:
            raise StoreOpenError(f"{self._path}: cannot be used: {error.strerror}") from None
        except apsw.Error as error:
            raise self._unusable(error) from None
        except migrations.SchemaError as error:
            raise StoreOpenError(f"{self._path}: {error}") from None
        self._groups.start()
        return recovered

    def _unfinished(self, reader: apsw.Connection) -> Iterator[Unfinished]:
        try:
            yield from schema.unfinished_runs(reader)
        except apsw.Error as error:
            raise self._unusable(error) from None

    def _unusable(self, error: apsw.Error) -> StoreOpenError:
        return StoreOpenError(
            f"{self._path}: not a usable database ({error}); restore it from a backup or "
            "move it away to begin with an empty one"
        )

    async def check(self) -> str | None:
        """See `ports.JobStore.check`."""
        try:
            return await asyncio.to_thread(sqlite_check.fault, self._path, is_thorough=False)
        except apsw.Error as error:
            raise StoreUnavailableError(f"{self._path} cannot be read now: {error}") from None

    async def close(self) -> None:
        """See `ports.JobStore.close`."""
        await self._end_threads()
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def _check_room(self) -> None:
        # Not for each of a thousand a second: the call lets go of the interpreter's lock.
        now = time.monotonic()
        if now < self._has_room_until:
            return
        try:
            disk = os.statvfs(self._path)
        except OSError as error:
            raise StoreUnavailableError(f"{self._path}: {error.strerror}") from None
        free = disk.f_bavail * disk.f_frsize
        if free < self._reserve_bytes:
            raise StoreFullError(
                f"the disk of {self._path} is full but for {free >> 20} MiB, and disk_reserve_mib "
                f"= {self._reserve_bytes >> 20} is for the results of accepted jobs; free some "
                "space, nothing needs a restart"
            )
        self._has_room_until = now + _ROOM_SECONDS

    # -- writing: see `group_commit.Transactions` ------------------------------------------------

    def commit(self, group: Sequence[Operation[apsw.Connection]]) -> None:
        """One transaction, one flush to the disk."""
        assert self._writer is not None
        try:
            with _transaction(self._writer, self._numbers):
                self._act(self._writer, group, is_joined=True)
        except RepeatedRequestError:
            with _transaction(self._writer, self._numbers):
                self._act(self._writer, group, is_joined=False)

    def is_of_one(self, error: Exception) -> bool:
        """A full or broken disk is everybody's."""
        return not isinstance(error, apsw.FullError | apsw.IOError)

    def rest(self, *, has_written: bool) -> None:
        """Old pages in the log may hold numbers that the database has forgotten."""
        if has_written and self._writer is not None:
            _truncate_log(self._writer)

    def translated(self, error: Exception) -> Exception:
        """What is wrong with the disk, in words for a person."""
        if isinstance(error, apsw.FullError):
            return StoreFullError(
                f"the disk of {self._path} is full; free some space, nothing needs a restart"
            )
        if isinstance(error, apsw.CorruptError | apsw.NotADBError):
            return StoreDamagedError(
                f"{self._path} is damaged ({error}); stop the dispatcher and restore a backup"
            )
        if isinstance(error, apsw.ReadOnlyError):
            return StoreUnavailableError(
                f"{self._path} cannot be written: its file system is read-only; mount it writable "
                "again, nothing needs a restart"
            )
        if isinstance(error, apsw.Error | OSError):
            return StoreUnavailableError(f"{self._path} cannot be written now: {error}")
        return error

    # -- reading ---------------------------------------------------------------------------------

    def _act_reading(self, act: Callable[[apsw.Connection], Any]) -> Any:
        assert self._reader is not None
        try:
            return act(self._reader)
        except apsw.Error as error:
            raise StoreUnavailableError(f"{self._path} cannot be read now: {error}") from None


def _connect(path: Path, flags: int) -> apsw.Connection:
    connection = apsw.Connection(str(path), flags=flags, statementcachesize=_STATEMENTS)
    connection.set_busy_timeout(5000)
    for pragma in ("secure_delete = ON", "synchronous = FULL", "cache_size = -16384"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


@contextlib.contextmanager
def _transaction(connection: apsw.Connection, numbers: Numbers) -> Iterator[None]:
    """Everything or nothing, the counters in memory included."""
    before = numbers.copy()
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        schema.write_numbers(connection, numbers)
        connection.execute("COMMIT")
    except BaseException:
        numbers.restore(before)
        with contextlib.suppress(apsw.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        raise


def _truncate_log(connection: apsw.Connection) -> None:
    with contextlib.suppress(apsw.Error):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
