"""An event loop whose time is virtual: when nothing can run, it jumps to the next timer."""

import asyncio
import contextlib
import selectors


class _Selector(selectors.SelectSelector):
    def __init__(self):
        super().__init__()
        self.now = 1000.0

    def select(self, timeout=None):
        assert timeout is not None, "everything waits for everything: nothing will ever happen"
        # A turn of the loop takes a moment, as on a real machine: a wait for less than the loop can
        # tell apart would otherwise end at the very time at which it began, for ever.
        self.now += max(timeout, 1e-6)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self):
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self):
        return self._virtual.now


async def pass_time(seconds):
    """Lets virtual time pass. Nobody waits for it."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    loop.call_later(seconds, lambda: over.done() or over.set_result(None))
    await over


class LoopClock:
    """The loop's time; the wall clock is off by `step`."""

    def __init__(self):
        self.step = 1_700_000_000.0

    def monotonic(self):
        return asyncio.get_running_loop().time()

    def wall(self):
        return self.monotonic() + self.step

    async def sleep(self, seconds):
        await pass_time(seconds)


def run(coroutine):
    """Runs it to its end in virtual time."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        with contextlib.suppress(RuntimeError):
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0))
            loop.run_until_complete(asyncio.sleep(0))
        loop.close()
