import asyncio
import random

import pytest
from virtscale.client.errors import DispatcherError
from virtscale.client.values import Busy, Collision, Verify

from stack.arrivals import Arrivals
from stack.calibration import NO_LOAD, JobLoad
from stack.journal import Journal
from stack.load import LoadGenerator, client_load


@pytest.fixture
def journal() -> Journal:
    return Journal(prefix="run-", draw=random.Random(2).random)


@pytest.fixture
def load(dispatcher, clock, journal) -> LoadGenerator:
    return LoadGenerator(
        dispatcher,
        clock=clock,
        journal=journal,
        draw=random.Random(3).random,
        profile="legacy-sha256",
    )


async def until(condition) -> None:
    for _ in range(100_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("the condition never came true")


async def test_a_refusal_is_no_job_and_does_not_end_the_load(
    load, dispatcher, journal, clock
) -> None:
    dispatcher.failures = [DispatcherError("INVALID_ARGUMENT", "bad")]
    load.begin(Arrivals(0.0001, "steady", clock.now), NO_LOAD)
    running = asyncio.create_task(load.run())
    await until(lambda: "bad" in load.state.trouble)
    await until(lambda: journal.submitted > 0)
    load.stop()
    await running
    assert journal.submitted == len(dispatcher.jobs)


async def test_what_finished_unheard_is_found_by_asking(load, dispatcher, journal, clock) -> None:
    load.begin(Arrivals(0.001, "steady", clock.now), NO_LOAD)
    running = asyncio.create_task(load.run())
    await until(lambda: journal.submitted > 5)
    load.stop()
    await running
    assert journal.outstanding
    await load.reconcile()
    assert journal.outstanding == []
    assert journal.completed == journal.submitted


async def test_a_result_says_that_the_dispatcher_is_back(load, dispatcher, journal) -> None:
    ids = await dispatcher_submit(load, dispatcher)
    load.state.trouble = "the dispatcher does not answer"
    following = asyncio.create_task(load.follow())
    await until(lambda: journal.completed == len(ids))
    assert load.state.trouble == ""
    following.cancel()


async def test_results_are_followed(load, dispatcher, journal) -> None:
    following = asyncio.create_task(load.follow())
    ids = await dispatcher_submit(load, dispatcher)
    await until(lambda: journal.completed == len(ids))
    following.cancel()


@pytest.mark.parametrize(
    ("load", "sent"),
    [
        (NO_LOAD, None),
        (JobLoad("collision", 17), Collision(17)),
        (JobLoad("verify", 50_000), Verify(50_000)),
        (JobLoad("busy", 1.5), Busy(1.5)),
    ],
)
def test_a_load_is_sent_as_it_was_chosen(load, sent) -> None:
    assert client_load(load) == sent


async def dispatcher_submit(load, dispatcher) -> list[str]:
    job = load._job(NO_LOAD)
    return await load._submit([(job, 1.0)])


async def test_calibration_measures_until_a_job_is_long_enough(load, dispatcher, journal) -> None:
    chosen = await load.calibrate(highest_rate=1.5, slots=1)
    # The fake guest verifies 10,000 times per second: one second of work per request.
    assert chosen.kind == "verify"
    assert chosen.amount == pytest.approx(10_000, rel=0.01)
    assert journal.completed == journal.submitted == len(dispatcher.jobs)
