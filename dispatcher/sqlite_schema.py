"""Every statement on the tables of the SQLite store; `sqlite_migrations` has the tables.

One row per job holds its result too: a state change and its result are one update, and a job cannot
have two results. `final_order` is the results' sequence.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apsw

from dispatcher.backlog import Unfinished
from dispatcher.jobs import (
    MAX_HISTORY,
    Attempt,
    Cancelled,
    Done,
    Era,
    Failed,
    Final,
    Job,
    JobKey,
    JobState,
    NewJob,
)
from dispatcher.ports import Accepted, Recovered, Stored
from dispatcher.store_rows import (
    JOB_COLUMNS,
    NUMBERS,
    Numbers,
    RepeatedRequestError,
    Submission,
    attempt,
    job,
    load_column,
    new_job,
    removable,
    runs,
    wanted_states,
)

_JOB = f"SELECT {JOB_COLUMNS} FROM jobs "


# Many rows in one statement, as JSON: SQLite is left alone with them while the loop's thread runs.
# With a statement for each row the two threads would hand the interpreter's lock to and fro, at
# half a millisecond a time when the loop is busy: ten times as slow as the rows themselves.
_JOBS = (
    "INSERT INTO jobs (key, state, profile, accepted_at, attempts, reference, input, key_id, load)"
)
_REQUEST = "INSERT INTO requests"
_NEW = " ON CONFLICT (request_id) DO NOTHING"
_INSERT = (
    _JOBS
    + " SELECT ?1 + key, 1, value ->> 0, ?2, 0, value ->> 1, unhex(value ->> 2), value ->> 3, "
    "value ->> 4 FROM jsonb_each(?3)"
)
_FINAL = (
    "UPDATE jobs SET input = NULL, state = ?1, completed_at = ?2, final_order = value ->> 1, "
    "{} FROM jsonb_each(?3) AS final WHERE jobs.key = value ->> 0 AND state = 1"
)
_DONE = _FINAL.format("hash = value ->> 2, worker_id = value ->> 3, service_seconds = value ->> 4")
_FAILED = _FINAL.format("failure_reason = value ->> 2, failure_message = value ->> 3")
_CANCELLED = _FINAL.format("hash = NULL")
_OLDEST_RESULTS = (
    "SELECT key, final_order, completed_at FROM jobs WHERE final_order > 0 "
    "ORDER BY final_order LIMIT ?"
)
_OLDEST_CANCELLED = (
    "SELECT key, -final_order, completed_at FROM jobs WHERE final_order < 0 "
    "ORDER BY final_order DESC LIMIT ?"
)


def recover(
    connection: apsw.Connection, numbers: Numbers, unfinished: Iterable[Unfinished]
) -> Recovered:
    """Reads what a dispatcher needs to go on, and opens a new generation."""
    with connection:
        connection.execute(
            "UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE name = 'generation'"
        )
    meta: dict[str, str] = dict(_rows(connection, "SELECT name, value FROM meta"))
    numbers.restore(Numbers(*_row(connection, f"SELECT {', '.join(NUMBERS)} FROM numbers")))
    return Recovered(
        store_id=meta["store_id"],
        generation=int(meta["generation"]),
        counts=numbers.counts,
        unfinished=unfinished,
        cordons=dict(_rows(connection, "SELECT worker_id, reason FROM cordons")),
        connected=frozenset(
            worker for (worker,) in _rows(connection, "SELECT worker_id FROM connected")
        ),
        former=tuple(
            Era(*row)
            for row in _rows(
                connection,
                "SELECT store_id, last_key, last_cursor, next_generation FROM eras "
                "ORDER BY ordinal",
            )
        ),
    )


def unfinished_runs(connection: apsw.Connection) -> Iterator[Unfinished]:
    """The unfinished jobs, in runs, while they are read: a million must not be in memory twice."""
    rows: Iterator[Any] = connection.execute(
        "SELECT key, profile, accepted_at, attempts FROM jobs INDEXED BY jobs_unfinished "
        "WHERE state = 1 ORDER BY key"
    )
    return runs(rows)


def write_numbers(connection: apsw.Connection, numbers: Numbers) -> None:
    """Writes the counters, when some changed."""
    if numbers.is_changed:
        numbers.is_changed = False
        connection.execute(
            "UPDATE numbers SET " + ", ".join(f"{name} = ?" for name in NUMBERS),
            [getattr(numbers, name) for name in NUMBERS],
        )


def submit_all(
    connection: apsw.Connection, numbers: Numbers, submissions: Sequence[Submission]
) -> list[Accepted]:
    """Keeps several small batches in two statements, however many they are.

    Raises:
        RepeatedRequestError: not all of them are new; the transaction must be rolled back.

    """
    accepted: list[Accepted] = []
    requests: list[Any] = []
    rows: list[Any] = []
    key = numbers.accepted
    for request_id, digests, jobs, at in submissions:
        accepted.append(Accepted(JobKey(key + 1), len(jobs), is_fresh=True))
        requests += (request_id, digests[0], key + 1, len(jobs), at)
        for (profile, value, key_id, load), reference in jobs:
            key += 1
            rows += (key, profile, at, reference, value, key_id, load_column(load))
    connection.execute(_several(_REQUEST, "(?, ?, ?, ?, ?)", len(submissions)) + _NEW, requests)
    if connection.changes() < len(submissions):
        raise RepeatedRequestError
    count = key - numbers.accepted
    connection.execute(_several(_JOBS, "(?, 1, ?, ?, 0, ?, ?, ?, ?)", count), rows)
    numbers.accepted = key
    numbers.is_changed = True
    return accepted


def _several(statement: str, row: str, count: int) -> str:
    return f"{statement} VALUES {', '.join([row] * count)}"


def submit(
    connection: apsw.Connection, numbers: Numbers, submission: Submission
) -> Accepted | None:
    """Keeps a batch; None when the request id is known with another content."""
    request_id, digests, jobs, at = submission
    first = numbers.accepted + 1
    connection.execute(
        _several(_REQUEST, "(?, ?, ?, ?, ?)", 1) + _NEW,
        (request_id, digests[0], first, len(jobs), at),
    )
    if connection.changes() == 0:
        ((digest, first, count),) = _rows(
            connection, "SELECT digest, first, count FROM requests WHERE request_id = ?", request_id
        )
        return Accepted(JobKey(first), count, is_fresh=False) if digest in digests else None
    rows = [
        (profile, reference, value.hex(), key_id, load_column(load))
        for (profile, value, key_id, load), reference in jobs
    ]
    connection.execute(_INSERT, (first, at, json.dumps(rows)))
    numbers.accepted += len(jobs)
    numbers.is_changed = True
    return Accepted(JobKey(first), len(jobs), is_fresh=True)


def settle(
    connection: apsw.Connection, numbers: Numbers, finals: Sequence[Final], at: float
) -> int | None:
    """Keeps final states; a job that is final already stays as it is.

    Returns the first place in the results' sequence; None when some were final already.
    """
    done: list[tuple[Any, ...]] = []
    failed: list[tuple[Any, ...]] = []
    cancelled: list[tuple[Any, ...]] = []
    order, cancelled_order = numbers.final_order, numbers.cancelled_order
    first, before = order + 1, numbers.done + numbers.failed
    for final in finals:
        match final:
            case Done():
                order += 1
                done.append((final.key, order, *final[1:]))
            case Failed(key=key, failure=failure):
                order += 1
                failed.append((key, order, failure.reason, failure.message))
            case Cancelled(key=key):
                cancelled_order += 1
                cancelled.append((key, -cancelled_order))
    # Jobs that are final already leave gaps in the order, which only has to grow.
    numbers.final_order, numbers.cancelled_order = order, cancelled_order
    numbers.done += _settle(connection, _DONE, JobState.DONE, at, done)
    numbers.failed += _settle(connection, _FAILED, JobState.FAILED, at, failed)
    numbers.cancelled += _settle(connection, _CANCELLED, JobState.CANCELLED, at, cancelled)
    numbers.is_changed = True
    is_gapless = numbers.done + numbers.failed - before == order + 1 - first
    return first if is_gapless else None


def _settle(
    connection: apsw.Connection,
    statement: str,
    state: JobState,
    at: float,
    rows: list[tuple[Any, ...]],
) -> int:
    if not rows:
        return 0
    connection.execute(statement, (int(state), at, json.dumps(rows)))
    return connection.changes()


def count_attempts(connection: apsw.Connection, attempts: Iterable[tuple[JobKey, Attempt]]) -> None:
    """Keeps failed attempts, and of each job's the newest only."""
    for key, failed in attempts:
        connection.execute("UPDATE jobs SET attempts = ? WHERE key = ?", (failed.ordinal, key))
        connection.execute(
            "INSERT OR REPLACE INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                *(key, failed.ordinal, int(failed.cause), failed.worker_id, failed.at),
                *(int(failed.is_certain), failed.message),
            ),
        )
        connection.execute(
            "DELETE FROM attempts WHERE key = ? AND ordinal <= ?",
            (key, failed.ordinal - MAX_HISTORY),
        )


def _history(connection: apsw.Connection, key: int) -> tuple[Attempt, ...]:
    rows = connection.execute(
        "SELECT ordinal, cause, worker_id, at, certain, message FROM attempts WHERE key = ? "
        "ORDER BY ordinal",
        (key,),
    )
    return tuple(map(attempt, rows))


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


def remove_finals(
    connection: apsw.Connection,
    numbers: Numbers,
    *,
    before: float | None,
    keep: int | None,
    limit: int,
) -> int:
    """See `ports.JobStore.remove_finals`.

    The pages they leave are overwritten (`secure_delete`) and used again by new jobs, so the file
    stops growing once as much is removed as is added; a backup is made without them.
    """
    keys: list[int] = []
    for statement, last in (
        (_OLDEST_RESULTS, numbers.final_order),
        (_OLDEST_CANCELLED, numbers.cancelled_order),
    ):
        rows = connection.execute(statement, (limit - len(keys),))
        keys += removable(rows, last=last, before=before, keep=keep)
    for table in ("attempts", "jobs"):
        connection.executemany(f"DELETE FROM {table} WHERE key = ?", [(key,) for key in keys])
    return len(keys)


def jobs(connection: apsw.Connection, keys: Sequence[JobKey]) -> list[Job | None]:
    """The jobs, in order."""
    rows = connection.execute(
        _JOB + "WHERE key IN (SELECT value FROM json_each(?))", (json.dumps(keys),)
    ).fetchall()
    found = {row[0]: _job(connection, row) for row in rows}
    return [found.get(key) for key in keys]


def unfinished(connection: apsw.Connection, keys: Sequence[JobKey]) -> dict[JobKey, NewJob]:
    """Those that are unfinished, as they were submitted."""
    rows: list[Any] = connection.execute(
        "SELECT jobs.key, profile, input, key_id, load, reference "
        "FROM json_each(?) AS wanted CROSS JOIN jobs ON jobs.key = wanted.value WHERE state = 1",
        (json.dumps(keys),),
    ).fetchall()
    return {JobKey(key): new_job(row) for key, *row in rows}


def page(
    connection: apsw.Connection, after: JobKey, limit: int, states: frozenset[JobState] | None
) -> list[Job]:
    """Jobs in order of acceptance."""
    marks = ",".join(map(str, wanted_states(states)))
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


def _rows(connection: apsw.Connection, statement: str, *values: str) -> list[Any]:
    return connection.execute(statement, values).fetchall()


def _job(connection: apsw.Connection, row: tuple[Any, ...]) -> Job:
    key, attempts = row[0], row[4]
    return job(row, _history(connection, key) if attempts else ())
