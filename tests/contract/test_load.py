"""The stack's load generator on a real dispatcher that is killed under it."""

import asyncio
import random
import signal
from pathlib import Path

from virtscale.client import ONCE, AsyncClient

from servicekit.clock import SystemClock
from stack.arrivals import Arrivals
from stack.calibration import NO_LOAD
from stack.journal import Journal
from stack.load import LoadGenerator
from tests.contract.dispatcher_process import DispatcherProcess, until
from tests.contract.test_client import working


async def test_the_books_are_right_after_a_kill(tmp_path: Path) -> None:
    dispatcher = DispatcherProcess(tmp_path)
    dispatcher.start()
    draw = random.Random(5).random
    journal = Journal(prefix="run-", draw=draw)
    try:
        async with AsyncClient(dispatcher.address, retry=ONCE) as client, working(dispatcher):
            load = LoadGenerator(
                client, clock=SystemClock(), journal=journal, draw=draw, profile="legacy-sha256"
            )
            following = asyncio.create_task(load.follow())
            load.begin(Arrivals(0.01, "steady", SystemClock().monotonic()), NO_LOAD)
            running = asyncio.create_task(load.run())
            for more in (50, 100):

                async def has_results(least: int = more) -> bool:
                    return journal.completed >= least

                await until(has_results)
                await asyncio.to_thread(dispatcher.end, signal.SIGKILL)
                await asyncio.to_thread(dispatcher.start)
            load.stop()
            await running

            async def is_settled() -> bool:
                await load.reconcile()
                return not journal.outstanding

            await until(is_settled)
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            backlog = await client.backlog()
    finally:
        await dispatcher.close()
    assert journal.submitted == journal.completed == backlog.done == backlog.accepted
    assert (journal.duplicated, journal.failed, journal.unknown()) == (0, 0, 0)
