"""New images and standby domains together, on virtual time."""

import pytest

from scaler.decision import Settings
from scaler.host_room import HostRoom
from scaler.pool import Lifecycle
from scaler.recommendation import BacklogPolicy
from scaler.stabilization import Limits
from scaler.standby import StandbyPolicy
from tests.simulation.world import World

ROOMY = HostRoom(1 << 40, 1 << 40, 1 << 40)


@pytest.fixture
async def world_of():
    worlds = []

    def make(most=4, seed=0, **standby):
        settings = Settings(
            limits=Limits(min=1, max=most),
            policies=(BacklogPolicy(),),
            standby=StandbyPolicy(refill_seconds=5.0, **standby),
        )
        world = World(seed, settings=settings)
        world.hypervisor.host_room = ROOMY
        world.redefine("old")
        worlds.append(world)
        return world

    yield make
    for world in worlds:
        await world.end()


def frozen(world):
    """Generations of paused and of saved domains."""
    domains = sorted(world.hypervisor.domains.values(), key=lambda one: one.name)
    return (
        [one.generation for one in domains if one.lifecycle is Lifecycle.PAUSED],
        [one.generation for one in domains if one.has_saved_image],
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("most", "saved"), [(2, 0), (3, 1), (4, 1)])
async def test_what_serves_and_what_waits_is_renewed(world_of, most, saved, seed):
    world = world_of(most, seed, paused=1, saved=saved)
    await world.run(90)
    assert frozen(world) == (["old"], ["old"] * saved)
    world.redefine("new")
    await world.run(300)
    assert world.generations() == {"new"}
    assert frozen(world) == (["new"], ["new"] * saved)


async def test_a_standby_domain_of_the_new_image_makes_room_for_the_replacement(world_of):
    world = world_of(2, paused=1)
    await world.run(60)
    (serving,) = world.serving
    world.hypervisor.define(serving, generation="new")
    await world.run(200)
    assert len(world.serving) == 1
    assert serving not in world.serving or world.generations() == {"new"}


async def test_standby_domains_do_not_give_way_to_an_image_that_does_not_boot(world_of):
    world = world_of(paused=1)
    world.faults.broken_generations = frozenset({"broken"})
    await world.run(90)
    world.redefine("broken")
    await world.run(900)
    assert world.generations() == {"old"}
    assert frozen(world)[0] in ([], ["old"])
