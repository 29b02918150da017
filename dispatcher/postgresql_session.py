"""Connections to PostgreSQL: how they are made, what they are set to, and what their errors mean.

The session that writes also holds the lock that makes its dispatcher the active one: the server
frees it when the session ends and not before, so what is written is always written under it.
"""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
from psycopg import conninfo

from dispatcher.config import read_password
from dispatcher.database import PostgresqlUrl
from dispatcher.ports import (
    StoreDamagedError,
    StoreFullError,
    StoreOpenError,
    StoreUnavailableError,
)
from dispatcher.postgresql_migrations import Connection
from servicekit.config import ConfigError

_LOCK = 0x76736A62
_OLDEST_SERVER = 130000
_KNOWS_IDLE_SESSIONS = 140000
# What the URL does not say. A server that cannot be reached is noticed within ten seconds, by both
# sides: until then the lock of a host that has lost its power is held.
_DEFAULTS = {
    "application_name": "virtscale-dispatcher",
    "connect_timeout": "5",
    "keepalives_idle": "4",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "target_session_attrs": "read-write",
}
_SETTINGS = {
    "client_encoding": "UTF8",
    "default_transaction_isolation": "read committed",
    "idle_in_transaction_session_timeout": "10s",
    "lock_timeout": "5s",
    "tcp_keepalives_idle": "4",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10000",
    # Inputs are parameters; they must not get into the server's log with an error.
    "log_parameter_max_length_on_error": "0",
    # Everything is found by an index. A plan that was made while a table was small is kept, and
    # would read all of it when it has grown.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}
_SET = "SELECT set_config(name, value, false) FROM json_each_text(%s::json) AS given (name, value)"
_SYNCHRONOUS = (
    "SELECT set_config('synchronous_commit', 'on', false) "
    "WHERE current_setting('synchronous_commit') <> 'remote_apply'"
)
_FACTS = "SELECT current_setting('fsync'), current_setting('server_encoding'), current_schema()"
_TAKE = "SELECT pg_try_advisory_lock(%s, hashtext(current_schema()))"
_HOLDER = (
    "SELECT coalesce(host(client_addr), 'the same host') || ' since ' || "
    "to_char(backend_start, 'YYYY-MM-DD HH24:MI:SS TZ') FROM pg_locks JOIN pg_stat_activity "
    "USING (pid) WHERE locktype = 'advisory' AND classid = %s AND objid::bigint = "
    "hashtext(current_schema())::bigint & 4294967295 AND granted AND "
    "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
# Only these get better by themselves when the server cannot be reached.
_HOPELESS = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "authentication failed for user",
    "does not exist",
    "certificate verify failed",
    "does not support SSL",
)


def connect(url: PostgresqlUrl, password_file: Path | None, *, is_writer: bool) -> Connection:
    """A session with everything set.

    Raises:
        StoreOpenError: waiting does not help: refused, or not fit to keep jobs.
        StoreUnavailableError: no answer now.

    """
    try:
        parameters = _parameters(url, password_file)
        connection = psycopg.connect(**parameters, autocommit=not is_writer, prepare_threshold=0)
    except psycopg.OperationalError as error:
        text = _first_line(error)
        if any(sign in text for sign in _HOPELESS):
            raise StoreOpenError(f"{url}: {text}") from None
        raise StoreUnavailableError(f"{url} cannot be reached: {text}") from None
    except psycopg.Error as error:
        raise StoreOpenError(f"database = {url}: {_first_line(error)}") from None
    try:
        _prepare(connection, url, is_writer=is_writer)
    except psycopg.Error as error:
        connection.close()
        raise translated(url, error) from None
    except BaseException:
        connection.close()
        raise
    return connection


def _parameters(url: PostgresqlUrl, password_file: Path | None) -> dict[str, Any]:
    given: Mapping[str, Any] = conninfo.conninfo_to_dict(url.text)
    password = {} if password_file is None else {"password": _password(password_file)}
    return {**_DEFAULTS, **given, **password}


def _password(path: Path) -> str:
    try:
        return read_password(path)
    except ConfigError as error:
        raise StoreOpenError(str(error)) from None


def _prepare(connection: Connection, url: PostgresqlUrl, *, is_writer: bool) -> None:
    if connection.info.server_version < _OLDEST_SERVER:
        raise StoreOpenError(f"{url}: is older than PostgreSQL 13; upgrade it")
    ((fsync, encoding, schema),) = connection.execute(_FACTS).fetchall()
    if fsync != "on":
        raise StoreOpenError(
            f"{url}: fsync is off there, so what it has acknowledged can be lost; set fsync = on"
        )
    if encoding != "UTF8":
        raise StoreOpenError(
            f"{url}: is encoded in {encoding}, which has no place for every text; make it with "
            "createdb --encoding UTF8 --template template0"
        )
    if schema is None:
        raise StoreOpenError(
            f"{url}: has no schema to make tables in; create the one that search_path names"
        )
    settings = dict(_SETTINGS)
    if not is_writer:
        settings["default_transaction_read_only"] = "on"
    elif connection.info.server_version >= _KNOWS_IDLE_SESSIONS:
        # Who writes says something each second. Whoever stands still loses the lock.
        settings["idle_session_timeout"] = "15s"
    connection.execute(_SET, (json.dumps(settings),))
    connection.execute(_SYNCHRONOUS)
    if not connection.autocommit:
        connection.commit()


def take_lock(connection: Connection) -> bool:
    """Makes this session the one that may write, unless another is."""
    with connection.transaction():
        ((is_taken,),) = connection.execute(_TAKE, (_LOCK,)).fetchall()
    return bool(is_taken)


def release_lock(connection: Connection) -> None:
    """Lets the next dispatcher become active now: the server learns of a closed session later.

    However often it was taken. Nothing happens to a session that is lost.
    """
    with contextlib.suppress(psycopg.Error):
        connection.rollback()
        connection.execute("SELECT pg_advisory_unlock_all()")


def holder(connection: Connection) -> str:
    """Who has the lock, for a person."""
    with connection.transaction():
        rows = connection.execute(_HOLDER, (_LOCK,)).fetchall()
    return str(rows[0][0]) if rows else "unknown"


def translated(url: PostgresqlUrl, error: Exception) -> Exception:
    """An error in words for a person. Only the server's own sentence: its details hold values."""
    if not isinstance(error, psycopg.Error):
        return error
    state, text = error.sqlstate or "", _first_line(error)
    if state == "53100":
        return StoreFullError(
            f"the disk of {url} is full; free some space there, nothing needs a restart"
        )
    if state in ("XX001", "XX002"):
        return StoreDamagedError(
            f"{url} is damaged ({text}); stop the dispatcher and restore a backup"
        )
    if state == "25006":
        return StoreUnavailableError(
            f"{url} is read-only now; it goes on when the server can write, nothing needs a restart"
        )
    return StoreUnavailableError(f"{url} cannot be used now: {text}")


def is_lost(connection: Connection) -> bool:
    """Whether the session has ended."""
    return connection.closed or connection.info.status != psycopg.pq.ConnStatus.OK


def _first_line(error: psycopg.Error) -> str:
    primary = error.diag.message_primary
    if primary:
        return primary
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(":") if lines else type(error).__name__
