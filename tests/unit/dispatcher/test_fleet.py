"""Cordons whose way to the disk takes a while, and who is answered meanwhile."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry

from dispatcher import hashing
from dispatcher.fleet import Fleet
from dispatcher.hashing import Cost
from dispatcher.jobs import Profile
from dispatcher.leases import Terms
from dispatcher.ledger import Ledger
from dispatcher.memory_store import MemoryStore
from dispatcher.ports import StoreFullError
from dispatcher.pump import Pump
from dispatcher.sessions import Hello
from dispatcher.telemetry import Telemetry
from servicekit.clock import SystemClock
from tests.unit.dispatcher.test_pump import JOIN_KEY, Line


class SlowStore(MemoryStore):
    """Writes a cordon when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.may_write = asyncio.Semaphore(0)
        self.is_asked = asyncio.Event()

    async def set_cordon(self, worker_id: str, reason: str | None) -> None:
        self.is_asked.set()
        await self.may_write.acquire()
        await super().set_cordon(worker_id, reason)


@pytest.fixture
async def store() -> AsyncIterator[SlowStore]:
    yield SlowStore()


@pytest.fixture
async def fleet(store: SlowStore) -> AsyncIterator[Fleet]:
    store.open()
    pump = Pump(
        ledger=Ledger(Terms()),
        store=store,
        clock=SystemClock(),
        telemetry=Telemetry(CollectorRegistry()),
        join_key=JOIN_KEY,
        cost=Cost(),
    )
    pump.hello(Hello("w1", "i1", 1, frozenset(Profile)), hashing.join_token(JOIN_KEY, "w1"), Line())
    yield Fleet(pump=pump, store=store, clock=SystemClock())


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_second_cordon_is_not_granted_before_the_first_is_on_disk(
    fleet: Fleet, store: SlowStore
):
    first = asyncio.ensure_future(fleet.cordon("w1", "one", 0))
    await store.is_asked.wait()
    second = asyncio.ensure_future(fleet.cordon("w1", "two", 0))
    await turns()
    assert not second.done()
    store.fault = StoreFullError("full")
    store.may_write.release()
    store.may_write.release()
    with pytest.raises(StoreFullError):
        await first
    with pytest.raises(StoreFullError):
        await second


async def test_a_lift_under_way_does_not_take_back_a_later_cordon(fleet: Fleet, store: SlowStore):
    store.may_write.release()
    assert (await fleet.cordon("w1", "one", None)).is_granted
    store.is_asked.clear()
    lifting = asyncio.ensure_future(fleet.uncordon("w1"))
    await store.is_asked.wait()
    again = asyncio.ensure_future(fleet.cordon("w1", "two", 0))
    await turns()
    assert not again.done()
    store.may_write.release()
    store.may_write.release()
    assert await lifting
    assert (await again).is_granted
    assert [worker.state for worker in fleet.workers()] == ["cordoned"]
