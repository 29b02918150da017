"""The whole scaler on virtual time, with faults. A failure prints its seed."""

from dataclasses import replace

import pytest

from scaler.alerts import AlertRule, Firing, Matcher, Sight
from scaler.breaker import BreakerSettings
from scaler.decision import Hold, Settings
from scaler.overrides import Override, OverrideKind
from scaler.pool import OperationKind
from scaler.readings import Empty, NotANumber, Stale
from scaler.recommendation import BacklogPolicy, ReferencePolicy
from scaler.stabilization import Limits
from scaler.tracking import Timing
from tests.simulation.world import OUTAGE, World

BOTH = (ReferencePolicy(), BacklogPolicy())


def settings(**limits):
    return Settings(limits=Limits(**{"min": 1, "max": 4, **limits}), policies=BOTH)


@pytest.fixture
async def world_of():
    worlds = []

    def make(seed=0, **arguments):
        arguments.setdefault("settings", settings())
        worlds.append(World(seed, **arguments))
        return worlds[-1]

    yield make
    for world in worlds:
        await world.end()


async def test_scales_out_under_load_and_in_when_it_ends(world_of):
    world = world_of()
    await world.run(20)
    assert world.serving == ["domain-0"]
    world.arrivals_per_second = 2.5
    await world.run(60)
    assert len(world.serving) >= 3
    world.arrivals_per_second = 0.2
    await world.run(300)
    assert len(world.active) == 1
    assert len(world.done) >= len(world.service_seconds) - 1


async def test_the_reference_policy_alone_scales_one_at_a_time(world_of):
    world = world_of(settings=Settings(limits=Limits(max=3), policies=(ReferencePolicy(),)))
    world.arrivals_per_second = 1.7
    await world.run(15)
    assert len(world.active) == 1
    await world.run(240)
    assert len(world.serving) == 3
    world.arrivals_per_second = 0.1
    await world.run(400)
    assert len(world.active) == 1


async def test_a_burst_is_met_in_one_step(world_of):
    world = world_of()
    await world.run(20)
    world.submit(30)
    await world.run(3)
    assert len(world.active) == 4


@pytest.mark.parametrize("outage", [OUTAGE, Empty(), NotANumber(), Stale(60.0)])
async def test_no_data_never_scales_in(world_of, outage):
    world = world_of()
    world.arrivals_per_second = 2.5
    await world.run(60)
    serving = world.serving
    world.arrivals_per_second = 0.0
    world.metrics.outage = outage
    await world.run(600)
    assert world.serving == serving


async def test_a_killed_domain_is_replaced_at_once(world_of):
    world = world_of()
    await world.run(20)
    world.crash("domain-0")
    await world.run(2)
    assert len(world.active) == 1
    await world.run(15)
    assert len(world.serving) == 1


async def test_boots_that_always_fail_start_few_domains(world_of):
    world = world_of(
        settings=Settings(limits=Limits(min=2, max=4), breaker=BreakerSettings(), policies=BOTH)
    )
    world.faults.boot_never_finishes = 1.0
    await world.run(2 * 3600)
    assert world.peak_active <= 4
    assert world.starts <= 20
    world.faults.boot_never_finishes = 0.0
    await world.run(1900)
    assert len(world.serving) == 2


async def test_starts_that_are_refused_back_off(world_of):
    world = world_of()
    world.faults.start_fails = 1.0
    await world.run(3600)
    failed = [one for one in world.log.records if one.get("outcome") == "failed"]
    assert 5 <= len(failed) <= 20
    world.faults.start_fails = 0.0
    await world.run(1900)
    assert len(world.serving) == 1


async def test_a_drain_goes_on_after_the_scaler_was_killed(world_of):
    world = world_of()
    world.job_seconds = 40.0
    world.submit(4)
    await world.run(45)
    assert len(world.serving) == 4
    world.job_seconds = 0.01
    drains = 0
    for _ in range(400):
        await world.step()
        operations = [one.operation for one in world.hypervisor.domains.values()]
        if any(one is not None and one.kind is OperationKind.DRAIN for one in operations):
            drains += 1
            await world.kill_scaler()
    assert drains > 0
    await world.run(120)
    assert len(world.active) == 1


async def test_new_demand_wins_back_a_draining_domain(world_of):
    world = world_of(settings=settings(max=2), domains=2)
    world.job_seconds = 30.0
    world.submit(2)
    await world.run(45)
    for _ in range(300):
        await world.step()
        if (
            len(world.serving) == 1
            and len(world.active) == 2
            and any(worker.leases for worker in world.workers.values())
        ):
            break
        if world.clock.monotonic() % 60 < 1:
            world.submit(2)
    starts = world.starts
    world.submit(20)
    await world.run(4)
    assert len(world.serving) == 2
    assert world.starts == starts


async def test_a_lost_power_button_is_pressed_again_and_the_power_cut_in_the_end(world_of):
    world = world_of(settings=settings(min=0))
    world.submit(1)
    await world.run(12)
    world.faults.power_button_lost = 1.0
    await world.run(200)
    assert len(world.active) == 1  # the reference policy keeps one
    world.arrivals_per_second = 3
    await world.run(30)
    world.arrivals_per_second = 0
    await world.run(400)
    assert len(world.active) == 1
    assert max(one.shutdown_requests for one in world.hypervisor.domains.values()) >= 3


async def test_a_hold_stops_every_action_until_it_is_lifted(world_of):
    world = world_of()
    await world.run(20)
    world.holds.hold = Hold("tester")
    world.submit(50)
    await world.run(30)
    assert len(world.active) == 1
    world.holds.hold = None
    await world.run(5)
    assert len(world.active) == 4


@pytest.mark.parametrize("killed_every", [None, 45.0, 61.0])
async def test_boots_that_fail_for_hours_are_no_more_when_the_scaler_is_killed(
    world_of, killed_every
):
    """Starts at 0 and 61 s, then behind a back-off of 30 s that doubles up to half an hour."""
    world = world_of()
    world.faults.boot_never_finishes = 1.0
    world.submit(1)
    until = world.clock.monotonic() + 3 * 3600
    while world.clock.monotonic() < until:
        await world.run(killed_every or 600.0)
        if killed_every is not None:
            await world.kill_scaler()
    assert world.starts <= 14


async def test_never_touches_domains_of_others(world_of):
    world = world_of()
    world.hypervisor.define("foreign", pool=None)
    world.hypervisor.define("theirs", pool="other")
    world.submit(100)
    await world.run(120)
    assert not {"foreign", "theirs"} & set(world.active)


@pytest.mark.parametrize("seed", range(12))
async def test_survives_a_random_history(world_of, seed):
    world = world_of(
        seed,
        settings=Settings(
            limits=Limits(min=1, max=4),
            timing=Timing(boot_deadline_seconds=20.0, silence_deadline_seconds=20.0),
            breaker=BreakerSettings(first_backoff_seconds=5.0, max_backoff_seconds=20.0),
            policies=BOTH,
        ),
    )
    chance = world.random.random
    for _ in range(40):
        world.arrivals_per_second = world.random.choice([0, 0.3, 1, 2, 3.5])
        world.job_seconds = world.random.choice([0.5, 1, 4])
        world.faults.boot_never_finishes = 0.3 if chance() < 0.2 else 0.0
        world.faults.start_fails = 0.3 if chance() < 0.2 else 0.0
        world.faults.power_button_lost = 0.5 if chance() < 0.2 else 0.0
        world.metrics.outage = OUTAGE if chance() < 0.15 else None
        world.fleet.is_away = chance() < 0.15
        world.hypervisor.is_away = chance() < 0.1
        if chance() < 0.3 and world.active:
            world.crash(world.random.choice(world.active))
        if chance() < 0.3:
            await world.kill_scaler()
        await world.run(world.random.uniform(1, 40))
    world.faults.boot_never_finishes = world.faults.start_fails = 0.0
    world.faults.power_button_lost = 0.0
    world.metrics.outage = None
    world.fleet.is_away = world.hypervisor.is_away = False
    world.arrivals_per_second = 0.0
    await world.run(600)
    assert not world.ready, "jobs wait for ever"
    assert len(world.done) == len(world.service_seconds)
    assert len(world.active) == 1
    operations = [one.operation for one in world.hypervisor.domains.values()]
    assert operations == [None] * len(operations)


BUSY = Firing("f", {"alertname": "Busy"})


class BoardFake:
    """An `AlertBoard` whose alerts a test sets; it outlives the scaler."""

    def __init__(self):
        self.firing = []
        self.bases = {}

    def sight(self, now):
        return Sight(tuple(self.firing), self.bases)

    def remember(self, bases):
        self.bases = dict(bases)


def order(kind, domains=None, domain=""):
    return Override(kind, OverrideKind(kind), "ann", "test", 0.0, None, domains, domain)


def with_alerts(*rules, **limits):
    return replace(settings(**limits), alert_rules=rules)


async def test_an_alert_keeps_the_pool_larger_while_it_fires(world_of):
    rule = AlertRule("more", (Matcher("alertname", "Busy"),), raise_by=2)
    world = world_of(settings=with_alerts(rule))
    board = world.alerts = BoardFake()
    await world.kill_scaler()
    await world.run(60)
    assert len(world.serving) == 1
    board.firing = [BUSY]
    await world.run(30)
    assert len(world.serving) == 3
    # Neither the policies nor restarts change that, and it does not add to itself.
    for _ in range(4):
        await world.kill_scaler()
        await world.run(60)
        assert len(world.active) == 3
    board.firing = []
    await world.run(200)
    assert len(world.active) == 1
    assert board.bases == {}


async def test_an_alert_that_comes_and_goes_does_not_climb(world_of):
    rule = AlertRule("more", (Matcher("alertname", "Busy"),), raise_by=1)
    world = world_of(settings=with_alerts(rule))
    board = world.alerts = BoardFake()
    await world.kill_scaler()
    await world.run(30)
    for _ in range(20):
        board.firing = [BUSY]
        await world.run(10)
        board.firing = []
        await world.run(10)
        assert len(world.active) <= 2


async def test_an_alert_blocks_scaling_in_but_not_out(world_of):
    rule = AlertRule("stay", (Matcher("alertname", "Busy"),), blocks_in=True)
    world = world_of(settings=with_alerts(rule))
    board = world.alerts = BoardFake()
    await world.kill_scaler()
    world.arrivals_per_second = 2.5
    await world.run(60)
    board.firing = [BUSY]
    serving = world.serving
    world.arrivals_per_second = 0.0
    await world.run(300)
    assert world.serving == serving
    world.arrivals_per_second = 3.9
    await world.run(60)
    assert len(world.serving) == 4
    board.firing, world.arrivals_per_second = [], 0.0
    await world.run(300)
    assert len(world.active) == 1


@pytest.mark.parametrize(
    ("orders", "load", "serving"),
    [
        ([order("floor", 3)], 0.0, 3),
        ([order("ceiling", 2)], 3.9, 2),
        ([order("hold", 2)], 3.9, 2),
        ([order("hold", 0)], 0.0, 0),
        ([order("floor", 4), order("ceiling", 2)], 0.0, 2),
        ([order("block_out")], 3.9, 1),
        ([order("dry_run")], 3.9, 1),
    ],
)
async def test_orders_win_over_policies_until_they_are_lifted(world_of, orders, load, serving):
    world = world_of()
    await world.run(30)
    world.holds.overrides = orders
    world.arrivals_per_second = load
    await world.run(120)
    assert len(world.active) == serving
    world.holds.overrides = []
    world.arrivals_per_second = 2.5
    await world.run(120)
    assert len(world.serving) >= 3


async def test_a_domain_is_drained_for_maintenance_and_comes_back(world_of):
    world = world_of(domains=2, settings=settings(max=2))
    world.job_seconds = 20.0
    world.submit(1)
    await world.run(15)
    (busy,) = [worker.name for worker in world.workers.values() if worker.leases]
    world.holds.overrides = [order("drain", domain=busy)]
    await world.run(60)
    # The other one took its place, and no job was cut off (the world checks that).
    assert world.active == world.serving
    assert [busy] != world.serving != []
    world.submit(8)
    await world.run(60)
    assert busy not in world.active
    world.holds.overrides = []
    await world.run(30)
    assert len(world.serving) == 2
