"""Time as an argument: the port, and the system's clock behind it."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Reads time. Decisions never call it; loops read it once per turn and pass `now` on."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never jumps back. For durations and deadlines."""
        ...

    def wall(self) -> float:
        """Seconds since the Unix epoch; may jump. For records that people or other hosts read."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Waits for `seconds`, at least one turn of the event loop."""
        ...


class SystemClock:
    """The machine's clock."""

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return time.monotonic()

    def wall(self) -> float:
        """See `Clock.wall`."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        await asyncio.sleep(max(0.0, seconds))
