"""Calls something now and then beside a piece of work that says nothing by itself."""

import contextlib
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def beside(tick: Callable[[], object], *, seconds: float) -> Iterator[None]:
    """Until the end of the block, from a thread; not before the first `seconds` are over."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(seconds):
            tick()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
