"""A world whose scaler records into a real decision store."""

from scaler.decision import Settings
from scaler.decision_store import DecisionStore
from scaler.recommendation import BacklogPolicy, ReferencePolicy
from scaler.stabilization import Limits
from tests.simulation.world import World

SETTINGS = Settings(
    limits=Limits(min=1, max=4),
    policies=(ReferencePolicy(), BacklogPolicy()),
    digest="0123456789ab",
)


def recorded_world(seed=0, *, path=None, settings=SETTINGS, **arguments):
    """The world, and the store that its scaler writes; the caller ends both."""
    world = World(seed, settings=settings, domains=4, **arguments)
    store = DecisionStore(path, wall=world.clock.wall)
    world.log = store
    world.scaler = world._new_scaler()
    return world, store


async def lived(world):
    """A quiet minute, a burst that needs more, and the way down again."""
    await world.run(60)
    world.arrivals_per_second = 3.0
    await world.run(90)
    world.arrivals_per_second = 0.0
    await world.run(120)
