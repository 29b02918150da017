"""When the event loop last had nothing to do."""

import asyncio
import math
import selectors
import time
from typing import Any

# Looking costs a system call in each turn: only while somebody wants to know.
_WATCH_SECONDS = 1.0


class WatchedSelector(selectors.EpollSelector):
    """Notes each moment in which no event was ready, while it is asked for them."""

    def __init__(self) -> None:
        super().__init__()
        self._idle_at = time.monotonic()
        self._watched_until = -math.inf

    def idle_at(self) -> float:
        """When no event was ready; now, when nobody has asked for a second."""
        now = time.monotonic()
        if now >= self._watched_until:
            self._idle_at = now
        self._watched_until = now + _WATCH_SECONDS
        return self._idle_at

    def select(self, timeout: float | None = None) -> Any:
        """See `selectors.BaseSelector.select`."""
        if (timeout is not None and timeout <= 0) or time.monotonic() >= self._watched_until:
            return super().select(timeout)
        ready = super().select(0)
        if ready:
            return ready
        self._idle_at = time.monotonic()
        return super().select(timeout)


class WatchedLoop(asyncio.SelectorEventLoop):
    """An event loop whose idleness can be asked for."""

    def __init__(self) -> None:
        self.watched = WatchedSelector()
        super().__init__(self.watched)


def idle_at() -> float:
    """When the running loop was idle; now, for a loop that is not watched."""
    loop = asyncio.get_running_loop()
    return loop.watched.idle_at() if isinstance(loop, WatchedLoop) else time.monotonic()
