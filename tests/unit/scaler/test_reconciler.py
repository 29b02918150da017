import asyncio
from dataclasses import replace

import pytest

from scaler.decision import Hold, Outcome, Settings
from scaler.pool import ActionKind, Lifecycle, Operation, OperationKind
from scaler.reasons import Reason
from scaler.recommendation import BacklogPolicy
from scaler.reconciler import Reconciler
from scaler.stabilization import Limits
from servicekit.lifecycle import Stop
from tests.simulation.world import QUERIES, World

SETTINGS = Settings(limits=Limits(max=3), policies=(BacklogPolicy(),))


@pytest.fixture
async def world():
    world = World(settings=SETTINGS, domains=3)
    yield world
    await world.end()


def reconciler(world, *observers, **arguments):
    return Reconciler(SETTINGS, QUERIES, world.scaler._ports, observers, **arguments)


def started(decision):
    return [one.domain for one in decision.plan.actions if one.kind is ActionKind.START]


async def test_evaluating_does_nothing(world):
    decision = await reconciler(world).evaluate()
    assert started(decision) == ["domain-0"]
    assert world.active == []
    assert world.log.records == []
    assert world.hypervisor.domains["domain-1"].scaler == ""
    assert world.hypervisor.domains["domain-0"].operation is None


async def test_a_dry_run_decides_again_and_again_and_does_nothing(world):
    outcomes = []

    class Seen:
        def decided(self, *arguments):
            pass

        def resulted(self, result):
            outcomes.append(result.outcome)

    dry = reconciler(world, Seen(), is_dry_run=True)
    for _ in range(3):
        decision = await dry.turn()
        assert started(decision) == ["domain-0"]
    assert world.active == []
    # One start and two claims in each turn; the last turn's are still to be told.
    assert outcomes == [Outcome.SKIPPED] * 6
    assert {one.scaler for one in world.hypervisor.domains.values()} == {""}
    assert len(world.log.records) == 1


async def test_every_turn_is_handed_to_the_log(world):
    turns = []
    world.log.turned = turns.append
    for _ in range(5):
        await world.step()
    assert len(turns) == 5
    assert [turn.wall for turn in turns] == sorted({turn.wall for turn in turns})
    assert turns[-1].state is world.scaler._state
    assert turns[-1].settings is SETTINGS


async def test_moments_of_the_wall_clock_become_ages(world):
    domain = world.hypervisor.domains["domain-0"]
    domain.lifecycle = Lifecycle.RUNNING
    domain.operation = Operation(OperationKind.START, world.clock.wall() - 20, 1)
    decision = await reconciler(world).evaluate()
    operation = decision.pool.domains[0].operation
    assert world.clock.monotonic() - operation.since == pytest.approx(20)
    domain.operation = Operation(OperationKind.START, world.clock.wall() + 3600, 1)
    decision = await reconciler(world).evaluate()
    assert decision.pool.domains[0].operation.since == world.clock.monotonic()


async def test_says_what_could_not_be_seen(world):
    world.hypervisor.is_away = world.fleet.is_away = True
    decision = await reconciler(world).turn()
    assert decision.reason is Reason.HYPERVISOR_UNKNOWN
    assert decision.errors == ("cannot connect", "dispatcher: UNAVAILABLE")


async def test_runs_until_it_is_stopped_and_wakes_at_once(world):
    world.holds.hold = Hold("tester")
    stop = Stop()
    turns = []
    first, started = asyncio.Event(), asyncio.Event()
    world.hypervisor.on_start = lambda name: started.set()

    class Seen:
        def decided(self, decision, state, wall):
            turns.append(decision.reason)
            first.set()

        def resulted(self, result):
            pass

    loop = reconciler(world, Seen(), tick_seconds=3600)
    running = asyncio.create_task(loop.run(stop))
    await first.wait()
    world.holds.hold = None
    loop.wake()
    await started.wait()
    assert turns[:2] == [Reason.PAUSED, Reason.MIN]
    stop.request("test")
    await running


async def test_new_settings_are_taken_between_turns_and_nothing_is_forgotten(world):
    live = world.scaler
    await world.run(20)
    before = live._state
    world.submit(30)
    more = replace(SETTINGS, limits=Limits(max=2), policies=(BacklogPolicy("jobs"),))
    live.reconfigure(more, QUERIES)
    await world.run(2)
    decision = await world.step()
    assert decision.desired == 2
    assert [one.policy for one in decision.proposals] == ["jobs"]
    assert live._state.memory.watching_since == before.memory.watching_since
    assert live._state.token == before.token
