"""Policies in a closed loop: the scaler as it is, domains that boot, jobs that wait."""

import zoneinfo

import pytest

from scaler.decision import Settings
from scaler.headroom import Headroom
from scaler.policies.backlog import BacklogPolicy
from scaler.policies.cron import parse
from scaler.policies.schedule import SchedulePolicy, Window
from scaler.policies.seasonal import SeasonalPolicy
from scaler.policies.target import Measure, TargetPolicy
from scaler.ports import SignalQuery
from scaler.reconciler import Ports, Reconciler
from scaler.stabilization import Limits
from tests.simulation.world import OUTAGE, World

GOAL = BacklogPolicy("goal", goal_seconds=10.0, signal_prefix="goal.")
SIGNALS = (
    "cpu",
    "demand",
    "demand_average",
    "goal.waiting",
    "goal.busy",
    "goal.busy_average",
    "goal.service",
    "load.value",
    "queue.value",
    "seasonal.level",
    "seasonal.seasons",
)


class PolicyWorld(World):
    """Also has the signals of the other policies, and knows how long jobs have waited."""

    def __init__(self, *policies, seed=0, headroom=None, domains=8, **arguments):
        limits = Limits(min=1, max=8, headroom=headroom or Headroom())
        configured = Settings(limits=limits, policies=policies)
        self.level, self.seasons = 0.0, 0.0
        self.submitted_at = {}
        self.waits = []
        self.busy_samples = []
        super().__init__(seed, settings=configured, domains=domains, **arguments)

    def _new_scaler(self):
        ports = Ports(self.metrics, self.hypervisor, self.fleet, self.log, self.holds, self.clock)
        return Reconciler(self.settings, [SignalQuery(name, name) for name in SIGNALS], ports)

    def submit(self, count):
        first = len(self.service_seconds)
        super().submit(count)
        for job in range(first, first + count):
            self.submitted_at[job] = self.clock.wall()

    def _work(self, worker, seconds, now):
        held = set(worker.leases)
        ratio = super()._work(worker, seconds, now)
        self.waits += [now - self.submitted_at[job] for job in set(worker.leases) - held]
        return ratio

    def _live(self, seconds):
        super()._live(seconds)
        busy = sum(len(worker.leases) for worker in self.workers.values())
        self.busy_samples = [*self.busy_samples[-19:], busy]
        self.metrics.series |= {
            "goal.waiting": [len(self.ready)],
            "goal.busy": [busy],
            "goal.busy_average": [sum(self.busy_samples) / len(self.busy_samples)],
            "goal.service": [self.job_seconds],
            "load.value": self.metrics.series["cpu"],
            "queue.value": [len(self.ready) + busy],
            "seasonal.level": [self.level],
            "seasonal.seasons": [self.seasons],
        }


@pytest.fixture
async def world_of():
    worlds = []

    def make(*policies, **arguments):
        worlds.append(PolicyWorld(*policies, **arguments))
        return worlds[-1]

    yield make
    for world in worlds:
        await world.end()


async def test_a_goal_for_the_wait_is_kept_by_fewer_domains_when_it_is_longer(world_of):
    serving = {}
    for goal in (5.0, 60.0):
        world = world_of(BacklogPolicy("goal", goal_seconds=goal, signal_prefix="goal."))
        await world.run(20)
        world.submit(40)
        await world.run(4)
        serving[goal] = len(world.active)
        await world.run(120)
        assert len(world.done) == 40
        assert max(world.waits) <= max(goal, 20.0) + world.boot_seconds * 1.3
    assert serving[60.0] < serving[5.0] == 8


async def test_a_steady_load_settles_with_short_waits_and_no_flapping(world_of):
    world = world_of(GOAL)
    world.arrivals_per_second = 2.5
    await world.run(200)
    world.waits.clear()
    starts = world.starts
    await world.run(600)
    assert world.starts == starts
    assert sum(world.waits) / len(world.waits) <= 10.0
    world.arrivals_per_second = 0.1
    await world.run(400)
    assert len(world.active) == 1


async def test_headroom_is_kept_and_does_not_grow(world_of):
    world = world_of(BacklogPolicy(), headroom=Headroom(domains=2))
    world.arrivals_per_second = 0.5
    await world.run(120)
    calm = len(world.serving)
    await world.run(600)
    assert len(world.serving) == calm == 3
    world.arrivals_per_second = 20.0
    await world.run(120)
    assert len(world.active) == 8


@pytest.mark.parametrize(
    "policy",
    [
        TargetPolicy("load", target=0.7, averaging_seconds=30.0),
        TargetPolicy("queue", measure=Measure.TOTAL, target=1.0),
    ],
    ids=["mean", "total"],
)
async def test_a_target_follows_the_load_out_and_in(world_of, policy):
    world = world_of(policy)
    world.arrivals_per_second = 2.5
    await world.run(400)
    assert 3 <= len(world.serving) <= 5
    world.arrivals_per_second = 0.1
    await world.run(600)
    assert len(world.active) == 1


async def test_a_schedule_has_its_domains_ready_and_gives_them_back(world_of):
    # Virtual time begins at 22:13:20 UTC.
    window = Window(parse("20 22 * * *"), 600.0, 4)
    world = world_of(BacklogPolicy(), SchedulePolicy("s", (window,), zoneinfo.ZoneInfo("UTC")))
    await world.run(390)
    assert len(world.active) == 1
    await world.run(60)
    assert len(world.serving) == 4
    await world.run(500)
    assert len(world.serving) == 4
    await world.run(300)
    assert len(world.active) == 1


async def test_a_season_raises_and_never_lowers(world_of):
    world = world_of(BacklogPolicy(), SeasonalPolicy())
    world.level, world.seasons = 3.0, 2.0
    await world.run(60)
    assert len(world.active) == 1
    world.seasons = 3.0
    await world.run(60)
    assert len(world.serving) == 4
    world.level = 0.0
    world.arrivals_per_second = 2.5
    await world.run(120)
    assert len(world.serving) >= 3


@pytest.mark.parametrize("policy", [GOAL, TargetPolicy("load"), SeasonalPolicy()])
async def test_no_data_never_scales_in(world_of, policy):
    world = world_of(BacklogPolicy(), policy)
    world.level, world.seasons = 3.0, 5.0
    world.arrivals_per_second = 3.0
    await world.run(90)
    serving = world.serving
    assert len(serving) >= 3
    world.arrivals_per_second = 0.0
    world.metrics.outage = OUTAGE
    await world.run(300)
    assert world.serving == serving
