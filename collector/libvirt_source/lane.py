"""A thread for calls that may never return.

libvirt's calls block without limit and cannot be cancelled. A stuck call occupies its lane until it
returns; the caller stops waiting and takes another lane.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

Result = TypeVar("Result")
_Job = tuple[Callable[[], Any], "Future[Any]"]


class Lane:
    """One daemon thread that runs one job after another. Jobs come from one thread at a time."""

    def __init__(self, name: str, ended: Callable[[object], None] | None = None) -> None:
        """`ended` is called at the end of each job, on the lane's thread."""
        self._ended = ended
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._unfinished: deque[Future[Any]] = deque()
        # A daemon: a stuck call must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def in_flight(self) -> "Future[Any] | None":
        """The last job that occupies the lane; None when a job would start at once."""
        while self._unfinished and self._unfinished[0].done():
            self._unfinished.popleft()
        return self._unfinished[-1] if self._unfinished else None

    def submit(self, job: Callable[[], Result]) -> "Future[Result]":
        """Runs `job` when those before it have ended; until then its future can be cancelled."""
        future: Future[Result] = Future()
        if self._ended is not None:
            future.add_done_callback(self._ended)
        self._unfinished.append(future)
        self._jobs.put((job, future))
        return future

    def end(self) -> None:
        """Lets the thread end after the jobs it has."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (taken := self._jobs.get()) is not None:
            job, future = taken
            if future.set_running_or_notify_cancel():
                try:
                    result = job()
                except BaseException as error:
                    future.set_exception(error)
                else:
                    future.set_result(result)
                    del result
            # Or the last result would live until the next job.
            del taken, job, future
