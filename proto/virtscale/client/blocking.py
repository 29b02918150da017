"""The blocking client: the asyncio one in a thread of its own, waited for."""

import asyncio
import math
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, TypeVar

from virtscale.client.asynchronous import MAX_IN_FLIGHT, AsyncClient
from virtscale.client.connection import Tls, Token
from virtscale.client.errors import DispatcherError
from virtscale.client.feed import ReadAhead, ThreadFeed
from virtscale.client.retries import RetryPolicy
from virtscale.client.values import (
    Backlog,
    Exported,
    Hashed,
    Job,
    JobSpec,
    Profile,
    State,
    Verdict,
    Worker,
)

T = TypeVar("T")

_MAX_AHEAD = 1_000


class Client:
    """Calls of one dispatcher; see `AsyncClient`, whose arguments and errors are the same.

    Usable from several threads at once. Use it in a `with`, or close it.
    """

    def __init__(
        self,
        address: str,
        *,
        token: Token | None = None,
        tls: Tls | None = None,
        insecure: bool = False,
        retry: RetryPolicy | None = None,
        on_trouble: Callable[[DispatcherError], None] | None = None,
    ) -> None:
        """See `AsyncClient`. `on_trouble` is called in another thread."""
        self._address = address
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="virtscale-client", daemon=True
        )
        self._thread.start()

        async def make() -> AsyncClient:
            return AsyncClient(
                address,
                token=token,
                tls=tls,
                insecure=insecure,
                retry=retry,
                on_trouble=on_trouble,
            )

        try:
            self._client = self._run(make())
        except BaseException:
            self._stop()
            raise

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._address!r})"

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; iterators that are not finished end with an error."""
        if self._thread.is_alive():
            self._run(self._close())
            self._stop()

    async def _close(self) -> None:
        await self._client.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # -- jobs ------------------------------------------------------------------------------------

    def submit(
        self,
        jobs: Iterable[str | JobSpec],
        *,
        profile: Profile | None = None,
        request_id: str | None = None,
    ) -> list[str]:
        """See `AsyncClient.submit`."""
        return self._run(self._client.submit(jobs, profile=profile, request_id=request_id))

    def hash_many(
        self,
        jobs: Iterable[str | JobSpec],
        *,
        profile: Profile | None = None,
        ordered: bool = False,
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> Iterator[Hashed]:
        """See `AsyncClient.hash_many`. The iterable may block; another thread reads it."""
        if isinstance(jobs, str | JobSpec):
            raise TypeError("give an iterable of numbers or jobs, also when it is only one")
        return self._iterate(
            lambda: self._client.hash_feed(
                ThreadFeed(jobs, profile), ordered=ordered, max_in_flight=max_in_flight
            )
        )

    def get(self, job_id: str) -> Job:
        """See `AsyncClient.get`."""
        return self._run(self._client.get(job_id))

    def wait(self, job_ids: Sequence[str], *, seconds: float = math.inf) -> list[Job]:
        """See `AsyncClient.wait`."""
        return self._run(self._client.wait(job_ids, seconds=seconds))

    def list_jobs(self, *, states: Sequence[State] = ()) -> Iterator[Job]:
        """See `AsyncClient.list_jobs`."""
        return self._iterate(lambda: self._client.list_jobs(states=states))

    def cancel(self, job_ids: Sequence[str]) -> list[Job]:
        """See `AsyncClient.cancel`."""
        return self._run(self._client.cancel(job_ids))

    def verify(self, number: str, stored: str) -> Verdict:
        """See `AsyncClient.verify`."""
        return self._run(self._client.verify(number, stored))

    def results(
        self, cursor: str = "", *, from_start: bool = False, follow: bool = True
    ) -> Iterator[Exported]:
        """See `AsyncClient.results`."""
        return self._iterate(
            lambda: self._client.results(cursor, from_start=from_start, follow=follow)
        )

    # -- fleet -----------------------------------------------------------------------------------

    def workers(self) -> list[Worker]:
        """See `AsyncClient.workers`."""
        return self._run(self._client.workers())

    def backlog(self) -> Backlog:
        """See `AsyncClient.backlog`."""
        return self._run(self._client.backlog())

    # -- crossing over ---------------------------------------------------------------------------

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _iterate(self, begin: Callable[[], AsyncGenerator[T, None]]) -> Iterator[T]:
        # In bunches: crossing over to the other thread costs more than most items.
        ahead = self._run(_read_ahead(begin))
        try:
            while self._run(ahead.ready()):
                yield from self._run(_taken(ahead))
        finally:
            if self._thread.is_alive():
                self._run(ahead.close())


async def _read_ahead(begin: Callable[[], AsyncGenerator[T, None]]) -> ReadAhead[T]:
    return ReadAhead(begin(), _MAX_AHEAD)


async def _taken(ahead: ReadAhead[T]) -> list[T]:
    return ahead.take(_MAX_AHEAD)
