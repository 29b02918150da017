import asyncio
import time

from dispatcher.idleness import WatchedLoop, idle_at


async def rest() -> None:
    """Leave the loop without anything to do for a moment."""
    woken = asyncio.Event()
    asyncio.get_running_loop().call_later(0.001, woken.set)
    await woken.wait()


def test_a_loop_that_waits_was_idle_and_one_that_works_was_not():
    async def watch() -> list[float]:
        idle_at()
        await rest()
        rested = idle_at()
        for _ in range(3):
            await asyncio.sleep(0)
        worked = idle_at()
        await rest()
        return [rested, worked, idle_at()]

    with asyncio.Runner(loop_factory=WatchedLoop) as runner:
        rested, worked, again = runner.run(watch())
    assert rested == worked < again


def test_a_loop_that_nobody_asked_counts_as_idle():
    async def watch() -> tuple[float, float]:
        before = time.monotonic()
        return before, idle_at()

    with asyncio.Runner(loop_factory=WatchedLoop) as runner:
        before, found = runner.run(watch())
    assert before <= found


def test_any_other_loop_counts_as_idle():
    async def ask() -> tuple[float, float]:
        return idle_at(), idle_at()

    first, second = asyncio.run(ask())
    assert 0 < first <= second
