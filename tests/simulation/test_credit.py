"""Credit that grew with light jobs does not make heavy ones wait where others are idle."""

import pytest

from tests.simulation import virtual_loop
from tests.simulation.dispatch_world import LEASE_TTL, SimulatedWorker, World
from tests.simulation.virtual_loop import pass_time

SLOTS = 2
HEAVY_SECONDS = 1.0
BURST = 40
# From the end of a job to the next: two ways through the made-up network, and the disk.
TURN_SECONDS = 0.2


async def grown(**settings):
    """A world whose workers have done 1,000 light jobs, as quickly as they get them."""
    world = World(5, prefetches=(None,), slots=(SLOTS,), **settings)
    world.light_seconds = (2e-5,)
    for _ in range(10):
        await world.submit(100)
    await idle(world)
    for worker in world.workers:
        assert worker.session.credit > 10 * SLOTS, "the credit has not grown"
    return world


async def idle(world):
    while not world.is_idle:
        await pass_time(0.01)


async def burst(world, *, join_after=None):
    """Seconds until a burst of heavy jobs is done."""
    began = world.clock.monotonic()
    keys = await world.submit(BURST, HEAVY_SECONDS)
    if join_after is not None:
        await pass_time(join_after)
        world.workers.append(SimulatedWorker(world, "late", SLOTS, None))
    await idle(world)
    took = world.clock.monotonic() - began
    assert max(world.runs[key] for key in keys) == 1, "a job was begun twice"
    return took


def most_seconds(jobs, slots):
    rounds = -(-jobs // slots)
    return rounds * (HEAVY_SECONDS + TURN_SECONDS) + TURN_SECONDS


@pytest.mark.parametrize("workers", [1, 2])
def test_a_burst_of_heavy_jobs_after_light_ones_is_shared_by_all_slots(workers):
    async def run():
        world = await grown(workers=workers)
        took = await burst(world)
        assert took < most_seconds(BURST, workers * SLOTS)
        # Each goes back once at most: a worker that has given up jobs does not get them again.
        assert world.released
        assert max(world.released.values()) == 1
        await pass_time(LEASE_TTL / 4)  # acknowledgements and credits still under way
        world.check_whole()
        await world.node.kill()

    virtual_loop.run(run())


def test_a_worker_that_joins_after_the_burst_gets_its_share():
    async def run():
        world = await grown(workers=1)
        took = await burst(world, join_after=0.5)
        assert took < 0.5 + most_seconds(BURST, 2 * SLOTS)
        await world.node.kill()

    virtual_loop.run(run())


def test_heavy_jobs_that_come_one_by_one_take_the_credit_back():
    async def run():
        world = await grown(workers=1)
        for _ in range(8):
            await world.submit(1, HEAVY_SECONDS)
            await pass_time(0.1)
        (worker,) = world.workers
        assert worker.session.credit + worker.session.in_progress <= 2 * SLOTS
        assert worker.session.in_progress == 2 * SLOTS
        assert sum(world.released.values()) == 0, "no job came that had to go back"
        await idle(world)
        await world.submit(400)
        await idle(world)
        assert worker.session.credit > 10 * SLOTS, "light jobs let it grow again"
        await world.node.kill()

    virtual_loop.run(run())
