"""Signals in memory. A query is the name of a series; it passes the contract of the real source."""

import asyncio
import math

from scaler.readings import Empty, Failed, Known, NotANumber, Stale, implausible


class MetricsFake:
    """`series` maps a name to the values of its series; `ages` to the age of the newest sample."""

    def __init__(self, stale_after_seconds=10.0):
        self.series = {}
        self.ages = {}
        self.is_away = False
        self._stale_after_seconds = stale_after_seconds

    async def read(self, queries):
        await asyncio.sleep(0)
        return {query.signal: self._reading(query) for query in queries}

    def _reading(self, query):
        if self.is_away:
            return Failed("cannot connect")
        values = self.series.get(query.query, [])
        if not values:
            return Empty()
        if len(values) > 1:
            return Failed(f"expected 1 series, got {len(values)}")
        if not math.isfinite(values[0]):
            return NotANumber()
        fault = implausible(values[0], is_share=query.is_share)
        if fault is not None:
            return Failed(fault)
        age = self.ages.get(query.query, 1.0)
        return Stale(age) if age > self._stale_after_seconds else Known(values[0], age)
