"""The input of a submitting stream, never more of it in memory than is about to be sent."""

import asyncio
import itertools
import threading
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from typing import Generic, Protocol, TypeVar

from virtscale.client.batches import spec_of
from virtscale.client.values import MAX_BATCH, JobSpec, Profile

T = TypeVar("T")


class Feed(Protocol):
    """Gives jobs in the caller's order. `ready` may be cancelled: it takes nothing away."""

    async def ready(self) -> bool:
        """Returns when there is something to take; False at the end of the input."""
        ...

    def take(self, limit: int) -> list[JobSpec]:
        """What is there, at most `limit` jobs."""
        ...

    async def close(self) -> None:
        """Reads no more."""
        ...


class IterableFeed:
    """An iterable that never blocks: a list, a generator over one, a file that is on disk."""

    def __init__(self, items: Iterable[str | JobSpec], profile: Profile | None) -> None:
        self._specs = (spec_of(item, profile) for item in items)
        self._ahead: list[JobSpec] = []

    async def ready(self) -> bool:
        """See `Feed.ready`."""
        if not self._ahead:
            self._ahead = list(itertools.islice(self._specs, 1))
        return bool(self._ahead)

    def take(self, limit: int) -> list[JobSpec]:
        """See `Feed.take`."""
        ahead, self._ahead = self._ahead, []
        return ahead + list(itertools.islice(self._specs, limit - len(ahead)))

    async def close(self) -> None:
        """See `Feed.close`."""
        self._specs.close()


class ReadAhead(Generic[T]):
    """Reads an asynchronous iterable in a task, up to a limit ahead of whoever takes from it."""

    def __init__(self, items: AsyncIterable[T], limit: int) -> None:
        self._items = items
        self._limit = limit
        self._ahead: list[T] = []
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    async def ready(self) -> bool:
        """See `Feed.ready`."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
            self._reading.add_done_callback(lambda _: self._changed.set())
        while not self._ahead:
            if self._reading.done():
                self._reading.result()
                return False
            self._changed.clear()
            await self._changed.wait()
        return True

    def take(self, limit: int) -> list[T]:
        """See `Feed.take`."""
        taken, self._ahead = self._ahead[:limit], self._ahead[limit:]
        if len(self._ahead) < self._limit:
            self._room.set()
        return taken

    async def close(self) -> None:
        """Reads no more, and closes a generator."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        iterator = aiter(self._items)
        try:
            async for item in iterator:
                self._ahead.append(item)
                self._changed.set()
                if len(self._ahead) >= self._limit:
                    self._room.clear()
                    await self._room.wait()
        finally:
            if isinstance(iterator, AsyncGenerator):
                await iterator.aclose()


class AsyncIterableFeed:
    """An asynchronous iterable: what it gives is sent at once, one batch is read ahead."""

    def __init__(self, items: AsyncIterable[str | JobSpec], profile: Profile | None) -> None:
        self._items = ReadAhead(items, MAX_BATCH)
        self._profile = profile

    async def ready(self) -> bool:
        """See `Feed.ready`."""
        return await self._items.ready()

    def take(self, limit: int) -> list[JobSpec]:
        """See `Feed.take`."""
        return [spec_of(item, self._profile) for item in self._items.take(limit)]

    async def close(self) -> None:
        """See `Feed.close`."""
        await self._items.close()


class ThreadFeed:
    """An iterable that may block, such as a pipe: read in a thread of its own."""

    def __init__(self, items: Iterable[str | JobSpec], profile: Profile | None) -> None:
        self._items = items
        self._profile = profile
        self._ahead: list[JobSpec] = []
        self._lock = threading.Condition()
        self._changed = asyncio.Event()
        self._fault: BaseException | None = None
        self._has_ended = False
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            for item in self._items:
                spec = spec_of(item, self._profile)
                with self._lock:
                    self._lock.wait_for(lambda: self._is_closed or len(self._ahead) < MAX_BATCH)
                    if self._is_closed:
                        return
                    self._ahead.append(spec)
                    is_first = len(self._ahead) == 1
                if is_first:
                    loop.call_soon_threadsafe(self._changed.set)
        except BaseException as error:
            self._fault = error
        finally:
            with self._lock:
                self._has_ended = True
                if not self._is_closed:
                    loop.call_soon_threadsafe(self._changed.set)

    async def ready(self) -> bool:
        """See `Feed.ready`."""
        if self._thread is None:
            loop = asyncio.get_running_loop()
            # A daemon: nobody can end an iterable that waits for input.
            self._thread = threading.Thread(
                target=self._read, args=(loop,), name="virtscale-input", daemon=True
            )
            self._thread.start()
        while True:
            self._changed.clear()
            with self._lock:
                if self._ahead:
                    return True
                if self._has_ended:
                    if self._fault is not None:
                        raise self._fault
                    return False
            await self._changed.wait()

    def take(self, limit: int) -> list[JobSpec]:
        """See `Feed.take`."""
        with self._lock:
            taken, self._ahead = self._ahead[:limit], self._ahead[limit:]
            self._lock.notify()
        return taken

    async def close(self) -> None:
        """See `Feed.close`."""
        with self._lock:
            self._is_closed = True
            self._lock.notify()
