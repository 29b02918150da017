"""Daemon threads for calls that may never return: a hung server must not hang our exit."""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

Value = TypeVar("Value")

_Job = tuple[Callable[[], Any], asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


class DaemonThreads:
    """A few threads with one queue. `concurrent.futures` would wait for hung calls at exit."""

    def __init__(self, count: int, name: str) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._count = count
        for number in range(count):
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True).start()

    async def call(self, function: Callable[[], Value], timeout_seconds: float) -> Value:
        """Runs `function` in a thread.

        Raises:
            TimeoutError: no answer in time; the call goes on in its thread, its answer is dropped.

        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Value] = loop.create_future()
        self._jobs.put((function, loop, future))
        return await asyncio.wait_for(future, timeout_seconds)

    def close(self) -> None:
        """Lets idle threads end."""
        for _ in range(self._count):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            function, loop, future = job
            if future.cancelled():
                continue
            value: Any = None
            error: BaseException | None = None
            try:
                value = function()
            except BaseException as caught:
                error = caught
            try:
                loop.call_soon_threadsafe(_finish, future, value, error)
            except RuntimeError:
                # The loop has closed: nobody waits any more.
                return


def _finish(future: "asyncio.Future[Any]", value: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)
