"""Two scalers pointed at one libvirt with one pool's name, each with a dispatcher of its own."""

import pytest

from scaler.decision import Settings
from scaler.pool import Lifecycle
from scaler.reasons import Reason
from scaler.recommendation import BacklogPolicy, ReferencePolicy
from scaler.stabilization import Limits
from scaler.tracking import Timing
from tests.simulation.hypervisor_fake import FakeHypervisor
from tests.simulation.world import World

SETTINGS = Settings(
    limits=Limits(min=1, max=4),
    timing=Timing(boot_deadline_seconds=20.0, silence_deadline_seconds=20.0),
    policies=(ReferencePolicy(), BacklogPolicy()),
)


class Watched(FakeHypervisor):
    """Of one scaler; notes what it has changed, by domain."""

    def __init__(self, scaler, touched):
        super().__init__(scaler=scaler)
        self._touched = touched

    async def _find(self, name):
        domain = await super()._find(name)
        self._touched.setdefault(name, set()).add(self.scaler)
        return domain


class NoWorkers:
    """The dispatcher of the second scaler, which none of these guests knows."""

    async def workers(self):
        return ()

    async def uncordon(self, worker_id):
        pass


class Pair:
    """The world's own scaler, and a second one beside it."""

    def __init__(self, seed=0):
        self.touched = {}
        self.world = World(seed, settings=SETTINGS)
        self.first = self._watched("first")
        self.second = self._watched("second")
        self.world.scaler = self.new_scaler(self.first, self.world.fleet)
        self.other = None

    def _watched(self, scaler):
        made, model = Watched(scaler, self.touched), self.world.hypervisor
        made.domains = model.domains
        for name in ("on_start", "on_shutdown", "on_off", "on_freeze", "on_wake"):
            setattr(made, name, getattr(model, name))
        return made

    def new_scaler(self, hypervisor, fleet):
        """Through these two; everything else is the world's."""
        self.world.hypervisor, self.world.fleet = hypervisor, fleet
        return self.world._new_scaler()

    def begin_second(self):
        fleet = self.world.fleet
        self.other = self.new_scaler(self.second, NoWorkers())
        self.world.hypervisor, self.world.fleet = self.first, fleet

    async def run(self, seconds):
        end = self.world.clock.monotonic() + seconds
        decision = None
        while self.world.clock.monotonic() < end:
            await self.world.step()
            if self.other is not None:
                decision = await self.other.turn()
                await self.world._settle()
        return decision

    async def end(self):
        await self.world.end()
        if self.other is not None:
            await self.other._executor.stop()


@pytest.fixture
async def pair():
    pair = Pair()
    yield pair
    await pair.end()


def running(pair):
    domains = pair.first.domains.values()
    return [one.name for one in domains if one.lifecycle is not Lifecycle.OFF]


async def test_a_second_scaler_touches_nothing_and_says_why(pair):
    await pair.run(30)
    assert {one.scaler for one in pair.first.domains.values()} == {"first"}
    pair.begin_second()
    pair.world.arrivals_per_second = 2.0
    # Long enough for the second to take all workers for silent, were they its own.
    decision = await pair.run(120)
    assert set().union(*pair.touched.values()) == {"first"}
    assert Reason.QUARANTINED in decision.plan.reasons
    assert not decision.plan.actions
    assert (decision.pool.current, decision.pool.active) == (0, len(running(pair)))
    assert len(pair.world.serving) >= 3


async def test_two_that_begin_at_once_never_touch_one_domain_in_turns(pair):
    pair.begin_second()
    await pair.run(90)
    owners = {one.name: one.scaler for one in pair.first.domains.values()}
    pair.touched.clear()
    pair.world.arrivals_per_second = 2.0
    await pair.run(60)
    for name, scalers in pair.touched.items():
        assert scalers == {owners[name]}
    assert len(running(pair)) <= SETTINGS.limits.max


async def test_who_adopts_goes_on_and_the_other_lets_go(pair):
    await pair.run(30)
    await pair.world.end()
    for name in pair.first.domains:
        await pair.second.adopt(name)
    # The workers are the second one's from here on; the first comes back by mistake.
    fleet = pair.world.fleet
    pair.other = pair.new_scaler(pair.first, NoWorkers())
    pair.world.scaler = pair.new_scaler(pair.second, fleet)
    pair.touched.clear()
    pair.world.submit(20)
    decision = await pair.run(90)
    assert set().union(*pair.touched.values()) == {"second"}
    assert Reason.FENCED not in decision.plan.reasons
    assert len(pair.world.done) == 20
