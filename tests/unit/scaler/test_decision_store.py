"""The decision store on real files: what is kept, what is not, and what happens when it cannot."""

import asyncio
import threading

import apsw
import pytest

from scaler.decision_store import DecisionFile, DecisionStore
from scaler.entries import Page
from servicekit.lifecycle import StartError
from tests.simulation.recording import lived, recorded_world


@pytest.fixture
async def life(tmp_path):
    world, store = recorded_world(path=tmp_path / "decisions.db")
    await lived(world)
    yield world, store
    store.close()
    await world.end()


def turns(entries):
    return [sample for entry in entries if entry.kind == "decision" for sample in entry.samples]


async def test_every_turn_is_kept_in_few_entries_and_survives_a_restart(life, tmp_path):
    _, store = life
    before = list(store.stream(0.0, 1e12))
    store.close()
    again = DecisionStore(tmp_path / "decisions.db")
    after = list(again.stream(0.0, 1e12))
    again.close()
    assert len(turns(after)) == 540
    assert turns(after) == turns(before)
    assert len(after) < 180
    assert [one.body for one in after] == [one.body for one in before]
    assert sum(one.count for one in after if one.kind == "decision") == 540


async def test_what_waits_and_what_is_written_are_one_history(life):
    world, store = life
    store.flush()
    written = len(list(store.stream(0.0, 1e12)))
    world.arrivals_per_second = 4.0
    await world.run(20)
    entries = list(store.stream(0.0, 1e12))
    assert len(entries) > written
    assert [one.id for one in entries] == sorted({one.id for one in entries})
    assert len(turns(entries)) == 580


async def test_the_turn_in_force_has_the_values_of_its_own_moment(life):
    world, store = life
    at = world.clock.wall() - 3.2
    for _ in range(2):
        entry, following = store.around(at)
        sample = [one for one in entry.samples if one.time <= at][-1]
        record = entry.at(at)
        assert record["time"] == sample.time == pytest.approx(at, abs=0.6)
        assert record["signals"]["demand"]["age_seconds"] == sample.values["demand"][1]
        assert following is None or following.first > at
        store.flush()


async def test_before_the_first_turn_there_is_none(life):
    _, store = life
    entry, following = store.around(5.0)
    assert entry is None
    assert following.id == min(one.id for one in store.stream(0.0, 1e12))


async def test_pages_by_reason_kind_time_and_place(life):
    _, store = life
    store.flush()
    everything = store.entries(Page(limit=10_000))
    assert everything == sorted(everything, key=lambda one: one.id)
    results = store.entries(Page(limit=10_000, kinds=("result",)))
    assert {one.body["type"] for one in results} == {"result"}
    demand = store.entries(Page(limit=10_000, reasons=("demand",)))
    assert demand and {one.body["reason"] for one in demand} == {"demand"}
    older = store.entries(Page(limit=3, before=everything[-3].id))
    assert [one.id for one in older] == [one.id for one in everything[-6:-3]]
    middle = everything[len(everything) // 2]
    late = store.entries(Page(limit=10_000, since=middle.first))
    assert all(one.last >= middle.first for one in late)
    early = store.entries(Page(limit=10_000, until=middle.first))
    assert all(one.first <= middle.first for one in early)
    assert store.entries(Page(limit=0)) == []


async def test_what_is_too_old_is_forgotten(tmp_path):
    world, store = recorded_world(path=tmp_path / "decisions.db")
    store._kept_seconds = 100.0
    await lived(world)
    store._removed_at = float("-inf")
    store.append({"type": "result", "time": world.clock.wall(), "outcome": "done"})
    store.flush()
    oldest = min(one.last for one in store.stream(0.0, 1e12))
    assert oldest >= world.clock.wall() - 100.0
    store.close()
    await world.end()


async def test_the_oldest_go_first_when_there_is_too_much(tmp_path):
    path = tmp_path / "decisions.db"
    store = DecisionStore(path, max_bytes=100_000, wall=lambda: 0.0)
    for number in range(4_000):
        body = {
            "type": "result",
            "time": float(number),
            "outcome": "done",
            "error": f"{number}" * 9,
        }
        store.append(body)
        # The store's own thread may write, and remove, in between: the last one comes alone.
        if number % 500 == 499 or number == 3_998:
            store._removed_at = float("-inf")
            store.flush()
    kept = [one.body["time"] for one in store.stream(0.0, 1e12)]
    assert kept[-1] == 3_999.0
    assert kept == sorted(kept)
    assert len(kept) < 4_000
    assert store.state.size_bytes < 130_000
    store.close()
    assert path.stat().st_size < 200_000


async def test_a_store_that_cannot_be_written_stops_nothing_and_recovers(tmp_path):
    folder = tmp_path / "away"
    world, store = recorded_world(path=folder / "decisions.db")
    await lived(world)
    store.flush()
    assert store.state.is_failing
    assert store.state.failures > 0
    assert len(turns(store.stream(0.0, 1e12))) == 540
    folder.mkdir()
    store.flush()
    assert not store.state.is_failing
    store.close()
    assert len(turns(DecisionFile(folder / "decisions.db").stream(0.0, 1e12))) == 540
    await world.end()


def test_entries_that_wait_too_long_are_lost_and_counted(tmp_path):
    store = DecisionStore(tmp_path / "away" / "decisions.db")
    for number in range(20_500):
        store.append({"type": "result", "time": float(number), "outcome": "done"})
    assert store.state.lost == 500
    assert store.entries(Page(limit=1))[0].body["time"] == 20_499.0
    store.close()


def test_a_big_pool_takes_no_more_memory_while_it_waits(tmp_path):
    store = DecisionStore(tmp_path / "away" / "decisions.db")
    inputs = {"domains": [{"name": f"d{number}"} for number in range(999)]}
    for number in range(50):
        store.append({"type": "decision", "time": float(number), "inputs": inputs})
    assert len(store.entries(Page(limit=100))) == 20
    assert store.state.lost == 30
    store.close()


@pytest.mark.parametrize("content", [b"no database at all" * 500, b"", None])
def test_a_file_that_is_none_is_put_aside(tmp_path, content):
    path = tmp_path / "decisions.db"
    if content is None:
        connection = apsw.Connection(str(path))
        connection.execute("PRAGMA user_version = 99; CREATE TABLE x (y)").fetchall()
        connection.close()
    else:
        path.write_bytes(content)
    store = DecisionStore(path, wall=lambda: 10.0)
    store.append({"type": "result", "time": 1.0, "outcome": "done"})
    store.flush()
    assert not store.state.is_failing
    store.close()
    assert (tmp_path / "decisions.db.damaged").exists() == (content != b"")
    assert len(list(DecisionFile(path).stream(0.0, 1e12))) == 1


def test_reading_another_process_store_says_what_is_wrong(tmp_path):
    with pytest.raises(StartError, match="--state-dir"):
        DecisionFile(tmp_path / "decisions.db").check()
    (tmp_path / "decisions.db").write_bytes(b"no database at all" * 500)
    with pytest.raises(StartError, match="cannot be read"):
        DecisionFile(tmp_path / "decisions.db").check()


async def test_it_is_written_by_a_thread_of_its_own(tmp_path):
    path = tmp_path / "decisions.db"
    store = DecisionStore(path, wall=lambda: 10.0)
    store.append({"type": "result", "time": 1.0, "outcome": "done"})
    async with asyncio.timeout(20):
        while not list(DecisionFile(path).stream(0.0, 1e12)):
            await asyncio.to_thread(threading.Event().wait, 0.01)
    store.close()
