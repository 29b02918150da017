"""The tables of the PostgreSQL store, as the steps that led to them.

A new database goes through all the steps, so it has the same tables as an old one. Each step is one
transaction that also writes the version: a crash leaves one version or the next. Only the active
dispatcher takes steps, under its lock.

A job has one row, which moves: from `open_jobs`, which has its number, to `final_jobs`, which never
did. So `open_jobs` is as small as the backlog, vacuumed in no time, and the results, which may be
many, are only added to.
"""

import secrets
from typing import Any

import psycopg

Connection = psycopg.Connection[tuple[Any, ...]]

APPLICATION = "virtscale dispatcher"
_TABLES = (
    *("numbers", "open_jobs", "final_jobs", "attempts", "requests", "cordons", "connected", "eras"),
    "jobs",
)

# Old versions of rows in open_jobs hold numbers until they are vacuumed: soon, at full speed.
# `numbers` and `generation` are updated by every transaction; with room in the page the old
# versions go without a vacuum.
_VERSION_1 = """
CREATE TABLE numbers (
    id int PRIMARY KEY CHECK (id = 1),
    generation bigint NOT NULL,
    commits bigint NOT NULL,
    accepted bigint NOT NULL, done bigint NOT NULL, failed bigint NOT NULL,
    cancelled bigint NOT NULL, final_order bigint NOT NULL, cancelled_order bigint NOT NULL
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
CREATE TABLE open_jobs (
    key bigint PRIMARY KEY,
    profile smallint NOT NULL,
    attempts int NOT NULL,
    accepted_at double precision NOT NULL,
    reference text NOT NULL,
    input bytea NOT NULL,
    key_id text NOT NULL,
    load text NOT NULL
) WITH (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_threshold = -1, autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000,
    toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 5000
);
CREATE TABLE final_jobs (
    key bigint PRIMARY KEY,
    final_order bigint NOT NULL UNIQUE,
    state smallint NOT NULL,
    profile smallint NOT NULL,
    attempts int NOT NULL,
    accepted_at double precision NOT NULL,
    completed_at double precision NOT NULL,
    reference text NOT NULL,
    hash text,
    worker_id text,
    service_seconds double precision,
    failure_reason smallint,
    failure_message text
) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE VIEW jobs AS
    SELECT key, 1::smallint AS state, profile, accepted_at, attempts, reference,
        NULL::double precision AS completed_at, NULL::text AS hash, NULL::text AS worker_id,
        NULL::double precision AS service_seconds, NULL::smallint AS failure_reason,
        NULL::text AS failure_message
    FROM open_jobs
    UNION ALL
    SELECT key, state, profile, accepted_at, attempts, reference, completed_at, hash, worker_id,
        service_seconds, failure_reason, failure_message
    FROM final_jobs;
CREATE TABLE attempts (
    key bigint NOT NULL,
    ordinal int NOT NULL,
    cause smallint NOT NULL,
    worker_id text NOT NULL,
    at double precision NOT NULL,
    certain boolean NOT NULL,
    message text NOT NULL,
    PRIMARY KEY (key, ordinal)
);
CREATE TABLE requests (
    request_id text PRIMARY KEY, digest text NOT NULL,
    first bigint NOT NULL, count int NOT NULL, at double precision NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX requests_at ON requests (at);
CREATE TABLE cordons (worker_id text PRIMARY KEY, reason text NOT NULL);
CREATE TABLE connected (worker_id text PRIMARY KEY);
CREATE TABLE eras (
    ordinal int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    store_id text NOT NULL,
    last_key bigint NOT NULL,
    last_cursor bigint NOT NULL,
    next_generation bigint NOT NULL
);
INSERT INTO numbers VALUES (1, 0, 0, 0, 0, 0, 0, 0, 0);
"""

STEPS: tuple[str, ...] = (_VERSION_1,)
"""Step n makes version n + 1 out of version n; a schema without the tables has version 0."""

VERSION = len(STEPS)

_META = "CREATE TABLE meta (name text PRIMARY KEY, value text NOT NULL)"
_NEW_META = "INSERT INTO meta VALUES ('application', %s), ('store_id', %s), ('version', '0')"
_FIND = (
    "SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
    "WHERE nspname = current_schema() AND relkind IN ('r', 'v', 'p') AND relname = ANY(%s)"
)


class SchemaError(Exception):
    """The database is not a store that this program knows."""


def prepare(connection: Connection) -> None:
    """Brings the tables up to this version.

    Raises:
        SchemaError: another program's tables, or a newer version.

    """
    version = known_version(connection)
    if version == 0:
        with connection.transaction():
            connection.execute(_META)
            connection.execute(_NEW_META, (APPLICATION, secrets.token_hex(4)))
            _take(connection, 1)
        version = 1
    for number in range(version + 1, VERSION + 1):
        with connection.transaction():
            _take(connection, number)


def _take(connection: Connection, number: int) -> None:
    connection.execute(STEPS[number - 1], prepare=False)
    connection.execute("UPDATE meta SET value = %s WHERE name = 'version'", (str(number),))


def known_version(connection: Connection) -> int:
    """The version of the tables; 0 when there are none.

    Raises:
        SchemaError: another program's tables, or a newer version.

    """
    with connection.transaction():
        ((schema,),) = connection.execute("SELECT current_schema()").fetchall()
        found = {name for (name,) in connection.execute(_FIND, (["meta", *_TABLES],))}
        if not found:
            return 0
        meta: dict[str, str] = {}
        if "meta" in found:
            try:
                with connection.transaction():
                    meta = dict(connection.execute("SELECT name, value FROM meta").fetchall())
            except psycopg.errors.UndefinedColumn:
                meta = {}
    if meta.get("application") != APPLICATION:
        raise SchemaError(
            f"has tables of another program in schema {schema} ({', '.join(sorted(found))}); use a "
            "database or a schema of its own"
        )
    version = int(meta["version"])
    if not 1 <= version <= VERSION:
        raise SchemaError(
            f"has schema version {version}, this program knows 1 to {VERSION}; use the program "
            "that wrote it, or a newer one"
        )
    return version
