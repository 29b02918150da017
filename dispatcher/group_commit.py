"""Group commit: the one thread that writes a store, and what queues up for it.

Every call queues an operation; the writer commits whatever has queued up (at most 1,000 rows) in
one transaction and one fsync, then answers. While it commits, the next group queues up, so the
group grows with the load. Small groups begin at least 2 ms apart: a lone call waits for company
only if another has just been served, and what costs the most, waking threads and peers, is paid
once for all of a group. Calls that come together are company enough.
"""

import asyncio
import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from dispatcher.store_rows import Submission

T = TypeVar("T")
Connection = TypeVar("Connection")

SMALL_ROWS = 64
"""Below so many rows a group waits for company."""
_MAX_GROUP_ROWS = 1000
_PACE_SECONDS = 0.002
_COMPANY = 4
_IDLE_SECONDS = 1.0


@dataclass(slots=True)
class Operation(Generic[Connection]):
    """One queued call: what to do in the transaction, how big it is, whom to answer."""

    act: Callable[[Connection], Any]
    rows: int
    answer: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    on_kept: Callable[[Any], None] | None = None
    submission: Submission | None = None
    value: Any = None
    error: Exception | None = None


class Transactions(Protocol[Connection]):
    """Where groups are kept. All is called in the writing thread."""

    def commit(self, group: Sequence[Operation[Connection]]) -> None:
        """Does all operations in one transaction, or none; sets their values."""
        ...

    def is_of_one(self, error: Exception) -> bool:
        """Whether another group could have been kept: then each operation is tried alone."""
        ...

    def translated(self, error: Exception) -> Exception:
        """What the callers hear."""
        ...

    def rest(self, *, has_written: bool) -> None:
        """Nothing has queued up for a second, or for good. `has_written` since the last rest."""
        ...


class GroupWriter(Generic[Connection]):
    """Owns the writing thread and its queue."""

    def __init__(
        self,
        transactions: Transactions[Connection],
        *,
        on_commit: Callable[[int, float], None],
        rests_always: bool = False,
    ) -> None:
        """`on_commit` hears of every transaction, in the writing thread: its rows and seconds.

        With `rests_always` an idle store rests each second, else once after it has written.
        """
        self._transactions = transactions
        self._on_commit = on_commit
        self._rests_always = rests_always
        self._operations: queue.SimpleQueue[list[Operation[Connection]] | None]
        self._operations = queue.SimpleQueue()
        self._gathered: list[Operation[Connection]] = []
        self._has_company = threading.Event()
        self._thread = threading.Thread(target=self._write, name="store-writer", daemon=True)

    def start(self) -> None:
        """Begins to write."""
        self._thread.start()

    async def stop(self) -> None:
        """Writes what is queued and ends the thread, if it was started."""
        if self._thread.is_alive():
            self._hand_over()
            self._operations.put(None)
            await asyncio.to_thread(self._thread.join)

    async def queue(
        self,
        act: Callable[[Connection], T],
        *,
        rows: int = 1,
        on_kept: Callable[[T], None] | None = None,
        submission: Submission | None = None,
    ) -> T:
        """Does it in the next transaction; returns its value when that is on disk."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        # All of a loop's turn in one piece: each handing over may wake the writing thread, which
        # then wants the interpreter's lock from the loop.
        if not self._gathered or self._gathered[0].loop is not loop:
            loop.call_soon(self._hand_over)
        self._gathered.append(Operation(act, rows, answer, loop, on_kept, submission))
        return await answer

    def _hand_over(self) -> None:
        gathered, self._gathered = self._gathered, []
        if gathered:
            self._operations.put(gathered)
            if len(gathered) >= _COMPANY:
                self._has_company.set()

    def _write(self) -> None:
        """The writing thread: groups until it is told to stop."""
        is_dirty = False
        due = 0.0
        waiting: deque[Operation[Connection]] = deque()
        is_last = False
        while not is_last or waiting:
            if not waiting:
                is_awaited = is_dirty or self._rests_always
                try:
                    handed = self._operations.get(timeout=_IDLE_SECONDS if is_awaited else None)
                except queue.Empty:
                    self._transactions.rest(has_written=is_dirty)
                    is_dirty = False
                    continue
                if handed is None:
                    break
                waiting.extend(handed)
            if waiting[0].rows < SMALL_ROWS:
                self._has_company.wait(max(0.0, due - time.monotonic()))
            self._has_company.clear()
            due = time.monotonic() + _PACE_SECONDS
            is_last = self._take_rest(waiting) or is_last
            self._commit(_group(waiting))
            is_dirty = True
        self._transactions.rest(has_written=True)

    def _take_rest(self, waiting: deque[Operation[Connection]]) -> bool:
        """Adds what has queued up; whether nothing follows any more."""
        while True:
            try:
                handed = self._operations.get_nowait()
            except queue.Empty:
                return False
            if handed is None:
                return True
            waiting.extend(handed)

    def _commit(self, group: list[Operation[Connection]]) -> None:
        began = time.perf_counter()
        try:
            self._transactions.commit(group)
            self._on_commit(sum(each.rows for each in group), time.perf_counter() - began)
        except Exception as error:
            if len(group) > 1 and self._transactions.is_of_one(error):
                # One bad operation must not take the others with it.
                for operation in group:
                    self._commit([operation])
                return
            for operation in group:
                operation.error = self._transactions.translated(error)
        answer(group)


def answer(group: Sequence[Operation[Any]]) -> None:
    """Tells the callers, each in its own loop."""
    for loop in {operation.loop for operation in group}:
        mine = [operation for operation in group if operation.loop is loop]
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(_answer, mine)


def _group(waiting: deque[Operation[Connection]]) -> list[Operation[Connection]]:
    """The foremost operations that fit into one transaction; at least one."""
    group: list[Operation[Connection]] = []
    rows = 0
    while waiting and rows < _MAX_GROUP_ROWS:
        group.append(waiting.popleft())
        rows += group[-1].rows
    return group


def _answer(operations: list[Operation[Any]]) -> None:
    for operation in operations:
        if operation.error is None and operation.on_kept is not None:
            operation.on_kept(operation.value)
        if operation.answer.done():
            continue
        if operation.error is not None:
            operation.answer.set_exception(operation.error)
        else:
            operation.answer.set_result(operation.value)
