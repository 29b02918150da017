"""Which store the configuration names, and waiting until this dispatcher may open it."""

import asyncio

from prometheus_client import CollectorRegistry

from dispatcher import config
from dispatcher.config import DispatcherSettings
from dispatcher.database import PostgresqlUrl
from dispatcher.memory_store import MemoryStore
from dispatcher.ports import JobStore, Recovered, StoreTakenError, StoreUnavailableError
from dispatcher.sqlite_store import SqliteStore
from dispatcher.store_metrics import StoreMetrics, file_sizes
from servicekit import lifecycle, logs
from servicekit.lifecycle import Stop

_TRY_SECONDS = 0.5


class Opening:
    """Makes the store; opens it at once, or when another dispatcher is gone."""

    def __init__(self, settings: DispatcherSettings, registry: CollectorRegistry) -> None:
        self._log = logs.get()
        self._metrics = StoreMetrics(registry)
        self._is_shared = isinstance(settings.database, PostgresqlUrl)
        self.awaited = ""
        self.store = self._store(settings)

    def _store(self, settings: DispatcherSettings) -> JobStore:
        database = settings.database
        if isinstance(database, PostgresqlUrl):
            # Whoever keeps jobs in a file needs no client of PostgreSQL in memory.
            from dispatcher.postgresql_store import PostgresqlStore

            shared = PostgresqlStore(
                database,
                password_file=settings.database_password_file,
                on_commit=self._metrics.committed,
                on_fenced=self._end,
            )
            self._metrics.show_sizes(shared.sizes)
            return shared
        if database == config.IN_MEMORY:
            return MemoryStore()
        self._metrics.show_sizes(lambda: file_sizes(database))
        return SqliteStore(
            database,
            reserve_bytes=settings.disk_reserve_mib << 20,
            on_commit=self._metrics.committed,
        )

    def _end(self, reason: str) -> None:
        """Ends the process where it stands: whatever it did now, another one does."""
        self._log.error("store.fenced", reason=reason)
        lifecycle.leave(lifecycle.EXIT_FAILED)

    def why_not_ready(self) -> str | None:
        """What is waited for; None once the store is open."""
        return self.awaited or None

    def at_once(self) -> Recovered | None:
        """Opens a store that no other dispatcher may have; None when one may.

        Raises:
            StoreOpenError: one has it all the same, or it cannot be used.

        """
        return None if self._is_shared else self.store.open()

    async def turn(self, stop: Stop) -> Recovered | None:
        """Opens the store when it is this dispatcher's turn; None when the stop comes first.

        Tries, and does not wait inside the server: a statement that waits there for a lock keeps
        the server from removing old versions of rows.

        Raises:
            StoreOpenError: waiting does not help.

        """
        self._metrics.stands_by(True)
        while not stop.is_requested:
            try:
                recovered = await asyncio.to_thread(self.store.open)
            except (StoreTakenError, StoreUnavailableError) as error:
                if str(error) != self.awaited:
                    self.awaited = str(error)
                    is_taken = isinstance(error, StoreTakenError)
                    event = "dispatcher.standing_by" if is_taken else "store.awaited"
                    self._log.warning(event, reason=self.awaited)
                await stop.sleep(_TRY_SECONDS)
                continue
            self.awaited = ""
            self._metrics.stands_by(False)
            return recovered
        return None
