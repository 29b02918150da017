"""Dispatcher and workers under thousands of faults on virtual time. A failure prints its seed.

Repeat one seed: `./test tests/simulation/test_dispatch.py --dispatch-seed 17`.
"""

import asyncio
import time

import pytest

from tests.simulation import virtual_loop
from tests.simulation.dispatch_world import KEEPALIVE, LEASE_TTL, World

SECONDS = 12.0
# Rejected workers come back after 30 s, everything else within the keepalive and the lease time.
BOUND = 30.0 + KEEPALIVE + 4 * LEASE_TTL


async def one_run(seed, *, faults):
    world = World(seed)
    dice = world.dice
    tasks = set()
    for _ in range(faults):
        tasks.add(asyncio.ensure_future(world.fault()))
        if dice.random() < 0.7:
            tasks.add(asyncio.ensure_future(world.submit(dice.choice((1, 3, 20)))))
        await asyncio.sleep(dice.choice((0.0, 0.02, 0.4, 2.0)))
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
        await asyncio.sleep(0.05)
    await asyncio.sleep(LEASE_TTL / 4)  # acknowledgements and credits still under way
    world.check_whole()
    await world.node.kill()
    return world


def test_no_fault_loses_repeats_or_blocks_a_job(request):
    chosen = request.config.getoption("--dispatch-seed")
    began = time.monotonic()
    seed = 0 if chosen is None else chosen
    while time.monotonic() - began < SECONDS:
        try:
            virtual_loop.run(one_run(seed, faults=12))
        except BaseException as error:
            smallest = shrunk(seed)
            pytest.fail(f"seed {seed} fails, with {smallest} faults too: {error!r}")
        if chosen is not None:
            return
        seed += 1
    assert seed > 20, "too slow to mean anything"


def shrunk(seed):
    """The fewest faults with which the same seed still fails."""
    for faults in range(1, 12):
        try:
            virtual_loop.run(one_run(seed, faults=faults))
        except BaseException:
            return faults
    return 12
