"""The loop with a store that fails, and workers that are lines in a list."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from dispatcher import hashing
from dispatcher.backlog import Unfinished
from dispatcher.hashing import Cost
from dispatcher.jobs import Hashed, Job, JobKey, JobState, Lease, NewJob, Payload, Profile
from dispatcher.leases import Terms
from dispatcher.ledger import Ledger
from dispatcher.memory_store import MemoryStore
from dispatcher.ports import StoreFullError
from dispatcher.pump import Pump
from dispatcher.sessions import Hello
from dispatcher.telemetry import Telemetry
from servicekit.clock import SystemClock

JOIN_KEY = b"j" * 32
HASH = hashlib.sha256(b"0" * 32 + b"A").hexdigest() + ":" + "0" * 32


class QuickClock(SystemClock):
    """Does not wait before it tries again."""

    async def sleep(self, seconds: float) -> None:
        if seconds < 60:
            await asyncio.sleep(0)
        else:
            await asyncio.Event().wait()  # upkeep: not within a test


class Line:
    """Notes what a worker would be told."""

    def __init__(self) -> None:
        self.leases: asyncio.Queue[Lease] = asyncio.Queue()
        self.acked: asyncio.Queue[Lease] = asyncio.Queue()
        self.told: list[str] = []

    def assign(self, leases: Sequence[Lease]) -> None:
        for lease in leases:
            self.leases.put_nowait(lease)

    def acknowledge(self, leases: Sequence[Lease]) -> None:
        for lease in leases:
            self.acked.put_nowait(lease)

    def __getattr__(self, name: str) -> Any:
        return lambda *_: self.told.append(name)


@pytest.fixture
async def store() -> MemoryStore:
    made = MemoryStore()
    made.open()
    return made


@pytest.fixture
async def pump(store: MemoryStore) -> AsyncIterator[Pump]:
    made = Pump(
        ledger=Ledger(Terms()),
        store=store,
        clock=QuickClock(),
        telemetry=Telemetry(CollectorRegistry()),
        join_key=JOIN_KEY,
        cost=Cost(),
    )
    running = asyncio.ensure_future(made.run())
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def submitted(pump: Pump, store: MemoryStore) -> None:
    jobs = [NewJob(Payload(Profile.LEGACY_SHA256, b"A"))]
    accepted = await store.submit("r1", ["d"], jobs, 1.0)
    pump.submitted(accepted.first, jobs, 1.0)


def join(pump: Pump, line: Line, *, token: str | None = None) -> Any:
    hello = Hello("w1", "i1", 1, frozenset(Profile))
    return pump.hello(hello, hashing.join_token(JOIN_KEY, "w1") if token is None else token, line)


async def test_a_result_waits_for_a_store_that_cannot_write(pump: Pump, store: MemoryStore):
    line = Line()
    session = join(pump, line)
    pump.credit(session, 1)
    await submitted(pump, store)
    lease = await line.leases.get()
    store.fault = StoreFullError("full")
    await pump.outcomes(session, [Hashed(lease, HASH, 0.1)])
    for _ in range(20):
        await asyncio.sleep(0)
    assert line.acked.empty()
    assert pump.ledger.counts.leased == 1
    store.fault = None
    assert await line.acked.get() == lease
    (job,) = await store.jobs([JobKey(1)])
    assert job is not None
    assert job.state is JobState.DONE


async def test_a_wrong_token_opens_nothing(pump: Pump):
    assert join(pump, Line(), token="v1.wrong") is None
    assert pump.ledger.workers(0.0) == []


async def test_jobs_from_before_a_restart_are_read_from_the_store(store: MemoryStore):
    jobs = [NewJob(Payload(Profile.LEGACY_SHA256, b"A"))]
    await store.submit("r1", ["d"], jobs, 1.0)
    pump = Pump(
        ledger=Ledger(Terms(), unfinished=[Unfinished(JobKey(1), Profile.LEGACY_SHA256, 1.0, 0)]),
        store=store,
        clock=QuickClock(),
        telemetry=Telemetry(CollectorRegistry()),
        join_key=JOIN_KEY,
        cost=Cost(),
    )
    line = Line()
    session = join(pump, line)
    pump.credit(session, 1)
    lease = await line.leases.get()
    assert [each.payload for each in await pump.assignments(session, [lease])] == [jobs[0].payload]
    assert await pump.assignments(session, [Lease(lease.key, lease.epoch + 1)]) == []


async def test_followers_are_told_once(pump: Pump, store: MemoryStore):
    told: asyncio.Queue[Sequence[Job]] = asyncio.Queue()
    await submitted(pump, store)
    following = pump.follow(told.put_nowait)
    following.add([JobKey(1)])
    pump.cancel([JobKey(1)])
    (job,) = await told.get()
    assert (job.key, job.state) == (1, JobState.CANCELLED)
    assert not following.pending
    following.stop()
    assert told.empty()


async def test_what_followers_are_told_is_what_the_store_has(pump: Pump, store: MemoryStore):
    told: asyncio.Queue[Sequence[Job]] = asyncio.Queue()
    line = Line()
    session = join(pump, line)
    pump.credit(session, 1)
    await submitted(pump, store)
    pump.follow(told.put_nowait).add([JobKey(1)])
    await pump.outcomes(session, [Hashed(await line.leases.get(), HASH, 0.1)])
    assert await told.get() == await store.jobs([JobKey(1)])


class LateClock(QuickClock):
    """Stands still with the process until `late` is added; waits end when `over` is set."""

    def __init__(self) -> None:
        self.late = 0.0
        self.pauses: asyncio.Queue[float] = asyncio.Queue()
        self.over = asyncio.Event()

    def monotonic(self) -> float:
        return super().monotonic() + self.late

    async def sleep(self, seconds: float) -> None:
        if seconds < 60:
            self.pauses.put_nowait(seconds)
            await self.over.wait()
        else:
            await asyncio.Event().wait()


async def test_after_standing_still_it_hears_the_workers_before_it_gives_them_up(
    store: MemoryStore,
):
    clock = LateClock()
    pump = Pump(
        ledger=Ledger(Terms(lease_ttl=10.0)),
        store=store,
        clock=clock,
        telemetry=Telemetry(CollectorRegistry()),
        join_key=JOIN_KEY,
        cost=Cost(),
    )
    running = asyncio.ensure_future(pump.run())
    alive, silent = Line(), Line()
    session = join(pump, alive)
    hello = Hello("w2", "i2", 1, frozenset(Profile))
    pump.hello(hello, hashing.join_token(JOIN_KEY, "w2"), silent)
    pump.credit(session, 1)
    await submitted(pump, store)
    lease = await alive.leases.get()
    clock.late = 15.0  # SIGSTOP, a paused host: longer than any lease
    pump.credit(session, 0)
    await clock.pauses.get()
    pump.heartbeat(session, [lease], 1)  # it had been waiting in the socket
    clock.over.set()
    while "end" not in silent.told:  # noqa: ASYNC110 - a list has no events
        await asyncio.sleep(0)
    assert "end" not in alive.told
    assert pump.ledger.holds(session, lease)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_it_ends_when_told_even_at_the_moment_something_happens(store: MemoryStore):
    """asyncio.wait_for of Python 3.11 forgets a cancellation that meets the end of its wait."""
    for turns in range(12):
        pump = Pump(
            ledger=Ledger(Terms()),
            store=store,
            clock=QuickClock(),
            telemetry=Telemetry(CollectorRegistry()),
            join_key=JOIN_KEY,
            cost=Cost(),
        )
        running = asyncio.ensure_future(pump.run())
        session = join(pump, Line())
        for _ in range(turns):
            await asyncio.sleep(0)
        pump.heartbeat(session, [], 0)
        running.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        assert running.done(), f"still running when told after {turns} turns"


async def test_a_lease_that_ends_before_it_is_sent_costs_no_credit(pump: Pump, store: MemoryStore):
    line = Line()
    session = join(pump, line)
    pump.credit(session, 1)
    await submitted(pump, store)
    lease = await line.leases.get()
    pump.cancel([lease.key])
    assert await pump.assignments(session, [lease]) == []
    jobs = [NewJob(Payload(Profile.LEGACY_SHA256, b"A"))]
    accepted = await store.submit("r2", ["d"], jobs, 1.0)
    pump.submitted(accepted.first, jobs, 1.0)
    assert (await line.leases.get()).key == accepted.first
