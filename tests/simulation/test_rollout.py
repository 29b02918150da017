"""New images rolling through a pool on virtual time."""

import pytest

from scaler.decision import Settings
from scaler.recommendation import BacklogPolicy
from scaler.rollout import RolloutSettings
from scaler.stabilization import Limits
from tests.simulation.world import World


def settings(rollout=None, **limits):
    return Settings(
        limits=Limits(**{"min": 1, "max": 4, **limits}),
        policies=(BacklogPolicy(),),
        rollout=rollout or RolloutSettings(),
    )


@pytest.fixture
async def world_of():
    worlds = []

    def make(seed=0, **arguments):
        arguments.setdefault("settings", settings())
        world = World(seed, **arguments)
        world.redefine("old")
        worlds.append(world)
        return world

    yield make
    for world in worlds:
        await world.end()


async def at_work(world, rate=2.0, seconds=90):
    world.arrivals_per_second = rate
    await world.run(seconds)
    assert len(world.serving) >= 2
    assert world.generations() == {"old"}


async def renewed(world, generation, seconds=900):
    """Runs until all that serve have the image; the fewest that served meanwhile."""
    fewest = len(world.serving)
    for _ in range(2 * seconds):
        await world.step()
        fewest = min(fewest, len(world.serving))
        if world.generations() == {generation} and len(world.active) == len(world.serving):
            return fewest
    raise AssertionError(f"{world.generations()} serve after {seconds} s")


@pytest.mark.parametrize("seed", range(4))
async def test_a_new_image_rolls_through_the_pool_and_no_job_is_lost(world_of, seed):
    world = world_of(seed)
    await at_work(world)
    serving = len(world.serving)
    world.redefine("new")
    assert await renewed(world, "new") >= serving - 1
    # `check` has looked at jobs, power and ceiling after every step.
    assert {one.kept_generation for one in world.hypervisor.domains.values()} >= {"new"}


async def test_with_room_no_capacity_is_missing(world_of):
    world = world_of(settings=settings(min=2, max=4))
    await world.run(60)
    assert len(world.serving) == 2
    world.redefine("new")
    assert await renewed(world, "new") == 2


async def test_without_room_one_at_a_time_is_replaced_in_place(world_of):
    world = world_of(domains=2, settings=settings(min=2, max=2))
    await world.run(60)
    world.redefine("new")
    assert await renewed(world, "new") == 1


async def test_without_room_nothing_happens_where_none_may_be_away(world_of):
    rollout = RolloutSettings(unavailable=0)
    world = world_of(domains=2, settings=settings(rollout, min=2, max=2))
    await world.run(60)
    world.redefine("new")
    await world.run(120)
    assert world.generations() == {"old"}
    assert world.log.records[-1]["limits"] == ["rollout_no_room"]


@pytest.mark.parametrize("seed", range(4))
async def test_an_image_that_does_not_boot_is_given_up_and_the_old_one_put_back(world_of, seed):
    world = world_of(seed, settings=settings(min=2, max=4))
    await world.run(60)
    starts = world.starts
    world.faults.broken_generations = frozenset({"broken"})
    world.redefine("broken")
    fewest = 4
    for _ in range(1200):
        await world.step()
        fewest = min(fewest, len(world.serving))
    assert fewest == 2
    assert world.generations() == {"old"}
    # Domains that have never run have no copy to go back to; they are started last.
    assert world.generations("domain-0", "domain-1") == {"old"}
    assert {world.hypervisor.domains[name].defined_generation for name in world.serving} == {"old"}
    assert world.starts - starts <= 3
    world.arrivals_per_second = 3.0
    world.redefine("mended")
    await renewed(world, "mended")


async def test_in_place_too_a_broken_image_costs_no_more_than_is_given_up(world_of):
    world = world_of(domains=2, settings=settings(min=2, max=2))
    await world.run(60)
    world.faults.broken_generations = frozenset({"broken"})
    world.redefine("broken")
    await world.run(900)
    assert world.generations() == {"old"}
    assert len(world.serving) == 2


@pytest.mark.parametrize("seed", range(3))
async def test_a_scaler_that_is_killed_goes_on(world_of, seed):
    world = world_of(seed)
    await at_work(world)
    world.redefine("new")
    for _ in range(12):
        await world.run(7)
        await world.kill_scaler()
    await renewed(world, "new")


@pytest.mark.parametrize("seconds", [20.0, 33.0, 70.0])
async def test_a_scaler_that_is_killed_again_and_again_tries_a_broken_image_no_more_often(
    world_of, seconds
):
    world = world_of(settings=settings(min=2, max=4))
    await world.run(60)
    starts = world.starts
    world.faults.broken_generations = frozenset({"broken"})
    world.redefine("broken")
    until = world.clock.monotonic() + 900
    while world.clock.monotonic() < until:
        await world.run(seconds)
        await world.kill_scaler()
    assert world.starts - starts <= 3
    assert world.generations() == {"old"}
    assert {world.hypervisor.domains[name].defined_generation for name in world.serving} == {"old"}
