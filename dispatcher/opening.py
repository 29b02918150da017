"""Waiting until this dispatcher may open its store, and ending when it lost its turn."""

import asyncio

from dispatcher.ports import JobStore, Recovered, StoreTakenError, StoreUnavailableError
from dispatcher.store_metrics import StoreMetrics
from servicekit import lifecycle, logs
from servicekit.lifecycle import Stop

_TRY_SECONDS = 0.5


def end_at_once(reason: str) -> None:
    """Ends the process where it stands: whatever it did now, another one does."""
    logs.get().error("store.fenced", reason=reason)
    lifecycle.leave(lifecycle.EXIT_FAILED)


class Opening:
    """Opens the store at once, or, when it is shared, once no other dispatcher is active."""

    def __init__(self, store: JobStore, metrics: StoreMetrics, *, is_shared: bool) -> None:
        self.store = store
        self.awaited = ""
        self._log = logs.get()
        self._metrics = metrics
        self._is_shared = is_shared

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
