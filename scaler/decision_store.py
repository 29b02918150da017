"""Every turn of the last days in one SQLite file, written by a thread of its own, in groups.

The loop only hands a turn over. Turns that say the same are one entry, which grows. A file that
cannot be written is logged and counted; entries wait in memory, and the oldest are lost.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import apsw

from scaler import decision_rows, turns
from scaler.entries import Entry, Page, StoreState
from scaler.turns import Turn
from servicekit import logs
from servicekit.lifecycle import StartError

FILE_NAME = "decisions.db"

_RUN_TURNS = 600
_RUN_SECONDS = 600.0
_WAITING_WEIGHT = 20_000
"""Entries and the domains in them that may wait: a few megabytes, whatever the pool's size."""
_GROUP_SECONDS = 0.5
_GROWTH_SECONDS = 5.0
_REMOVE_SECONDS = 60.0


class DecisionStore:
    """See `ports.DecisionLog`. Without a path the newest entries in memory are all there is."""

    def __init__(
        self,
        path: Path | None,
        *,
        kept_seconds: float = 7 * 86_400.0,
        max_bytes: int = 200_000_000,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._kept_seconds = kept_seconds
        self._max_bytes = max_bytes
        self._wall = wall
        self._lock = threading.Lock()
        self._waiting: dict[int, Entry] = {}
        """Entries that are not in the file yet as they are now, by id."""
        self._weight = 0
        self._run: Entry | None = None
        self._run_key: tuple[object, ...] | None = None
        self._writing = threading.Lock()
        self._connection: apsw.Connection | None = None
        self._logger = logs.get()
        self._state = StoreState(0, 0, 0, is_failing=False)
        self._newest = 0
        self._removed_at = float("-inf")
        self._news = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        if path is not None:
            self._open(path)
            self._thread = threading.Thread(target=self._work, name="decisions", daemon=True)
            self._thread.start()

    @property
    def state(self) -> StoreState:
        """How the store is. From any thread."""
        return self._state

    def turned(self, turn: Turn) -> None:
        """See `DecisionLog.turned`."""
        key, sample = turns.key(turn), turns.sample(turn)
        with self._lock:
            run = self._run
            if (
                run is not None
                and key is not None
                and key == self._run_key
                and _has_room(run, sample)
            ):
                run.samples.append(sample)
                run.last, run.count = sample.time, run.count + 1
                self._wait(run)
                return
        body = turns.record(turn)
        with self._lock:
            self._run = self._add("decision", body["reason"], sample.time, body)
            self._run.samples.append(sample)
            self._run_key = key
        self._news.set()

    def append(self, record: Mapping[str, Any]) -> None:
        """See `DecisionLog.append`."""
        kind = str(record.get("type", "other"))
        reason = str(record.get("reason") or record.get("outcome") or "")
        with self._lock:
            self._run = self._run_key = None
            self._add(kind, reason, float(record.get("time", 0.0)), dict(record))
        self._news.set()

    def entries(self, page: Page) -> list[Entry]:
        """The newest entries that fit, oldest first, at most `page.limit`."""
        if page.limit <= 0:
            return []
        with self._lock:
            waiting = {one.id: _copy(one) for one in self._waiting.values()}
        found = {one.id: one for one in self._read(lambda it: decision_rows.read(it, page), [])}
        found |= {one.id: one for one in waiting.values() if page.fits(one)}
        return [found[number] for number in sorted(found)][-page.limit :]

    def around(self, moment: float) -> tuple[Entry | None, Entry | None]:
        """The run in force at `moment`, with its samples, and the one after it."""
        with self._lock:
            waiting = [_copy(one) for one in self._waiting.values() if one.kind == "decision"]
        before = [one for one in waiting if one.first <= moment]
        behind = [one for one in waiting if one.first > moment]
        known = {one.id for one in waiting}
        kept = self._read(lambda it: decision_rows.at(it, moment), None)
        if kept is not None and kept.id not in known:
            before.append(kept)
        following = self._read(lambda it: decision_rows.after(it, moment), None)
        if following is not None and following.id not in known:
            behind.append(following)
        return max(before, key=_order, default=None), min(behind, key=_order, default=None)

    def stream(self, since: float, until: float) -> Iterator[Entry]:
        """All entries with a turn in the range, oldest first, with their samples."""
        with self._lock:
            waiting = {one.id: _copy(one) for one in self._waiting.values()}
        page = Page(since=since, until=until)
        kept = self._read(lambda it: list(decision_rows.stream(it, since, until)), [])
        found = {one.id: one for one in kept}
        found |= {one.id: one for one in waiting.values() if page.fits(one)}
        yield from (found[number] for number in sorted(found))

    def flush(self) -> None:
        """Writes what waits, now."""
        with self._lock:
            group = [_copy(one) for one in self._waiting.values()]
        if self._path is None or not group:
            return
        with self._writing:
            try:
                if self._connection is None:
                    self._connection = _connect(self._path)
                decision_rows.write(self._connection, group)
                self._remove(self._connection)
                size = decision_rows.used_bytes(self._connection)
            except (apsw.Error, OSError) as error:
                self._failed(error)
                return
        with self._lock:
            has_failed = self._state.is_failing
            self._state = self._state._replace(size_bytes=size, is_failing=False)
            for one in group:
                now = self._waiting.get(one.id)
                if now is not None and now.count == one.count:
                    self._settle(one.id)
        if has_failed:
            self._logger.info("decision_store.recovered", path=str(self._path))

    def close(self) -> None:
        """Writes what waits and closes the file."""
        self._closing.set()
        self._news.set()
        if self._thread is not None:
            self._thread.join()
        self.flush()
        with self._writing:
            if self._connection is not None:
                with contextlib.suppress(apsw.Error):
                    self._connection.close()
                self._connection = None

    def _open(self, path: Path) -> None:
        try:
            self._connection = _connect(path)
            self._newest = decision_rows.newest_id(self._connection)
        except (apsw.CorruptError, apsw.NotADBError, apsw.SQLError) as error:
            # History is worth less than scaling: it is put aside, for whoever wants to look.
            aside = path.with_name(path.name + ".damaged")
            self._logger.error(
                "decision_store.damaged", path=str(path), kept_as=str(aside), error=str(error)
            )
            self._connection = None
            with contextlib.suppress(OSError):
                path.replace(aside)
                for suffix in ("-wal", "-shm"):
                    path.with_name(path.name + suffix).unlink(missing_ok=True)
        except (apsw.Error, OSError) as error:
            self._failed(error)

    def _add(self, kind: str, reason: str, moment: float, body: dict[str, Any]) -> Entry:
        self._newest += 1
        entry = Entry(self._newest, kind, reason, moment, moment, 1, body)
        self._wait(entry)
        while self._weight > _WAITING_WEIGHT and len(self._waiting) > 1:
            self._settle(min(self._waiting))
            if self._path is not None:
                self._state = self._state._replace(lost=self._state.lost + 1)
        return entry

    def _wait(self, entry: Entry) -> None:
        if entry.id not in self._waiting:
            self._waiting[entry.id] = entry
            self._weight += _weight(entry)

    def _settle(self, number: int) -> None:
        self._weight -= _weight(self._waiting.pop(number))

    def _failed(self, error: Exception) -> None:
        with self._lock:
            state = self._state
            self._state = state._replace(failures=state.failures + 1, is_failing=True)
        if not state.is_failing:
            self._logger.error(
                "decision_store.write_failed", path=str(self._path), error=str(error)
            )
        if self._connection is not None:
            with contextlib.suppress(apsw.Error):
                self._connection.close()
            self._connection = None

    def _remove(self, connection: apsw.Connection) -> None:
        now = time.monotonic()
        if now - self._removed_at >= _REMOVE_SECONDS:
            self._removed_at = now
            decision_rows.remove(connection, self._wall() - self._kept_seconds, self._max_bytes)

    def _read(self, ask: Callable[[apsw.Connection], Any], otherwise: Any) -> Any:
        if self._path is None:
            return otherwise
        try:
            return read_only(self._path, ask)
        except apsw.Error:
            # What is in memory is still told; that the file is unusable is the writer's to report.
            return otherwise

    def _work(self) -> None:
        while not self._closing.is_set():
            self._news.wait(_GROWTH_SECONDS)
            # More may follow at once: results of actions, the turn that they wake.
            self._closing.wait(_GROUP_SECONDS)
            self._news.clear()
            self.flush()
            if self._state.is_failing:
                self._closing.wait(_GROWTH_SECONDS)


class DecisionFile:
    """The store of a scaler that may not be running, read only: a `History`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def check(self) -> None:
        """Sees that the file can be read.

        Raises:
            StartError: it cannot; with the fix.

        """
        if not self._path.exists():
            raise StartError(
                f"{self._path}: no such file; no scaler has run with this state directory yet "
                "(another one: --state-dir DIR)"
            )
        try:
            read_only(self._path, decision_rows.newest_id)
        except apsw.Error as error:
            raise StartError(
                f"{self._path}: cannot be read: {error}; run this as the user whose scaler wrote it"
            ) from None

    def entries(self, page: Page) -> list[Entry]:
        """See `History.entries`."""
        found: list[Entry] = read_only(self._path, lambda it: decision_rows.read(it, page))
        return found[::-1]

    def around(self, moment: float) -> tuple[Entry | None, Entry | None]:
        """See `History.around`."""
        return (
            read_only(self._path, lambda it: decision_rows.at(it, moment)),
            read_only(self._path, lambda it: decision_rows.after(it, moment)),
        )

    def stream(self, since: float, until: float) -> Iterator[Entry]:
        """See `History.stream`.

        Raises:
            StartError: the file is damaged.

        """
        connection = decision_rows.connect(str(self._path), is_writer=False)
        try:
            yield from decision_rows.stream(connection, since, until)
        except apsw.Error as error:
            raise StartError(f"{self._path}: cannot be read: {error}") from None
        finally:
            connection.close()


def read_only(path: Path, ask: Callable[[apsw.Connection], Any]) -> Any:
    """What `ask` reads with a connection of its own.

    Raises:
        apsw.Error: the file is missing or cannot be read.

    """
    connection = decision_rows.connect(str(path), is_writer=False)
    try:
        return ask(connection)
    finally:
        connection.close()


def _connect(path: Path) -> apsw.Connection:
    connection = decision_rows.connect(str(path), is_writer=True)
    path.chmod(0o600)
    return connection


def _has_room(run: Entry, sample: turns.Sample) -> bool:
    # A clock that was set back would make a run end before it began.
    return run.count < _RUN_TURNS and 0 <= sample.time - run.first < _RUN_SECONDS


def _weight(entry: Entry) -> int:
    return 1 + len((entry.body.get("inputs") or {}).get("domains", ()))


def _copy(entry: Entry) -> Entry:
    return Entry(
        entry.id,
        entry.kind,
        entry.reason,
        entry.first,
        entry.last,
        entry.count,
        entry.body,
        list(entry.samples),
    )


def _order(entry: Entry) -> tuple[float, int]:
    return entry.first, entry.id
