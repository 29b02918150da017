import asyncio

import pytest
from prometheus_client import CollectorRegistry

from dispatcher.jobs import Done, JobKey, NewJob, Payload, Profile
from dispatcher.memory_store import MemoryStore
from dispatcher.ports import StoreDamagedError, StoreFullError, StoreUnavailableError
from dispatcher.retention import Retention
from dispatcher.store_health import StoreHealth
from dispatcher.telemetry import Telemetry
from dispatcher.upkeep import Upkeep


class StillClock:
    """Time stands still; sleeping longer than a moment never ends."""

    def __init__(self) -> None:
        self.now = 100_000.0
        self.pauses = 0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pauses += 1
        if seconds > 1.0:
            await asyncio.Event().wait()
        await asyncio.sleep(0)


class CheckedStore(MemoryStore):
    """Its check answers what it was given."""

    fault_found: str | None = None

    async def check(self) -> str | None:
        return self.fault_found


class World:
    def __init__(self, retention: Retention | None = None) -> None:
        self.registry = CollectorRegistry()
        self.telemetry = Telemetry(self.registry)
        self.health = StoreHealth(self.telemetry)
        self.store = CheckedStore()
        self.store.open()
        self.clock = StillClock()
        self.upkeep = Upkeep(
            store=self.store,
            clock=self.clock,
            telemetry=self.telemetry,
            health=self.health,
            retention=retention or Retention(),
        )

    def value(self, name: str) -> float | None:
        return self.registry.get_sample_value(f"virtscale_dispatcher_{name}")

    async def finish(self, jobs: int, at: float) -> None:
        new = [NewJob(Payload(Profile.LEGACY_SHA256, b"KA-47-UT-9173"))] * jobs
        accepted = await self.store.submit(f"r{at}", ["d"], new, at)
        await self.store.settle([Done(key, "d:s", "w1", 0.1) for key in accepted.keys], at)

    async def left(self) -> int:
        return len(await self.store.page(JobKey(0), 10_000, None))


async def test_without_a_limit_nothing_is_removed():
    world = World()
    await world.finish(3, 1.0)
    await world.upkeep.tidy(1e9)
    assert await world.left() == 3


async def test_old_results_go_in_batches_with_rests_between():
    world = World(Retention(seconds=1000.0))
    await world.finish(1200, 10.0)
    await world.finish(5, 500.0)
    await world.upkeep.tidy(1100.0)
    assert await world.left() == 5
    assert world.value("removed_total") == 1200
    assert world.clock.pauses == 2


async def test_the_newest_are_kept():
    world = World(Retention(count=2))
    await world.finish(5, 10.0)
    await world.upkeep.tidy(11.0)
    assert await world.left() == 2


async def test_request_ids_are_forgotten_in_the_end():
    world = World()
    await world.finish(1, 10.0)
    world.clock.now += 3 * 86_400.0
    running = asyncio.ensure_future(world.upkeep.run())
    async with asyncio.timeout(5):
        while world.clock.pauses == 0:  # noqa: ASYNC110 - the clock has no event
            await asyncio.sleep(0)
    running.cancel()
    new = [NewJob(Payload(Profile.LEGACY_SHA256, b"KA-47-UT-9173"))]
    assert (await world.store.submit("r10.0", ["d"], new, 20.0)).is_fresh


async def test_a_store_that_cannot_write_is_left_for_the_next_round():
    world = World(Retention(count=0))
    await world.finish(1, 10.0)
    world.store.fault = StoreFullError("full")
    with pytest.raises(StoreFullError):
        await world.upkeep.tidy(11.0)
    running = asyncio.ensure_future(world.upkeep.run())
    async with asyncio.timeout(5):
        while world.clock.pauses == 0:  # noqa: ASYNC110 - the clock has no event
            await asyncio.sleep(0)
    assert not running.done()
    running.cancel()


async def test_damage_that_the_check_finds_stops_new_work_and_removal():
    world = World(Retention(count=0))
    await world.finish(1, 10.0)
    world.store.fault_found = "page 7 is never used"
    running = asyncio.ensure_future(world.upkeep.run())
    async with asyncio.timeout(5):
        await world.health.wait_damaged()
    running.cancel()
    with pytest.raises(StoreDamagedError, match=r"page 7.*virtscale restore"):
        world.health.check_accepting()
    assert world.value("store_sound") == 0
    await world.upkeep.tidy(11.0)
    assert not world.health.is_leasing


def test_writes_that_fail_hold_leases_back_until_one_succeeds():
    world = World()
    assert not world.health.written()
    for _ in range(3):
        world.health.failed(StoreUnavailableError("gone"))
    assert (world.health.is_leasing, world.value("store_writable")) == (False, 0)
    assert world.value("store_failures_total") == 3
    world.health.check_accepting()
    assert world.health.written()
    assert (world.health.is_leasing, world.value("store_writable")) == (True, 1)


def test_a_write_that_finds_damage_is_the_end_of_new_work():
    world = World()
    world.health.failed(StoreDamagedError("malformed"))
    world.health.damaged("again")
    assert world.health.damage == "malformed"
    world.health.written()
    assert not world.health.is_leasing
