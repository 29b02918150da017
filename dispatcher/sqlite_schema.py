"""Every statement on the tables of the SQLite store; `sqlite_migrations` has the tables.

One row per job holds its result too: a state change and its result are one update, and a job cannot
have two results. `final_order` is the results' sequence.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import apsw

from dispatcher.backlog import Unfinished
from dispatcher.jobs import (
    MAX_HISTORY,
    Attempt,
    AttemptCause,
    Cancelled,
    Counts,
    Done,
    Era,
    Failed,
    Failure,
    FailureReason,
    Final,
    Job,
    JobKey,
    JobState,
    NewJob,
    Payload,
    Profile,
    Result,
    load_text,
    parse_load,
)
from dispatcher.ports import Accepted, Recovered, Stored

_JOB = (
    "SELECT key, state, profile, accepted_at, attempts, reference, completed_at, hash, worker_id, "
    "service_seconds, failure_reason, failure_message FROM jobs "
)


@dataclass(slots=True)
class Numbers:
    """Counters that live in memory and are written with every transaction."""

    accepted: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    final_order: int = 0
    is_changed: bool = False

    def copy(self) -> "Numbers":
        """The values now."""
        return replace(self)

    def restore(self, other: "Numbers") -> None:
        """Takes another's values."""
        for name in ("accepted", "done", "failed", "cancelled", "final_order", "is_changed"):
            setattr(self, name, getattr(other, name))


def recover(connection: apsw.Connection, numbers: Numbers) -> Recovered:
    """Reads what a dispatcher needs to go on, and opens a new generation."""
    with connection:
        connection.execute(
            "UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE name = 'generation'"
        )
    meta: dict[str, str] = dict(_rows(connection, "SELECT name, value FROM meta"))
    row = _row(connection, "SELECT accepted, done, failed, cancelled, final_order FROM numbers")
    numbers.restore(Numbers(*row))
    accepted, done, failed, cancelled, _ = row
    return Recovered(
        store_id=meta["store_id"],
        generation=int(meta["generation"]),
        counts=Counts(accepted=accepted, done=done, failed=failed, cancelled=cancelled),
        unfinished=_unfinished(connection),
        cordons=dict(_rows(connection, "SELECT worker_id, reason FROM cordons")),
        connected=frozenset(
            worker for (worker,) in _rows(connection, "SELECT worker_id FROM connected")
        ),
        former=tuple(
            Era(*row)
            for row in _rows(
                connection, "SELECT store_id, last_key, last_cursor FROM eras ORDER BY ordinal"
            )
        ),
    )


def _unfinished(connection: apsw.Connection) -> list[Unfinished]:
    rows = connection.execute(
        "SELECT key, profile, accepted_at, attempts FROM jobs INDEXED BY jobs_unfinished "
        "WHERE state = 1 ORDER BY key"
    )
    return [
        Unfinished(JobKey(key), Profile(profile), accepted_at, attempts)
        for key, profile, accepted_at, attempts in rows
    ]


def write_numbers(connection: apsw.Connection, numbers: Numbers) -> None:
    """Writes the counters, when some changed."""
    if numbers.is_changed:
        numbers.is_changed = False
        connection.execute(
            "UPDATE numbers SET accepted = ?, done = ?, failed = ?, cancelled = ?, final_order = ?",
            (
                numbers.accepted,
                numbers.done,
                numbers.failed,
                numbers.cancelled,
                numbers.final_order,
            ),
        )


def submit(
    connection: apsw.Connection,
    numbers: Numbers,
    request_id: str,
    digests: Sequence[str],
    jobs: Sequence[NewJob],
    at: float,
) -> Accepted | None:
    """Keeps a batch; None when the request id is known with another content."""
    known = connection.execute(
        "SELECT digest, first, count FROM requests WHERE request_id = ?", (request_id,)
    ).fetchone()
    if known is not None:
        digest, first, count = known
        return Accepted(JobKey(first), count, is_fresh=False) if digest in digests else None
    first = numbers.accepted + 1
    connection.execute(
        "INSERT INTO requests VALUES (?, ?, ?, ?, ?)",
        (request_id, digests[0], first, len(jobs), at),
    )
    connection.executemany(
        "INSERT INTO jobs (key, state, profile, accepted_at, attempts, reference, input, key_id, "
        "load) VALUES (?, 1, ?, ?, 0, ?, ?, ?, ?)",
        (
            (
                first + offset,
                int(job.payload.profile),
                at,
                job.reference,
                job.payload.input,
                job.payload.key_id,
                load_text(job.payload.load),
            )
            for offset, job in enumerate(jobs)
        ),
    )
    numbers.accepted += len(jobs)
    numbers.is_changed = True
    return Accepted(JobKey(first), len(jobs), is_fresh=True)


def settle(
    connection: apsw.Connection, numbers: Numbers, finals: Sequence[Final], at: float
) -> None:
    """Keeps final states; a job that is final already stays as it is."""
    for final in finals:
        values: tuple[Any, ...]
        order = numbers.final_order + 1
        match final:
            case Done(hash=digest, worker_id=worker, service_seconds=seconds):
                values = (int(JobState.DONE), order, at, digest, worker, seconds, None, None)
            case Failed(failure=failure):
                values = (
                    *(int(JobState.FAILED), order, at, None, None, None),
                    *(int(failure.reason), failure.message),
                )
            case Cancelled():
                order = -(numbers.cancelled + 1)
                values = (int(JobState.CANCELLED), order, at, None, None, None, None, None)
        connection.execute(
            "UPDATE jobs SET input = NULL, state = ?, final_order = ?, completed_at = ?, hash = ?, "
            "worker_id = ?, service_seconds = ?, failure_reason = ?, failure_message = ? "
            "WHERE key = ? AND state = 1",
            (*values, final.key),
        )
        if connection.changes() == 0:
            continue
        numbers.is_changed = True
        numbers.final_order = max(numbers.final_order, order)
        numbers.done += isinstance(final, Done)
        numbers.failed += isinstance(final, Failed)
        numbers.cancelled += isinstance(final, Cancelled)


def count_attempts(connection: apsw.Connection, attempts: Iterable[tuple[JobKey, Attempt]]) -> None:
    """Keeps failed attempts, and of each job's the newest only."""
    for key, attempt in attempts:
        connection.execute("UPDATE jobs SET attempts = ? WHERE key = ?", (attempt.ordinal, key))
        connection.execute(
            "INSERT OR REPLACE INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                *(key, attempt.ordinal, int(attempt.cause), attempt.worker_id, attempt.at),
                *(int(attempt.is_certain), attempt.message),
            ),
        )
        connection.execute(
            "DELETE FROM attempts WHERE key = ? AND ordinal <= ?",
            (key, attempt.ordinal - MAX_HISTORY),
        )


def _history(connection: apsw.Connection, key: int) -> tuple[Attempt, ...]:
    rows = connection.execute(
        "SELECT ordinal, cause, worker_id, at, certain, message FROM attempts WHERE key = ? "
        "ORDER BY ordinal",
        (key,),
    )
    return tuple(
        Attempt(ordinal, AttemptCause(cause), worker, at, bool(certain), message)
        for ordinal, cause, worker, at, certain, message in rows
    )


def set_cordon(connection: apsw.Connection, worker_id: str, reason: str | None) -> None:
    """Keeps or forgets a cordon."""
    if reason is None:
        connection.execute("DELETE FROM cordons WHERE worker_id = ?", (worker_id,))
    else:
        connection.execute("INSERT OR REPLACE INTO cordons VALUES (?, ?)", (worker_id, reason))


def set_connected(connection: apsw.Connection, worker_id: str, is_connected: bool) -> None:
    """Keeps or forgets that a worker is connected."""
    if is_connected:
        connection.execute("INSERT OR IGNORE INTO connected VALUES (?)", (worker_id,))
    else:
        connection.execute("DELETE FROM connected WHERE worker_id = ?", (worker_id,))


def forget_requests(connection: apsw.Connection, before: float, limit: int) -> int:
    """Forgets old request ids."""
    connection.execute(
        "DELETE FROM requests WHERE request_id IN "
        "(SELECT request_id FROM requests WHERE at < ? ORDER BY at LIMIT ?)",
        (before, limit),
    )
    return connection.changes()


def jobs(connection: apsw.Connection, keys: Sequence[JobKey]) -> list[Job | None]:
    """The jobs, in order."""
    found: list[Job | None] = []
    for key in keys:
        row = connection.execute(_JOB + "WHERE key = ?", (key,)).fetchone()
        found.append(None if row is None else _job(connection, row))
    return found


def payloads(connection: apsw.Connection, keys: Sequence[JobKey]) -> dict[JobKey, Payload]:
    """The inputs of those that are unfinished."""
    found: dict[JobKey, Payload] = {}
    for key in keys:
        row = connection.execute(
            "SELECT profile, input, key_id, load FROM jobs WHERE key = ? AND state = 1", (key,)
        ).fetchone()
        if row is not None:
            profile, value, key_id, load = row
            found[key] = Payload(Profile(profile), bytes(value), key_id, parse_load(load))
    return found


def page(
    connection: apsw.Connection, after: JobKey, limit: int, states: frozenset[JobState] | None
) -> list[Job]:
    """Jobs in order of acceptance."""
    wanted = set(JobState if states is None else states)
    if JobState.LEASED in wanted:
        wanted.add(JobState.READY)
    marks = ",".join(str(int(state)) for state in sorted(wanted))
    rows = connection.execute(
        _JOB + f"WHERE key > ? AND state IN ({marks}) ORDER BY key LIMIT ?", (after, limit)
    )
    return [_job(connection, row) for row in rows]


def results(connection: apsw.Connection, after: int, limit: int) -> list[Stored]:
    """The results' sequence."""
    rows = connection.execute(
        _JOB.replace("SELECT ", "SELECT final_order, ", 1)
        + "WHERE final_order > ? ORDER BY final_order LIMIT ?",
        (after, limit),
    )
    return [Stored(row[0], _job(connection, row[1:])) for row in rows]


def last_cursor(connection: apsw.Connection) -> int:
    """The newest entry of the results' sequence."""
    (cursor,) = _row(connection, "SELECT final_order FROM numbers")
    return int(cursor)


def _row(connection: apsw.Connection, statement: str) -> tuple[Any, ...]:
    """The one row of a statement that always has one."""
    (row,) = connection.execute(statement)
    return tuple(row)


def _rows(connection: apsw.Connection, statement: str) -> list[Any]:
    return connection.execute(statement).fetchall()


def _job(connection: apsw.Connection, row: tuple[Any, ...]) -> Job:
    (key, state, profile, accepted_at, attempts, reference, completed_at, digest) = row[:8]
    (worker_id, service_seconds, failure_reason, failure_message) = row[8:]
    result = failure = None
    if state == JobState.DONE:
        result = Result(digest, completed_at, worker_id, service_seconds)
    elif state == JobState.FAILED:
        failure = Failure(FailureReason(failure_reason), failure_message)
    return Job(
        key=JobKey(key),
        state=JobState(state),
        profile=Profile(profile),
        accepted_at=accepted_at,
        attempts=attempts,
        reference=reference,
        result=result,
        failure=failure,
        history=_history(connection, key) if attempts else (),
    )
