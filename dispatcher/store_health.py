"""Whether the store can be written and is sound, as everybody in the dispatcher must know it."""

import asyncio

from dispatcher.ports import StoreDamagedError, StoreUnavailableError
from dispatcher.telemetry import Telemetry
from servicekit import logs


class StoreHealth:
    """One value for the loop, the clients' calls and the health service.

    While the store cannot write, nothing is leased: what workers hold bounds the results that wait.
    Damage ends all new work until the dispatcher is started on a sound file.
    """

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry.store
        self._log = logs.get()
        self._damaged = asyncio.Event()
        self.is_writable = True
        self.damage = ""

    @property
    def is_leasing(self) -> bool:
        """Whether jobs may be leased."""
        return self.is_writable and not self.damage

    def check_accepting(self) -> None:
        """Passes while new jobs may be submitted.

        Raises:
            StoreDamagedError: not before a restore.

        """
        if self.damage:
            raise StoreDamagedError(self.damage)

    def failed(self, error: StoreUnavailableError) -> None:
        """A write failed and will be tried again."""
        self._telemetry.failed()
        if isinstance(error, StoreDamagedError):
            self.damaged(str(error))
        if self.is_writable:
            self.is_writable = False
            self._telemetry.is_writable(False)
            self._log.error("store.unavailable", reason=str(error))

    def written(self) -> bool:
        """A write succeeded; true when it is the first after a failure."""
        if self.is_writable:
            return False
        self.is_writable = True
        self._telemetry.is_writable(True)
        self._log.warning("store.available_again")
        return True

    def damaged(self, reason: str) -> None:
        """The file is damaged."""
        if not self.damage:
            self.damage = reason
            self._telemetry.is_sound(False)
            self._log.error("store.damaged", reason=reason)
            self._damaged.set()

    async def wait_damaged(self) -> None:
        """Returns when the file is known to be damaged."""
        await self._damaged.wait()
