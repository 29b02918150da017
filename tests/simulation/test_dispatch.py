"""Dispatcher and workers under thousands of faults on virtual time. A failure prints its seed.

Repeat one seed: `./test tests/simulation/test_dispatch.py --dispatch-seed 17`.
"""

import asyncio
import time
from collections import Counter

import pytest

from dispatcher.effects import DrainOutcome
from tests.simulation import virtual_loop
from tests.simulation.dispatch_world import KEEPALIVE, LEASE_TTL, World
from tests.simulation.virtual_loop import pass_time

SECONDS = 12.0
LEAST_SEEDS = 12
# Rejected workers come back after 30 s, everything else within the keepalive and the lease time.
BOUND = 30.0 + KEEPALIVE + 4 * LEASE_TTL


async def one_run(seed, *, faults):
    world = World(seed)
    dice = world.dice
    tasks = set()
    for _ in range(faults):
        tasks.add(asyncio.ensure_future(world.fault()))
        if dice.random() < 0.7:
            heavy_seconds = dice.choice((None, None, 0.05, 1.0))
            submitting = world.submit(dice.choice((1, 3, 20)), heavy_seconds)
            tasks.add(asyncio.ensure_future(submitting))
        await pass_time(dice.choice((0.0, 0.02, 0.4, 2.0)))
        world.check()
        for task in [each for each in tasks if each.done()]:
            tasks.remove(task)
            task.result()
    async with asyncio.timeout(BOUND * 2 + len(world.disk.jobs)):
        await asyncio.gather(*tasks)
    ended = world.clock.monotonic()
    await world.submit(5)
    jobs = len(world.disk.jobs)
    while not world.is_idle:
        world.check()
        waited = world.clock.monotonic() - ended
        assert waited < BOUND + jobs, f"not done {waited:.0f} s after the last fault"
        await pass_time(0.05)
    await pass_time(LEASE_TTL / 4)  # acknowledgements and credits still under way
    world.check_whole()
    await world.node.kill()
    return world


def test_no_fault_loses_repeats_or_blocks_a_job(request):
    chosen = request.config.getoption("--dispatch-seed")
    began = time.monotonic()
    seed = 0 if chosen is None else chosen
    # As many as fit into the time, and a few on the slowest machine.
    while seed < LEAST_SEEDS or time.monotonic() - began < SECONDS:
        try:
            virtual_loop.run(one_run(seed, faults=12))
        except BaseException as error:
            smallest = shrunk(seed)
            pytest.fail(f"seed {seed} fails, with {smallest} faults too: {error!r}")
        if chosen is not None:
            return
        seed += 1


def test_a_seed_repeats_its_run():
    one, two = (virtual_loop.run(one_run(3, faults=12)) for _ in range(2))
    assert one.disk.jobs == two.disk.jobs
    assert one.disk.results == two.disk.results
    assert one.clock.step == two.clock.step
    other = virtual_loop.run(one_run(4, faults=12))
    assert other.disk.results != one.disk.results


async def settled(world):
    while not world.is_idle:
        await pass_time(0.05)
    await pass_time(LEASE_TTL / 4)  # acknowledgements and credits still under way
    world.check_whole()


async def many_drains(seed, times):
    world = World(seed)
    outcomes = Counter()
    for turn in range(times):
        worker = world.dice.choice(world.workers)
        submitting = asyncio.ensure_future(world.submit(world.dice.choice((1, 2, 5))))
        cancel_after = world.dice.choice((None, 0.0, 0.001, 0.03, 0.3))
        outcome = await world.drain(worker.name, 60.0, cancel_after=cancel_after)
        outcomes[outcome] += 1
        await submitting
        world.check()
        if turn % 100 == 0:
            await settled(world)
    await settled(world)
    ledger = world.node.ledger
    assert all(each.completed for each in ledger.workers(0.0)), "a worker that never works"
    # Nobody was lost and every deadline sufficed: each job was begun exactly once.
    assert max(world.runs.values()) == 1
    await world.node.kill()
    return outcomes


def test_a_thousand_drains_and_cancelled_drains_leave_no_ghost():
    outcomes = virtual_loop.run(many_drains(1, 1200))
    assert outcomes[DrainOutcome.DRAINED] > 300
    assert outcomes[DrainOutcome.CANCELLED] > 300
    assert set(outcomes) == {DrainOutcome.DRAINED, DrainOutcome.CANCELLED}


def shrunk(seed):
    """The fewest faults with which the same seed still fails."""
    for faults in range(1, 12):
        try:
            virtual_loop.run(one_run(seed, faults=faults))
        except BaseException:
            return faults
    return 12
