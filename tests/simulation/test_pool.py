"""Scaler and dispatcher together under faults on virtual time. A failure prints how to replay it.

`python -m tests.simulation.pool_run --seed 17` plays one seed with its trace; `--seconds 600` plays
fresh ones for so long.
"""

import asyncio
import logging
import os
import time
from pathlib import Path

import pytest
import structlog

from scaler.breaker import BreakerSettings
from scaler.decision import Settings
from scaler.recommendation import BacklogPolicy, ReferencePolicy
from scaler.stabilization import Limits
from scaler.tracking import Timing
from servicekit import logs
from tests.simulation import pool_run, pool_scale_ins, virtual_loop
from tests.simulation.pool_world import POOL, PoolWorld
from tests.simulation.virtual_loop import pass_time

SECONDS = 8.0
FIXED_SEEDS = 12


@pytest.fixture(autouse=True)
def _quiet():
    handlers = logging.getLogger().handlers[:]
    logs.configure("simulation", level="error", form="text", file=Path(os.devnull))
    yield
    # Closes the file; the process's end would complain of it.
    logs.configure("simulation")
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = handlers


# A start that libvirt did not answer was carried out after somebody else had started the domain
# and it had been destroyed: one more than the maximum.
LATE_START = 1795686731780


def test_fixed_seeds_keep_every_promise():
    for seed in (*range(FIXED_SEEDS), LATE_START):
        pool_run.run_seed(seed)


def test_fresh_seeds_keep_every_promise():
    began = time.monotonic()
    seed = time.time_ns() // 1_000_000
    while time.monotonic() - began < SECONDS:
        pool_run.run_seed(seed)
        seed += 1


@pytest.mark.parametrize("seed", [3, 13, 21, 41])
def test_a_seed_repeats_its_run(seed):
    one, two = (pool_run.run_seed(seed) for _ in range(2))
    assert list(one.trace) == list(two.trace)
    assert one.disk.results == two.disk.results
    assert list(pool_run.run_seed(seed + 1).trace) != list(one.trace)


def test_scale_ins_lose_no_job_and_run_none_twice():
    tally = pool_scale_ins.count(50)
    assert (tally.lost, tally.run_twice) == (0, 0), str(tally)
    # The same count of a scaler that sees no leases: it shows that the count sees what it counts.
    assert pool_scale_ins.count(20, is_blind=True).run_twice > 0


async def a_day(seed, **faults):
    """24 hours in which work waits and every boot fails; default deadlines and breaker."""
    settings = Settings(
        POOL,
        Limits(min=2, max=4),
        Timing(),
        BreakerSettings(),
        (ReferencePolicy(), BacklogPolicy()),
    )
    world = PoolWorld(seed, settings=settings, domains=6, tick_seconds=10.0)
    for name, value in faults.items():
        setattr(world.faults, name, value)
    world.start_scaler()
    waiting = asyncio.ensure_future(world.submit(50, 1.0))
    refused = 0
    for _ in range(24 * 60):
        await pass_time(60.0)
        world.check()
        refused += sum(one.cause == "failed" for one in world.ours)
    await waiting
    starts = world.checks.counts["starts"]
    for name, value in vars(type(world.faults)()).items():
        setattr(world.faults, name, value)
    await pass_time(2 * 1800.0)
    assert world.node.ledger.counts.unfinished == 0, "the pool does not recover"
    world.check()
    await world.end()
    return starts, refused


def test_starts_are_few_while_every_boot_fails_for_a_day():
    starts, _ = virtual_loop.run(a_day(1, boot_fails=1.0))
    # Two to six at first, then a pause that doubles to half an hour. `check` counts active domains.
    assert 40 <= starts <= 60


def test_refused_starts_back_off_for_a_day_too():
    starts, refused = virtual_loop.run(a_day(1, start_fails=1.0))
    assert starts == 0
    assert refused > 0
