import asyncio

import pytest

from scaler.paced_source import PacedSource
from scaler.ports import SignalQuery
from scaler.readings import Failed, Known, Stale
from tests.simulation.clock import VirtualClock
from tests.simulation.metrics_fake import MetricsFake

NOW = SignalQuery("now", "now")
PAST = SignalQuery("past", "past", every_seconds=100.0)


class Counted(MetricsFake):
    def __init__(self):
        super().__init__()
        self.asked = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.series = {"now": [1.0], "past": [5.0], "other": [7.0]}

    async def read(self, queries):
        self.asked.append([query.signal for query in queries])
        await self.gate.wait()
        return await super().read(queries)


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def paced():
    return Counted()


@pytest.fixture
async def source(paced, clock):
    source = PacedSource(Counted(), paced, clock, first_seconds=0.05)
    yield source
    await source.close()


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_first_turn_has_all_answers(source):
    assert await source.read([NOW, PAST]) == {"now": Known(1.0, 1.0), "past": Known(5.0, 1.0)}


async def test_asks_now_and_then_and_the_answer_ages(source, paced, clock):
    for _ in range(9):
        readings = await source.read([NOW, PAST])
        clock.advance(10.0)
    assert readings["past"] == Known(5.0, 81.0)
    assert paced.asked == [["past"]]
    clock.advance(10.0)
    await source.read([NOW, PAST])
    await settle()
    assert paced.asked == [["past"], ["past"]]
    assert (await source.read([PAST]))["past"] == Known(5.0, 1.0)


async def test_a_slow_answer_does_not_hold_up_the_turns(source, paced, clock):
    paced.gate.clear()
    assert (await source.read([NOW, PAST]))["past"] == Failed("no answer yet")
    assert (await source.read([NOW, PAST]))["now"] == Known(1.0, 1.0)
    assert paced.asked == [["past"]]
    paced.gate.set()
    await settle()
    assert (await source.read([NOW, PAST]))["past"] == Known(5.0, 1.0)


async def test_an_old_answer_serves_through_an_outage_but_not_for_ever(source, paced, clock):
    await source.read([PAST])
    paced.is_away = True
    clock.advance(299.0)
    assert (await source.read([PAST]))["past"] == Known(5.0, 300.0)
    await settle()
    clock.advance(2.0)
    assert (await source.read([PAST]))["past"] == Failed("cannot connect")
    paced.is_away = False
    clock.advance(10.0)
    await source.read([PAST])
    await settle()
    assert (await source.read([PAST]))["past"] == Known(5.0, 1.0)


async def test_an_answer_that_never_comes_again_goes_stale(source, paced, clock):
    await source.read([PAST])
    paced.gate.clear()
    clock.advance(301.0)
    assert (await source.read([PAST]))["past"] == Stale(301.0)


async def test_a_changed_query_is_asked_anew(source, paced):
    await source.read([PAST])
    other = SignalQuery("past", "other", every_seconds=100.0)
    assert (await source.read([other]))["past"] == Known(7.0, 1.0)
