"""What is done to a PostgreSQL store while no dispatcher is active on it."""

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

import psycopg

from dispatcher import postgresql_migrations as migrations
from dispatcher import postgresql_schema as schema
from dispatcher import postgresql_session as sessions
from dispatcher.database import PostgresqlUrl
from dispatcher.ports import StoreOpenError, StoreUnavailableError
from dispatcher.postgresql_migrations import Connection

_GENERATIONS_AHEAD = 1 << 16
_END_ERA = (
    "INSERT INTO eras (store_id, last_key, last_cursor, next_generation) "
    "SELECT value, accepted, final_order, generation + 1 FROM meta, numbers "
    "WHERE name = 'store_id'"
)


class OfflineError(Exception):
    """Nothing was changed. The text names the database and the fix."""


def check(url: PostgresqlUrl, password_file: Path | None) -> str | None:
    """What contradicts itself; None when nothing does. A dispatcher may be active meanwhile.

    Raises:
        OfflineError: there is no store that could be looked at.

    """
    with _session(url, password_file) as connection:
        if migrations.known_version(connection) == 0:
            raise OfflineError(f"{url}: is empty, no store")
        return schema.fault(connection)


def begin_era(url: PostgresqlUrl, password_file: Path | None) -> None:
    """Makes a restored database the beginning of a new stretch of the store's life.

    Raises:
        OfflineError: a dispatcher is active on it, or there is no store.

    """
    with _session(url, password_file) as connection:
        if not sessions.take_lock(connection):
            who = sessions.holder(connection)
            raise OfflineError(f"{url}: in use by a dispatcher ({who}); stop it first")
        if migrations.known_version(connection) == 0:
            raise OfflineError(f"{url}: is empty, no store; restore a dump first")
        migrations.prepare(connection)
        with connection.transaction():
            # The store that was lost may have been opened any number of times since.
            connection.execute(
                "UPDATE numbers SET generation = generation + %s", (_GENERATIONS_AHEAD,)
            )
            connection.execute(_END_ERA)
            connection.execute(
                "UPDATE meta SET value = %s WHERE name = 'store_id'", (secrets.token_hex(4),)
            )


@contextlib.contextmanager
def _session(url: PostgresqlUrl, password_file: Path | None) -> Iterator[Connection]:
    try:
        with contextlib.closing(sessions.connect(url, password_file, is_writer=True)) as connection:
            try:
                yield connection
            finally:
                sessions.release_lock(connection)
    except (StoreOpenError, StoreUnavailableError) as error:
        raise OfflineError(str(error)) from None
    except migrations.SchemaError as error:
        raise OfflineError(f"{url}: {error}") from None
    except psycopg.Error as error:
        raise OfflineError(str(sessions.translated(url, error))) from None
