"""When the event loop last had nothing to do."""

import asyncio
import selectors
import time
from typing import Any


class WatchedSelector(selectors.EpollSelector):
    """Notes each moment in which no event was ready. Costs one system call, when there is time."""

    def __init__(self) -> None:
        super().__init__()
        self.idle_at = time.monotonic()

    def select(self, timeout: float | None = None) -> Any:
        """See `selectors.BaseSelector.select`."""
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        self.idle_at = time.monotonic()
        return super().select(timeout)


class WatchedLoop(asyncio.SelectorEventLoop):
    """An event loop whose idleness can be asked for."""

    def __init__(self) -> None:
        self.watched = WatchedSelector()
        super().__init__(self.watched)


def idle_at() -> float:
    """When the running loop was idle; now, for a loop that is not watched."""
    loop = asyncio.get_running_loop()
    return loop.watched.idle_at if isinstance(loop, WatchedLoop) else time.monotonic()
