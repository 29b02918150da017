"""The newest results, in memory, for those who follow them: they need not ask the store.

A job's result passes through memory on its way to the disk. Reading it back for each follower cost
a thread switch there and back, and a statement, for every one that was told.
"""

import asyncio
from collections.abc import Sequence

from dispatcher.jobs import Job
from dispatcher.ports import Stored

MAX_KEPT = 4_096


class RecentResults:
    """A gapless piece of the results' sequence that ends with the newest; may be empty.

    Kept while somebody follows, so that bulk without followers does not pay for it.
    """

    def __init__(self) -> None:
        self._kept: list[Stored] = []
        self._before: int | None = None
        self._followers = 0
        self._news = asyncio.Event()

    @property
    def is_followed(self) -> bool:
        """Whether anybody would read what is added."""
        return self._followers > 0

    def enter(self) -> None:
        """Somebody begins to follow."""
        self._followers += 1

    def leave(self) -> None:
        """Somebody follows no longer."""
        self._followers -= 1
        if not self._followers:
            self.forget()

    def add(self, first: int, jobs: Sequence[Job]) -> None:
        """Takes in what was stored under the cursors from `first` on."""
        if self._before is None or first != self._before + len(self._kept) + 1:
            self.forget()
            self._before = first - 1
        self._kept += [Stored(first + place, job) for place, job in enumerate(jobs)]
        if (surplus := len(self._kept) - MAX_KEPT) >= MAX_KEPT:
            del self._kept[:surplus]
            self._before += surplus

    def forget(self) -> None:
        """Something was stored that is not known here: the store must be asked."""
        self._kept = []
        self._before = None

    def after(self, cursor: int, limit: int) -> list[Stored] | None:
        """What follows a cursor, at most `limit`; None when only the store knows."""
        if self._before is None or cursor < self._before:
            return None
        start = cursor - self._before
        return self._kept[start : start + limit]

    def tell(self) -> None:
        """Wakes whoever waits: something became final."""
        self._news.set()
        self._news.clear()

    async def news(self) -> None:
        """Returns after the next `tell`."""
        await self._news.wait()
