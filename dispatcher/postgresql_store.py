"""The job store in a PostgreSQL database: one session writes, in groups; another one reads.

Several dispatchers may have the same database; one is active, and the others find the lock taken.
Whoever becomes active raises the generation. Every transaction ends with an update that finds its
row by the generation, so the database itself refuses what a dispatcher writes that has been
replaced: that one learns that it is *fenced*.

A session that is lost is made anew, with the lock, unless the generation was raised meanwhile. If
it was lost during a commit, nobody knows yet whether that was done: the callers hear that the store
is unavailable, and the number of commits in the database tells later. If it was done, `on_kept` is
called then; calls that are repeated find what is there.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

from dispatcher import postgresql_migrations as migrations
from dispatcher import postgresql_schema as schema
from dispatcher import postgresql_session as sessions
from dispatcher import store_rows
from dispatcher.backlog import Unfinished
from dispatcher.database import PostgresqlUrl
from dispatcher.group_commit import Operation, answer
from dispatcher.grouped_store import GroupedStore
from dispatcher.ports import (
    Recovered,
    StoreDamagedError,
    StoreOpenError,
    StoreTakenError,
    StoreUnavailableError,
)
from dispatcher.postgresql_migrations import Connection
from dispatcher.store_rows import Numbers, RepeatedRequestError

_RETRY_SECONDS = 0.2
_SCRAPE_SECONDS = 1.0
# With more unfinished jobs than this, the server's own vacuum has to do.
_MAX_VACUUMED_JOBS = 10_000


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A group whose commit got no answer, and the number of commits if it was done."""

    group: tuple[Operation[Connection], ...]
    commits: int


class PostgresqlStore(GroupedStore[Connection]):
    """See `ports.JobStore`."""

    def __init__(
        self,
        url: PostgresqlUrl,
        *,
        password_file: Path | None = None,
        on_commit: Callable[[int, float], None] = lambda _rows, _seconds: None,
        on_fenced: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        """`on_commit` hears of every transaction: its rows and seconds.

        `on_fenced` is called once, when another dispatcher has become active: nothing is written
        any more. Both are called in the writing thread.
        """
        super().__init__(schema, on_commit=on_commit, rests_always=True)
        self._url = url
        self._password_file = password_file
        self._on_fenced = on_fenced
        self._writer: Connection | None = None
        self._reader: Connection | None = None
        self._generation = 0
        self._commits = 0
        self._doubt: _Doubt | None = None
        self._is_fenced = False
        self._no_session_before = 0.0

    def open(self) -> Recovered:
        """See `ports.JobStore.open`. May be called again after these two errors.

        Raises:
            StoreOpenError: refused by the server, newer than this program, another program's.
            StoreTakenError: another dispatcher is active.
            StoreUnavailableError: the server does not answer now.

        """
        try:
            writer = self._writer
            if writer is None or sessions.is_lost(writer):
                writer = self._writer = self._connect(is_writer=True)
            if not sessions.take_lock(writer):
                raise StoreTakenError(
                    f"{self._url}: in use by another dispatcher ({sessions.holder(writer)})"
                )
            migrations.prepare(writer)
            recovered, self._commits = schema.recover(writer, self._numbers)
            reader = self._reader = self._connect(is_writer=False)
            self._generation = recovered.generation
        except migrations.SchemaError as error:
            raise StoreOpenError(f"{self._url}: {error}") from None
        except psycopg.Error as error:
            raise self._unopened(error) from None
        self._groups.start()
        return replace(recovered, unfinished=self._unfinished(reader))

    def _unopened(self, error: psycopg.Error) -> Exception:
        """Missing permissions do not come by themselves."""
        if isinstance(error, psycopg.errors.InsufficientPrivilege):
            return StoreOpenError(
                f"{self._url}: {error.diag.message_primary}; make the dispatcher's user the owner "
                "of the database (createdb --owner)"
            )
        return self.translated(error)

    def _connect(self, *, is_writer: bool) -> Connection:
        return sessions.connect(self._url, self._password_file, is_writer=is_writer)

    def _unfinished(self, reader: Connection) -> Iterator[Unfinished]:
        try:
            yield from store_rows.runs(schema.unfinished_rows(reader))
        except psycopg.Error as error:
            raise StoreOpenError(str(self.translated(error))) from None

    async def check(self) -> str | None:
        """See `ports.JobStore.check`: whether rows and counts agree. Pages are the server's."""
        try:
            return await asyncio.to_thread(self._fault)
        except StoreDamagedError as error:
            return str(error)
        except StoreOpenError as error:
            raise StoreUnavailableError(str(error)) from None

    def _fault(self) -> str | None:
        """In a session of its own: with a million unfinished jobs it takes a while."""
        try:
            with contextlib.closing(self._connect(is_writer=False)) as connection:
                return schema.fault(connection)
        except psycopg.Error as error:
            raise self.translated(error) from None

    def sizes(self) -> dict[str, float]:
        """Bytes on the server's disk; nothing while standing by, or without an answer.

        For any thread.
        """
        if not self._generation:
            return {}
        try:
            size = self._reading.submit(self._act_reading, schema.size_bytes)
            return {"database": size.result(_SCRAPE_SECONDS)}
        except (TimeoutError, RuntimeError, StoreUnavailableError, StoreOpenError):
            return {}

    async def close(self) -> None:
        """See `ports.JobStore.close`."""
        await self._end_threads()
        if self._writer is not None:
            await asyncio.to_thread(sessions.release_lock, self._writer)
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()

    # -- writing: see `group_commit.Transactions` ------------------------------------------------

    def commit(self, group: Sequence[Operation[Connection]]) -> None:
        """One transaction; the server has flushed it when this returns."""
        try:
            self._commit(group)
        except psycopg.Error:
            # Found lost, as after a restart of the server: with a new session nobody need hear it.
            if self._doubt is not None or self._writer is None:
                raise
            if not sessions.is_lost(self._writer):
                raise
            self._commit(group)

    def _commit(self, group: Sequence[Operation[Connection]]) -> None:
        connection = self._session()
        before = self._numbers.copy()
        try:
            try:
                self._act(connection, group, is_joined=True)
            except RepeatedRequestError:
                connection.rollback()
                self._numbers.restore(before)
                self._act(connection, group, is_joined=False)
            schema.write_numbers(
                connection, self._numbers, generation=self._generation, commits=self._commits + 1
            )
        except BaseException as error:
            self._numbers.restore(before)
            with contextlib.suppress(psycopg.Error):
                connection.rollback()
            if isinstance(error, schema.FencedError):
                raise self._fenced() from None
            raise
        try:
            connection.commit()
        except psycopg.Error:
            self._numbers.restore(before)
            if sessions.is_lost(connection):
                self._doubt = _Doubt(tuple(map(replace, group)), self._commits + 1)
            raise
        self._commits += 1

    def is_of_one(self, error: Exception) -> bool:
        """Values that the server cannot take, not a server that cannot do anything."""
        everybodys = psycopg.OperationalError | psycopg.InterfaceError | StoreUnavailableError
        return not isinstance(error, everybodys)

    def translated(self, error: Exception) -> Exception:
        """See `postgresql_session.translated`."""
        return sessions.translated(self._url, error)

    def rest(self, *, has_written: bool) -> None:
        """Each second without work: removes old numbers, and sees whether the session lives."""
        try:
            writer = self._session()
            if has_written and self._unfinished_count <= _MAX_VACUUMED_JOBS:
                writer.autocommit = True
                try:
                    # What is left when all jobs are final is an empty file.
                    writer.execute("VACUUM (SKIP_LOCKED) open_jobs")
                finally:
                    writer.autocommit = False
            else:
                with writer.transaction():
                    generation, _ = schema.read_numbers(writer, self._numbers)
                if generation != self._generation:
                    self._fenced()
        except (psycopg.Error, StoreUnavailableError, StoreOpenError):
            return  # Whoever writes next will hear it.

    @property
    def _unfinished_count(self) -> int:
        numbers = self._numbers
        return numbers.accepted - numbers.done - numbers.failed - numbers.cancelled

    def _session(self) -> Connection:
        """The session that writes; made anew when it was lost.

        Raises:
            StoreUnavailableError: there is none now, or there never will be one again.

        """
        if self._is_fenced:
            raise self._fenced()
        if self._writer is not None and not sessions.is_lost(self._writer):
            return self._writer
        if time.monotonic() < self._no_session_before:
            raise StoreUnavailableError(f"{self._url} could not be reached just now")
        try:
            self._writer = self._renewed()
        except StoreOpenError as error:
            raise StoreUnavailableError(str(error)) from None
        finally:
            self._no_session_before = time.monotonic() + _RETRY_SECONDS
        return self._writer

    def _renewed(self) -> Connection:
        connection = self._connect(is_writer=True)
        try:
            is_ours = sessions.take_lock(connection)
            with connection.transaction():
                generation, commits = schema.read_numbers(connection, found := Numbers())
            if generation != self._generation:
                raise self._fenced()
            if not is_ours:
                raise StoreUnavailableError(
                    f"{self._url}: the session before is not over yet, or another dispatcher is "
                    "becoming active"
                )
        except psycopg.Error as error:
            connection.close()
            raise self.translated(error) from None
        except BaseException:
            connection.close()
            raise
        self._numbers.restore(found)
        self._commits = commits
        self._resolve()
        return connection

    def _resolve(self) -> None:
        """Tells who has to know that a commit without an answer was done."""
        doubt, self._doubt = self._doubt, None
        if doubt is not None and self._commits >= doubt.commits:
            answer(doubt.group)

    def _fenced(self) -> StoreUnavailableError:
        reason = (
            f"{self._url}: another dispatcher has become active; this one must not write any more"
        )
        if not self._is_fenced:
            self._is_fenced = True
            self._on_fenced(reason)
        return StoreUnavailableError(reason)

    # -- reading ---------------------------------------------------------------------------------

    def _act_reading(self, act: Callable[[Connection], Any]) -> Any:
        """In the reading thread; once more when the session turns out to be lost."""
        for is_again in (False, True):
            try:
                if self._reader is None or sessions.is_lost(self._reader):
                    self._reader = self._connect(is_writer=False)
                return act(self._reader)
            except StoreOpenError as error:
                raise StoreUnavailableError(str(error)) from None
            except psycopg.Error as error:
                is_lost = self._reader is not None and sessions.is_lost(self._reader)
                if is_again or not is_lost:
                    raise self.translated(error) from None
        raise AssertionError("the second try returns or raises")
