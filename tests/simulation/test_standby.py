"""Standby tiers with the whole scaler on virtual time, with faults. A failure prints its seed."""

import pytest

from scaler.breaker import BreakerSettings
from scaler.decision import Settings
from scaler.host_room import HostRoom
from scaler.pool import Lifecycle, OperationKind
from scaler.recommendation import BacklogPolicy, ReferencePolicy
from scaler.stabilization import Limits
from scaler.standby import StandbyPolicy
from scaler.tracking import Timing
from tests.simulation.world import OUTAGE, World

ROOMY = HostRoom(1 << 40, 1 << 40, 1 << 40)


def settings(**standby):
    standby = {"refill_seconds": 5.0, **standby}
    return Settings(
        limits=Limits(min=1, max=4),
        timing=Timing(boot_deadline_seconds=20.0, silence_deadline_seconds=20.0),
        breaker=BreakerSettings(first_backoff_seconds=5.0, max_backoff_seconds=20.0),
        policies=(ReferencePolicy(is_fallback=True), BacklogPolicy()),
        standby=StandbyPolicy(**standby),
    )


@pytest.fixture
async def world_of():
    worlds = []

    def make(seed=0, **standby):
        worlds.append(World(seed, settings=settings(**standby)))
        worlds[-1].hypervisor.host_room = ROOMY
        return worlds[-1]

    yield make
    for world in worlds:
        await world.end()


def frozen(world):
    domains = world.hypervisor.domains.values()
    paused = sum(one.lifecycle is Lifecycle.PAUSED for one in domains)
    return paused, sum(one.has_saved_image for one in domains)


async def test_fills_its_tiers_one_after_the_other(world_of):
    world = world_of(paused=1, saved=2)
    await world.run(90)
    assert frozen(world) == (1, 2)
    assert len(world.serving) == 1


async def test_a_burst_wakes_what_waits_at_once(world_of):
    world = world_of(paused=2, saved=1)
    await world.run(90)
    starts = world.starts
    world.job_seconds = 20.0
    world.submit(40)
    await world.run(5)
    assert len(world.serving) == 4
    assert (world.starts, world.wakes) == (starts, 3)


async def test_what_is_spare_waits_again_after_the_burst(world_of):
    world = world_of(paused=2)
    await world.run(60)
    starts = world.starts
    world.job_seconds = 5.0
    world.submit(12)
    await world.run(180)
    assert len(world.done) == 12
    assert frozen(world) == (2, 0)
    assert world.starts == starts + 1, "the fourth was cold; drained ones are kept"


async def test_a_failed_wake_is_given_up_and_the_next_serves(world_of):
    world = world_of(paused=2)
    await world.run(60)
    world.faults.wake_never_finishes = 1.0
    world.job_seconds = 60.0
    world.submit(2)
    await world.run(4)
    world.faults.wake_never_finishes = 0.0
    await world.run(60)
    assert len(world.serving) == 3


async def test_wakes_that_always_fail_are_bounded_and_cold_starts_serve(world_of):
    """Twenty bursts in half an hour, and no wake ever succeeds."""
    world = world_of(paused=2)
    await world.run(60)
    world.faults.wake_never_finishes = 1.0
    world.job_seconds = 5.0
    for _ in range(20):
        world.submit(12)
        await world.run(30)
        assert len(world.serving) >= 3, "cold starts do not wait for a wake"
        await world.run(60)
    assert len(world.done) == 240
    # The two that waited, then one at a time, after a back-off of 5, 10, 20, 20 ... s each.
    assert world.wakes <= 25
    world.faults.wake_never_finishes = 0.0
    await world.run(90)
    world.submit(12)
    await world.run(30)
    await world.run(120)
    assert frozen(world) == (2, 0)


async def test_old_standby_is_made_anew(world_of):
    world = world_of(paused=1, max_age_seconds=100.0)
    await world.run(60)
    starts = world.starts
    await world.run(200)
    assert world.starts >= starts + 1
    assert frozen(world) == (1, 0)


async def test_nothing_is_prepared_or_started_on_a_full_host(world_of):
    world = world_of(paused=1)
    await world.run(12)
    world.hypervisor.host_room = HostRoom(1 << 40, 1 << 29, 1 << 40)
    world.submit(100)
    await world.run(60)
    assert len(world.active) <= 2
    assert world.starts <= 2


async def test_an_image_that_somebody_saved_is_not_gone_on_from(world_of):
    world = world_of()
    await world.run(20)
    (name,) = world.serving
    # libvirt-guests saves what runs when the host shuts down.
    world._is_fault = True
    world.take_back(world.workers[name])
    await world.hypervisor.save(name)
    world._is_fault = False
    await world.run(90)
    assert len(world.serving) == 1
    assert world.wakes == 0


async def test_a_host_that_saves_its_domains_is_let_go(world_of):
    world = world_of(paused=1)
    await world.run(20)
    world.job_seconds = 500.0
    world.submit(3)
    await world.run(40)
    served = len(world.serving)
    assert served >= 3
    starts, wakes = world.starts, world.wakes
    # As libvirt-guests: one after the other, each of which takes a while.
    for name in world.serving:
        world._is_fault = True
        world.take_back(world.workers[name])
        await world.hypervisor.save(name)
        world._is_fault = False
        await world.run(40)
    assert (world.starts, world.wakes) == (starts, wakes)
    assert world.active == []
    reasons = {reason for record in world.log.records for reason in record.get("limits", ())}
    assert "domains_saved" in reasons
    # It was no shutdown, or the host is up again.
    await world.run(60)
    assert len(world.serving) == served


@pytest.mark.parametrize("saving", [False, True])
@pytest.mark.parametrize("seconds", [0.5, 1.0, 1.5, 2.0])
async def test_a_killed_scaler_goes_on(world_of, saving, seconds):
    world = world_of(paused=int(not saving), saved=int(saving))
    while not any(
        one.operation is not None and one.operation.kind is OperationKind.PREPARE
        for one in world.hypervisor.domains.values()
    ):
        await world.step()
    await world.kill_scaler()
    for _ in range(12):
        await world.run(seconds)
        await world.kill_scaler()
    await world.run(60)
    assert sum(frozen(world)) == 1
    world.job_seconds = 60.0
    world.submit(2)
    for _ in range(6):
        await world.run(seconds)
        await world.kill_scaler()
    await world.run(40)
    assert len(world.serving) == 3


@pytest.mark.parametrize("seed", range(12))
async def test_survives_a_random_history(world_of, seed):
    world = world_of(seed, paused=seed % 3, saved=seed % 2 + 1, max_age_seconds=90.0)
    chance = world.random.random
    for _ in range(40):
        world.arrivals_per_second = world.random.choice([0, 0.3, 1, 2, 3.5])
        world.job_seconds = world.random.choice([0.5, 1, 4])
        world.faults.boot_never_finishes = 0.3 if chance() < 0.2 else 0.0
        world.faults.wake_never_finishes = 0.3 if chance() < 0.3 else 0.0
        world.faults.wake_fails = 0.3 if chance() < 0.3 else 0.0
        world.metrics.outage = OUTAGE if chance() < 0.15 else None
        world.fleet.is_away = chance() < 0.15
        world.hypervisor.is_away = chance() < 0.1
        world.hypervisor.host_room = ROOMY if chance() < 0.8 else HostRoom()
        if chance() < 0.3 and world.active:
            world.crash(world.random.choice(world.active))
        if chance() < 0.4:
            await world.kill_scaler()
        await world.run(world.random.uniform(1, 40))
    world.faults.boot_never_finishes = 0.0
    world.faults.wake_never_finishes = world.faults.wake_fails = 0.0
    world.metrics.outage = None
    world.fleet.is_away = world.hypervisor.is_away = False
    world.hypervisor.host_room = ROOMY
    world.arrivals_per_second = 0.0
    await world.run(600)
    assert not world.ready, "jobs wait for ever"
    assert len(world.done) == len(world.service_seconds)
    assert len(world.serving) == 1
    # Each is made anew every 90 s: one at a time may be missing.
    for _ in range(200):
        if frozen(world) == (seed % 3, seed % 2 + 1):
            return
        await world.step()
    raise AssertionError(f"the tiers are not filled: {frozen(world)}")
