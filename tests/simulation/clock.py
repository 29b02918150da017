"""Time that passes only when a test says so."""

import asyncio


class VirtualClock:
    def __init__(self, monotonic=1000.0, wall=1_700_000_000.0):
        self._monotonic = monotonic
        self._offset = wall - monotonic

    def monotonic(self):
        return self._monotonic

    def wall(self):
        return self._monotonic + self._offset

    async def sleep(self, seconds):
        self.advance(seconds)
        await asyncio.sleep(0)

    def advance(self, seconds):
        self._monotonic += seconds
