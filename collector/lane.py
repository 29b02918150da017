"""A thread for calls that may never return.

libvirt's calls block without limit and cannot be cancelled. A stuck call occupies its lane until it
returns; the caller stops waiting and takes another lane.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Generic, TypeVar

Result = TypeVar("Result")
_Job = tuple[Callable[[], Result], "Future[Result]"]


class Lane(Generic[Result]):
    """One daemon thread that runs one job at a time."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[_Job[Result]] = SimpleQueue()
        self._current: Future[Result] | None = None
        # A daemon: a stuck call must not keep the process from ending.
        threading.Thread(target=self._run, name=name, daemon=True).start()

    @property
    def in_flight(self) -> "Future[Result] | None":
        """The job that occupies the lane; None when a job would start at once."""
        current = self._current
        return None if current is None or current.done() else current

    def submit(self, job: Callable[[], Result]) -> "Future[Result]":
        """Starts `job`; only for an idle lane, and from one thread at a time."""
        future: Future[Result] = Future()
        self._current = future
        self._jobs.put((job, future))
        return future

    def _run(self) -> None:
        while True:
            job, future = self._jobs.get()
            try:
                result = job()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
            # Or the last result would live until the next job.
            del job, future
