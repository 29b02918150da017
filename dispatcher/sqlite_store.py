"""The job store in one SQLite file: WAL, synchronous FULL, one writing thread, group commit.

Readers have a connection of their own and never wait for the writer.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import apsw

from dispatcher import sqlite_check, sqlite_lock, sqlite_retention
from dispatcher import sqlite_migrations as migrations
from dispatcher import sqlite_schema as schema
from dispatcher.backlog import Unfinished
from dispatcher.group_commit import SMALL_ROWS, GroupWriter, Operation
from dispatcher.jobs import Attempt, Final, Job, JobKey, JobState, NewJob
from dispatcher.ports import (
    Accepted,
    Recovered,
    RequestConflictError,
    Stored,
    StoreDamagedError,
    StoreFullError,
    StoreOpenError,
    StoreUnavailableError,
)
from dispatcher.store_rows import Numbers, RepeatedRequestError, Submission

T = TypeVar("T")

_ROOM_SECONDS = 0.05
# Two for each size of a group of small submissions, and all others.
_STATEMENTS = 2 * SMALL_ROWS + 64
_FIRST_SAFE_SQLITE = 3_051_003


class SqliteStore:
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
        self._path = path
        self._reserve_bytes = reserve_bytes
        self._lock_file: int | None = None
        self._writer: apsw.Connection | None = None
        self._reader: apsw.Connection | None = None
        self._groups = GroupWriter[apsw.Connection](self, on_commit=on_commit)
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="store-reader")
        self._numbers = Numbers()
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

    async def submit(
        self,
        request_id: str,
        digests: Sequence[str],
        jobs: Sequence[NewJob],
        at: float,
        on_kept: Callable[[Accepted], None] = lambda _: None,
    ) -> Accepted:
        """See `ports.JobStore.submit`."""
        self._check_room()
        submission = Submission(request_id, digests, jobs, at)
        accepted: Accepted | None = await self._groups.queue(
            lambda connection: schema.submit(connection, self._numbers, submission),
            rows=len(jobs),
            submission=submission if len(jobs) < SMALL_ROWS else None,
            on_kept=lambda found: None if found is None else on_kept(found),
        )
        if accepted is None:
            raise RequestConflictError(request_id)
        return accepted

    async def settle(self, finals: Sequence[Final], at: float) -> int | None:
        """See `ports.JobStore.settle`."""
        return await self._groups.queue(
            lambda connection: schema.settle(connection, self._numbers, finals, at),
            rows=len(finals),
        )

    async def count_attempts(self, attempts: Sequence[tuple[JobKey, Attempt]]) -> None:
        """See `ports.JobStore.count_attempts`."""
        await self._groups.queue(
            lambda connection: schema.count_attempts(connection, attempts), rows=len(attempts)
        )

    async def set_cordon(self, worker_id: str, reason: str | None) -> None:
        """See `ports.JobStore.set_cordon`."""
        await self._groups.queue(
            lambda connection: schema.set_cordon(connection, worker_id, reason)
        )

    async def set_connected(self, worker_id: str, is_connected: bool) -> None:
        """See `ports.JobStore.set_connected`."""
        await self._groups.queue(
            lambda connection: schema.set_connected(connection, worker_id, is_connected)
        )

    async def forget_requests(self, before: float, limit: int) -> int:
        """See `ports.JobStore.forget_requests`."""
        return await self._groups.queue(
            lambda connection: schema.forget_requests(connection, before, limit), rows=limit
        )

    async def remove_finals(self, *, before: float | None, keep: int | None, limit: int) -> int:
        """See `ports.JobStore.remove_finals`."""
        return await self._groups.queue(
            lambda connection: sqlite_retention.remove_finals(
                connection, before=before, keep=keep, limit=limit
            ),
            rows=limit,
        )

    async def check(self) -> str | None:
        """See `ports.JobStore.check`."""
        try:
            return await asyncio.to_thread(sqlite_check.fault, self._path, is_thorough=False)
        except apsw.Error as error:
            raise StoreUnavailableError(f"{self._path} cannot be read now: {error}") from None

    async def jobs(self, keys: Sequence[JobKey]) -> list[Job | None]:
        """See `ports.JobStore.jobs`."""
        return await self._read(lambda connection: schema.jobs(connection, keys))

    async def unfinished(self, keys: Sequence[JobKey]) -> dict[JobKey, NewJob]:
        """See `ports.JobStore.unfinished`."""
        return await self._read(lambda connection: schema.unfinished(connection, keys))

    async def page(
        self, after: JobKey, limit: int, states: frozenset[JobState] | None
    ) -> list[Job]:
        """See `ports.JobStore.page`."""
        return await self._read(lambda connection: schema.page(connection, after, limit, states))

    async def results(self, after: int, limit: int) -> list[Stored]:
        """See `ports.JobStore.results`."""
        return await self._read(lambda connection: schema.results(connection, after, limit))

    async def last_cursor(self) -> int:
        """See `ports.JobStore.last_cursor`."""
        return await self._read(schema.last_cursor)

    async def close(self) -> None:
        """See `ports.JobStore.close`."""
        await self._groups.stop()
        await asyncio.to_thread(self._reading.shutdown)
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

    def _act(
        self,
        connection: apsw.Connection,
        group: Sequence[Operation[apsw.Connection]],
        *,
        is_joined: bool,
    ) -> None:
        """Does what the operations want; when joined, all small submissions at once."""
        small = [each for each in group if each.submission is not None] if is_joined else []
        if len(small) > 1:
            submissions = [each.submission for each in small if each.submission is not None]
            kept = schema.submit_all(connection, self._numbers, submissions)
            for operation, accepted in zip(small, kept, strict=True):
                operation.value = accepted
            group = [each for each in group if each.submission is None]
        for operation in group:
            operation.value = operation.act(connection)

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

    async def _read(self, act: Callable[[apsw.Connection], T]) -> T:
        assert self._reader is not None
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._reading, act, self._reader)
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
