"""What the SQL stores have in common: each call is one function of a schema, run in a thread.

Calls that write run in groups (`group_commit`) and may change the counters; calls that read run one
after the other in a thread of their own. A store adds its connections, its transaction and what its
errors mean.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, Protocol, TypeVar

from dispatcher.group_commit import SMALL_ROWS, GroupWriter, Operation
from dispatcher.jobs import Attempt, Final, Job, JobKey, JobState, NewJob
from dispatcher.ports import Accepted, RequestConflictError, Stored
from dispatcher.store_rows import Numbers, Submission

T = TypeVar("T")
Connection = TypeVar("Connection")
_Connection = TypeVar("_Connection", contravariant=True)


class Schema(Protocol[_Connection]):
    """The statements of one kind of database: a module whose functions are these.

    Those that write do so in a transaction of the caller, who writes the counters at its end.
    """

    def submit_all(
        self, connection: _Connection, numbers: Numbers, submissions: Sequence[Submission]
    ) -> list[Accepted]:
        """Keeps several small batches at once.

        Raises:
            RepeatedRequestError: not all of them are new; the transaction must be rolled back.

        """
        ...

    def submit(
        self, connection: _Connection, numbers: Numbers, submission: Submission
    ) -> Accepted | None:
        """Keeps a batch; None when the request id is known with another content."""
        ...

    def settle(
        self, connection: _Connection, numbers: Numbers, finals: Sequence[Final], at: float
    ) -> int | None:
        """See `ports.JobStore.settle`; returns the first place in the results' sequence."""
        ...

    def count_attempts(
        self, connection: _Connection, attempts: Sequence[tuple[JobKey, Attempt]]
    ) -> None:
        """See `ports.JobStore.count_attempts`; of each job's the newest only are kept."""
        ...

    def set_cordon(self, connection: _Connection, worker_id: str, reason: str | None) -> None:
        """See `ports.JobStore.set_cordon`."""
        ...

    def set_connected(self, connection: _Connection, worker_id: str, is_connected: bool) -> None:
        """See `ports.JobStore.set_connected`."""
        ...

    def forget_requests(self, connection: _Connection, before: float, limit: int) -> int:
        """See `ports.JobStore.forget_requests`."""
        ...

    def remove_finals(
        self,
        connection: _Connection,
        numbers: Numbers,
        *,
        before: float | None,
        keep: int | None,
        limit: int,
    ) -> int:
        """See `ports.JobStore.remove_finals`."""
        ...

    def jobs(self, connection: _Connection, keys: Sequence[JobKey]) -> list[Job | None]:
        """See `ports.JobStore.jobs`."""
        ...

    def unfinished(self, connection: _Connection, keys: Sequence[JobKey]) -> dict[JobKey, NewJob]:
        """See `ports.JobStore.unfinished`."""
        ...

    def page(
        self,
        connection: _Connection,
        after: JobKey,
        limit: int,
        states: frozenset[JobState] | None,
    ) -> list[Job]:
        """See `ports.JobStore.page`."""
        ...

    def results(self, connection: _Connection, after: int, limit: int) -> list[Stored]:
        """See `ports.JobStore.results`."""
        ...

    def last_cursor(self, connection: _Connection) -> int:
        """See `ports.JobStore.last_cursor`."""
        ...


class GroupedStore(ABC, Generic[Connection]):
    """See `ports.JobStore`. The abstract methods are those of `group_commit.Transactions`."""

    def __init__(
        self,
        schema: Schema[Connection],
        *,
        on_commit: Callable[[int, float], None],
        rests_always: bool = False,
    ) -> None:
        """See `GroupWriter` for what the two mean."""
        self._schema = schema
        self._numbers = Numbers()
        """The writing thread's, and that of who opens the store before it."""
        self._groups = GroupWriter[Connection](self, on_commit=on_commit, rests_always=rests_always)
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="store-reader")

    # -- what differs ----------------------------------------------------------------------------

    @abstractmethod
    def commit(self, group: Sequence[Operation[Connection]]) -> None:
        """Does all operations in one transaction, or none; sets their values."""

    @abstractmethod
    def is_of_one(self, error: Exception) -> bool:
        """Whether another group could have been kept."""

    @abstractmethod
    def translated(self, error: Exception) -> Exception:
        """What the callers hear."""

    @abstractmethod
    def rest(self, *, has_written: bool) -> None:
        """Nothing has queued up for a second, or for good."""

    @abstractmethod
    def _act_reading(self, act: Callable[[Connection], Any]) -> Any:
        """Calls it with a connection that reads; in the reading thread.

        Raises:
            StoreUnavailableError: it cannot be read now.

        """

    def _check_room(self) -> None:
        """Before anything new is queued.

        Raises:
            StoreFullError: what room there is must be left for the results.
            StoreUnavailableError: nobody can tell.

        """

    # -- writing ---------------------------------------------------------------------------------

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
            lambda connection: self._schema.submit(connection, self._numbers, submission),
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
            lambda connection: self._schema.settle(connection, self._numbers, finals, at),
            rows=len(finals),
        )

    async def count_attempts(self, attempts: Sequence[tuple[JobKey, Attempt]]) -> None:
        """See `ports.JobStore.count_attempts`."""
        await self._groups.queue(
            lambda connection: self._schema.count_attempts(connection, attempts),
            rows=len(attempts),
        )

    async def set_cordon(self, worker_id: str, reason: str | None) -> None:
        """See `ports.JobStore.set_cordon`."""
        await self._groups.queue(
            lambda connection: self._schema.set_cordon(connection, worker_id, reason)
        )

    async def set_connected(self, worker_id: str, is_connected: bool) -> None:
        """See `ports.JobStore.set_connected`."""
        await self._groups.queue(
            lambda connection: self._schema.set_connected(connection, worker_id, is_connected)
        )

    async def forget_requests(self, before: float, limit: int) -> int:
        """See `ports.JobStore.forget_requests`."""
        return await self._groups.queue(
            lambda connection: self._schema.forget_requests(connection, before, limit), rows=limit
        )

    async def remove_finals(self, *, before: float | None, keep: int | None, limit: int) -> int:
        """See `ports.JobStore.remove_finals`."""
        return await self._groups.queue(
            lambda connection: self._schema.remove_finals(
                connection, self._numbers, before=before, keep=keep, limit=limit
            ),
            rows=limit,
        )

    def _act(
        self, connection: Connection, group: Sequence[Operation[Connection]], *, is_joined: bool
    ) -> None:
        """Does what the operations want; when joined, all small submissions at once.

        Raises:
            RepeatedRequestError: joined they cannot be done; the transaction must be rolled back.

        """
        small = [each for each in group if each.submission is not None] if is_joined else []
        if len(small) > 1:
            submissions = [each.submission for each in small if each.submission is not None]
            kept = self._schema.submit_all(connection, self._numbers, submissions)
            for operation, accepted in zip(small, kept, strict=True):
                operation.value = accepted
            group = [each for each in group if each.submission is None]
        for operation in group:
            operation.value = operation.act(connection)

    # -- reading ---------------------------------------------------------------------------------

    async def jobs(self, keys: Sequence[JobKey]) -> list[Job | None]:
        """See `ports.JobStore.jobs`."""
        return await self._read(lambda connection: self._schema.jobs(connection, keys))

    async def unfinished(self, keys: Sequence[JobKey]) -> dict[JobKey, NewJob]:
        """See `ports.JobStore.unfinished`."""
        return await self._read(lambda connection: self._schema.unfinished(connection, keys))

    async def page(
        self, after: JobKey, limit: int, states: frozenset[JobState] | None
    ) -> list[Job]:
        """See `ports.JobStore.page`."""
        return await self._read(
            lambda connection: self._schema.page(connection, after, limit, states)
        )

    async def results(self, after: int, limit: int) -> list[Stored]:
        """See `ports.JobStore.results`."""
        return await self._read(lambda connection: self._schema.results(connection, after, limit))

    async def last_cursor(self) -> int:
        """See `ports.JobStore.last_cursor`."""
        return await self._read(self._schema.last_cursor)

    async def _read(self, act: Callable[[Connection], T]) -> T:
        loop = asyncio.get_running_loop()
        found: T = await loop.run_in_executor(self._reading, self._act_reading, act)
        return found

    async def _end_threads(self) -> None:
        """What is queued is written."""
        await self._groups.stop()
        await asyncio.to_thread(self._reading.shutdown)
