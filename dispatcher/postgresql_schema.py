"""Every statement on the tables of the PostgreSQL store; `postgresql_migrations` has the tables.

Rows go to the server as one JSON text for each statement: as quick as COPY, and one round trip.
Nothing is ever part of a statement's text, so no number can reach the server's log by it.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

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
from dispatcher.postgresql_migrations import Connection
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
    wanted_states,
    with_nul,
    without_nul,
)

_SUBMIT = """
WITH fresh AS (
    INSERT INTO requests (request_id, digest, first, count, at)
    SELECT v ->> 0, v ->> 1, (v ->> 2)::bigint, (v ->> 3)::int, (v ->> 4)::double precision
    FROM json_array_elements(%s::json) AS given (v)
    ON CONFLICT (request_id) DO NOTHING
    RETURNING 1
), kept AS (
    INSERT INTO open_jobs (key, profile, attempts, accepted_at, reference, input, key_id, load)
    SELECT %s::bigint + place, (v ->> 0)::smallint, 0, (v ->> 1)::double precision, v ->> 2,
        decode(v ->> 3, 'hex'), v ->> 4, v ->> 5
    FROM json_array_elements(%s::json) WITH ORDINALITY AS given (v, place)
    WHERE (SELECT count(*) FROM fresh) = %s
)
SELECT count(*) FROM fresh
"""
_REQUEST = "SELECT digest, first, count FROM requests WHERE request_id = %s"
# A job is deleted here by one statement only, so it cannot become final twice.
_SETTLE = """
WITH gone AS (
    DELETE FROM open_jobs
    USING (
        SELECT (v ->> 0)::bigint AS key, v FROM json_array_elements(%s::json) AS given (v)
    ) AS final
    WHERE open_jobs.key = final.key
    RETURNING open_jobs.key, profile, attempts, accepted_at, reference, v
), kept AS (
    INSERT INTO final_jobs (
        key, profile, attempts, accepted_at, reference, completed_at, state, final_order, hash,
        worker_id, service_seconds, failure_reason, failure_message
    )
    SELECT key, profile, attempts, accepted_at, reference, %s, (v ->> 1)::smallint,
        (v ->> 2)::bigint, v ->> 3, v ->> 4, (v ->> 5)::double precision, (v ->> 6)::smallint,
        v ->> 7
    FROM gone
    RETURNING state
)
SELECT state, count(*) FROM kept GROUP BY state
"""
_WRITE_NUMBERS = (
    f"UPDATE numbers SET commits = %s, {', '.join(f'{name} = %s' for name in NUMBERS)} "
    "WHERE generation = %s"
)
_READ_NUMBERS = f"SELECT generation, commits, {', '.join(NUMBERS)} FROM numbers"
_ATTEMPTS = (
    "SELECT DISTINCT ON (1, 2) (v ->> 0)::bigint AS key, (v ->> 1)::int AS ordinal, "
    "(v ->> 2)::smallint AS cause, v ->> 3 AS worker_id, (v ->> 4)::double precision AS at, "
    "(v ->> 5)::boolean AS certain, v ->> 6 AS message "
    "FROM json_array_elements(%s::json) AS given (v) ORDER BY 1, 2"
)
_ADD_ATTEMPTS = (
    f"INSERT INTO attempts {_ATTEMPTS} ON CONFLICT (key, ordinal) DO UPDATE SET "
    "cause = excluded.cause, worker_id = excluded.worker_id, at = excluded.at, "
    "certain = excluded.certain, message = excluded.message"
)
_NEWEST = (
    f"(SELECT key, max(ordinal) AS ordinal FROM ({_ATTEMPTS}) AS given GROUP BY key) AS newest"
)
_COUNT_ATTEMPTS = tuple(
    f"UPDATE {table} SET attempts = newest.ordinal FROM {_NEWEST} WHERE {table}.key = newest.key"
    for table in ("open_jobs", "final_jobs")
)
_FORGET_ATTEMPTS = (
    f"DELETE FROM attempts USING {_NEWEST} WHERE attempts.key = newest.key "
    f"AND attempts.ordinal <= newest.ordinal - {MAX_HISTORY}"
)
_HISTORY = (
    "SELECT key, ordinal, cause, worker_id, at, certain, message FROM attempts "
    "WHERE key = ANY(%s::bigint[]) ORDER BY key, ordinal"
)
_CORDON = (
    "INSERT INTO cordons VALUES (%s, %s) "
    "ON CONFLICT (worker_id) DO UPDATE SET reason = excluded.reason"
)
_FORGET_REQUESTS = (
    "DELETE FROM requests WHERE request_id IN "
    "(SELECT request_id FROM requests WHERE at < %s ORDER BY at LIMIT %s)"
)
_OLDEST_RESULTS = (
    "SELECT key, final_order, completed_at FROM final_jobs WHERE final_order > 0 "
    "ORDER BY final_order LIMIT %s"
)
_OLDEST_CANCELLED = (
    "SELECT key, -final_order, completed_at FROM final_jobs WHERE final_order < 0 "
    "ORDER BY final_order DESC LIMIT %s"
)
_JOBS = f"SELECT {JOB_COLUMNS} FROM jobs WHERE key = ANY(%s::bigint[])"
_PAGE = (
    f"SELECT {JOB_COLUMNS} FROM jobs WHERE key > %s AND state = ANY(%s::smallint[]) "
    "ORDER BY key LIMIT %s"
)
_RESULTS = (
    f"SELECT {JOB_COLUMNS}, final_order FROM final_jobs WHERE final_order > %s "
    "ORDER BY final_order LIMIT %s"
)
_UNFINISHED = (
    "SELECT key, profile, input, key_id, load, reference FROM open_jobs "
    "WHERE key = ANY(%s::bigint[])"
)
_UNFINISHED_ROWS = "SELECT key, profile, accepted_at, attempts FROM open_jobs ORDER BY key"
_UNFINISHED_AT_ONCE = 5000
_ERAS = "SELECT store_id, last_key, last_cursor, next_generation FROM eras ORDER BY ordinal"
_COUNTED = (
    "SELECT accepted - done - failed - cancelled, (SELECT count(*) FROM open_jobs), "
    "(SELECT count(*) FROM open_jobs JOIN final_jobs USING (key)) FROM numbers"
)
_SIZE = (
    "SELECT sum(pg_total_relation_size(oid)) FROM pg_class "
    "WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'"
)


class FencedError(Exception):
    """Another dispatcher has become active: this one must not write any more."""


def recover(connection: Connection, numbers: Numbers) -> tuple[Recovered, int]:
    """Opens a new generation and reads what a dispatcher needs to go on, but for unfinished jobs.

    Also returns how many transactions there have been.
    """
    with connection.transaction():
        connection.execute("UPDATE numbers SET generation = generation + 1")
    with connection.transaction():
        generation, commits = read_numbers(connection, numbers)
        meta: dict[str, str] = dict(connection.execute("SELECT name, value FROM meta").fetchall())
        cordons = connection.execute("SELECT worker_id, reason FROM cordons").fetchall()
        connected = connection.execute("SELECT worker_id FROM connected").fetchall()
        eras = connection.execute(_ERAS).fetchall()
    recovered = Recovered(
        store_id=meta["store_id"],
        generation=generation,
        counts=numbers.counts,
        unfinished=(),
        cordons={worker: with_nul(reason) for worker, reason in cordons},
        connected=frozenset(worker for (worker,) in connected),
        former=tuple(Era(*row) for row in eras),
    )
    return recovered, commits


def unfinished_rows(connection: Connection) -> Iterator[tuple[Any, ...]]:
    """Key, profile, time of acceptance and attempts of the unfinished jobs, while they are read."""
    with connection.transaction(), connection.cursor(name="unfinished") as cursor:
        cursor.itersize = _UNFINISHED_AT_ONCE
        yield from cursor.execute(_UNFINISHED_ROWS)


def read_numbers(connection: Connection, numbers: Numbers) -> tuple[int, int]:
    """Reads the counters; returns generation and number of transactions."""
    ((generation, commits, *values),) = connection.execute(_READ_NUMBERS).fetchall()
    numbers.restore(Numbers(*values))
    return generation, commits


def write_numbers(
    connection: Connection, numbers: Numbers, *, generation: int, commits: int
) -> None:
    """Writes the counters as the last of a transaction.

    Raises:
        FencedError: the generation is over; the transaction must be rolled back.

    """
    values = [getattr(numbers, name) for name in NUMBERS]
    if connection.execute(_WRITE_NUMBERS, (commits, *values, generation)).rowcount != 1:
        raise FencedError


def submit_all(
    connection: Connection, numbers: Numbers, submissions: Sequence[Submission]
) -> list[Accepted]:
    """Keeps batches in one statement, however many they are.

    Raises:
        RepeatedRequestError: not all of them are new. When there is one only, nothing was done;
            otherwise the transaction must be rolled back.

    """
    accepted: list[Accepted] = []
    requests: list[Any] = []
    rows: list[Any] = []
    key = numbers.accepted
    for request_id, digests, jobs, at in submissions:
        accepted.append(Accepted(JobKey(key + 1), len(jobs), is_fresh=True))
        requests.append((request_id, digests[0], key + 1, len(jobs), at))
        key += len(jobs)
        rows += [
            (profile, at, without_nul(reference), value.hex(), key_id, load_column(load))
            for (profile, value, key_id, load), reference in jobs
        ]
    values = (_json(requests), numbers.accepted, _json(rows), len(submissions))
    ((fresh,),) = connection.execute(_SUBMIT, values).fetchall()
    if fresh < len(submissions):
        raise RepeatedRequestError
    numbers.accepted = key
    return accepted


def submit(connection: Connection, numbers: Numbers, submission: Submission) -> Accepted | None:
    """Keeps a batch; None when the request id is known with another content."""
    try:
        (accepted,) = submit_all(connection, numbers, [submission])
    except RepeatedRequestError:
        rows = connection.execute(_REQUEST, (submission.request_id,)).fetchall()
        ((digest, first, count),) = rows
        is_same = digest in submission.digests
        return Accepted(JobKey(first), count, is_fresh=False) if is_same else None
    return accepted


def settle(
    connection: Connection, numbers: Numbers, finals: Sequence[Final], at: float
) -> int | None:
    """Keeps final states; a job that is final already stays as it is.

    Returns the first place in the results' sequence; None when some were final already.
    """
    rows: list[tuple[Any, ...]] = []
    order, cancelled_order = numbers.final_order, numbers.cancelled_order
    first = order + 1
    for final in finals:
        match final:
            case Done():
                order += 1
                rows.append((final.key, int(JobState.DONE), order, *final[1:]))
            case Failed(key=key, failure=failure):
                order += 1
                message = without_nul(failure.message)
                reason = int(failure.reason)
                rows.append((key, int(JobState.FAILED), order, None, None, None, reason, message))
            case Cancelled(key=key):
                cancelled_order += 1
                rows.append((key, int(JobState.CANCELLED), -cancelled_order))
    # Jobs that are final already leave gaps in the order, which only has to grow.
    numbers.final_order, numbers.cancelled_order = order, cancelled_order
    kept: dict[int, int] = dict(connection.execute(_SETTLE, (_json(rows), at)).fetchall())
    done, failed = kept.get(JobState.DONE, 0), kept.get(JobState.FAILED, 0)
    numbers.done += done
    numbers.failed += failed
    numbers.cancelled += kept.get(JobState.CANCELLED, 0)
    return first if done + failed == order + 1 - first else None


def count_attempts(connection: Connection, attempts: Sequence[tuple[JobKey, Attempt]]) -> None:
    """Keeps failed attempts, and of each job's the newest only."""
    rows = _json(
        [
            (
                key,
                one.ordinal,
                one.cause,
                one.worker_id,
                one.at,
                one.is_certain,
                without_nul(one.message),
            )
            for key, one in attempts
        ]
    )
    for statement in (*_COUNT_ATTEMPTS, _ADD_ATTEMPTS, _FORGET_ATTEMPTS):
        connection.execute(statement, (rows,))


def set_cordon(connection: Connection, worker_id: str, reason: str | None) -> None:
    """Keeps or forgets a cordon."""
    if reason is None:
        connection.execute("DELETE FROM cordons WHERE worker_id = %s", (worker_id,))
    else:
        connection.execute(_CORDON, (worker_id, without_nul(reason)))


def set_connected(connection: Connection, worker_id: str, is_connected: bool) -> None:
    """Keeps or forgets that a worker is connected."""
    if is_connected:
        statement = "INSERT INTO connected VALUES (%s) ON CONFLICT DO NOTHING"
    else:
        statement = "DELETE FROM connected WHERE worker_id = %s"
    connection.execute(statement, (worker_id,))


def forget_requests(connection: Connection, before: float, limit: int) -> int:
    """Forgets old request ids."""
    return connection.execute(_FORGET_REQUESTS, (before, limit)).rowcount


def remove_finals(
    connection: Connection, numbers: Numbers, *, before: float | None, keep: int | None, limit: int
) -> int:
    """See `ports.JobStore.remove_finals`."""
    keys: list[int] = []
    for statement, last in (
        (_OLDEST_RESULTS, numbers.final_order),
        (_OLDEST_CANCELLED, numbers.cancelled_order),
    ):
        rows = connection.execute(statement, (limit - len(keys),))
        keys += removable(rows, last=last, before=before, keep=keep)
    for table in ("attempts", "final_jobs"):
        connection.execute(f"DELETE FROM {table} WHERE key = ANY(%s::bigint[])", (keys,))
    return len(keys)


def jobs(connection: Connection, keys: Sequence[JobKey]) -> list[Job | None]:
    """The jobs, in order."""
    rows = connection.execute(_JOBS, (list(keys),)).fetchall()
    found = {one.key: one for one in _jobs(connection, rows)}
    return [found.get(key) for key in keys]


def unfinished(connection: Connection, keys: Sequence[JobKey]) -> dict[JobKey, NewJob]:
    """Those that are unfinished, as they were submitted."""
    rows = {key: row for key, *row in connection.execute(_UNFINISHED, (list(keys),))}
    return {
        key: new_job((*values, with_nul(reference)))
        for key in keys
        if key in rows
        for *values, reference in (rows[key],)
    }


def page(
    connection: Connection, after: JobKey, limit: int, states: frozenset[JobState] | None
) -> list[Job]:
    """Jobs in order of acceptance."""
    rows = connection.execute(_PAGE, (after, wanted_states(states), limit)).fetchall()
    return _jobs(connection, rows)


def results(connection: Connection, after: int, limit: int) -> list[Stored]:
    """The results' sequence."""
    rows = connection.execute(_RESULTS, (after, limit)).fetchall()
    found = _jobs(connection, [row[:-1] for row in rows])
    return [Stored(row[-1], one) for row, one in zip(rows, found, strict=True)]


def last_cursor(connection: Connection) -> int:
    """The newest entry of the results' sequence."""
    ((cursor,),) = connection.execute("SELECT final_order FROM numbers").fetchall()
    return int(cursor)


def fault(connection: Connection) -> str | None:
    """What contradicts itself in the store; None when nothing does."""
    ((counted, found, doubled),) = connection.execute(_COUNTED).fetchall()
    if doubled:
        return f"{doubled} jobs are both unfinished and final"
    if counted != found:
        return f"{counted} jobs are counted as unfinished, and {found} are there"
    return None


def size_bytes(connection: Connection) -> int:
    """Size of all tables with their indexes."""
    ((size,),) = connection.execute(_SIZE).fetchall()
    return int(size or 0)


def _jobs(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> list[Job]:
    tried = [row[0] for row in rows if row[4]]
    histories: dict[int, list[Attempt]] = {}
    if tried:
        for key, *values, message in connection.execute(_HISTORY, (tried,)):
            histories.setdefault(key, []).append(attempt((*values, with_nul(message))))
    return [
        job(
            (*row[:5], with_nul(row[5]), *row[6:11], row[11] and with_nul(row[11])),
            tuple(histories.get(row[0], ())),
        )
        for row in rows
    ]


def _json(rows: Sequence[Any]) -> str:
    """Rows for a statement; never what the server would refuse, and quote in its log."""
    return json.dumps(rows, allow_nan=False)
