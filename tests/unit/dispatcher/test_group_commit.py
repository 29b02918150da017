"""The thread that writes in groups, over a store that only counts."""

import asyncio

import pytest

from dispatcher.group_commit import GroupWriter


class Counting:
    """Keeps what groups were committed; an operation that raises spoils its group."""

    def __init__(self, *, is_of_one=True):
        self.groups = []
        self.rests = []
        self.rested = asyncio.Event()
        self._is_of_one = is_of_one
        self._loop = asyncio.get_running_loop()

    def commit(self, group):
        values = [operation.act(self) for operation in group]
        for operation, value in zip(group, values, strict=True):
            operation.value = value
        self.groups.append(values)

    def is_of_one(self, error):
        return self._is_of_one

    def translated(self, error):
        return RuntimeError(f"translated: {error}")

    def rest(self, *, has_written):
        self.rests.append(has_written)
        self._loop.call_soon_threadsafe(self.rested.set)


def failing(_):
    raise ValueError("bad")


async def test_calls_of_one_turn_share_a_transaction():
    store, heard = Counting(), []
    writer = GroupWriter(store, on_commit=lambda rows, _seconds: heard.append(rows))
    writer.start()
    calls = (writer.queue(lambda _, number=number: number, rows=2) for number in range(5))
    assert await asyncio.gather(*calls) == [0, 1, 2, 3, 4]
    await writer.stop()
    assert store.groups == [[0, 1, 2, 3, 4]]
    assert heard == [10]
    assert store.rests == [True]


async def test_a_transaction_has_a_thousand_rows_at_most_and_one_operation_at_least():
    store = Counting()
    writer = GroupWriter(store, on_commit=lambda *_: None)
    writer.start()
    await asyncio.gather(*(writer.queue(lambda _: None, rows=rows) for rows in (999, 999, 5000, 1)))
    await writer.stop()
    assert [len(group) for group in store.groups] == [2, 1, 1]


async def test_a_bad_operation_takes_no_other_with_it():
    store, kept = Counting(), []
    writer = GroupWriter(store, on_commit=lambda *_: None)
    writer.start()
    found = await asyncio.gather(
        writer.queue(lambda _: "first", on_kept=kept.append),
        writer.queue(failing, on_kept=kept.append),
        writer.queue(lambda _: "last", on_kept=kept.append),
        return_exceptions=True,
    )
    await writer.stop()
    assert (found[0], found[2], kept) == ("first", "last", ["first", "last"])
    assert str(found[1]) == "translated: bad"


async def test_what_concerns_all_is_told_to_all():
    writer = GroupWriter(Counting(is_of_one=False), on_commit=lambda *_: None)
    writer.start()
    good, bad = writer.queue(lambda _: "good"), writer.queue(failing)
    found = await asyncio.gather(good, bad, return_exceptions=True)
    await writer.stop()
    assert [str(error) for error in found] == ["translated: bad"] * 2


async def test_who_gave_up_is_still_told_that_it_was_kept():
    store, kept = Counting(), []
    writer = GroupWriter(store, on_commit=lambda *_: None)
    call = asyncio.ensure_future(writer.queue(lambda _: 1, on_kept=kept.append))
    await asyncio.sleep(0)
    call.cancel()
    writer.start()
    await writer.stop()
    await asyncio.sleep(0)
    assert kept == [1]


async def test_an_idle_store_rests_each_second_when_it_wants_to():
    store = Counting()
    writer = GroupWriter(store, on_commit=lambda *_: None, rests_always=True)
    writer.start()
    async with asyncio.timeout(10):
        await store.rested.wait()
    await writer.stop()
    assert store.rests[0] is False


async def test_stopping_what_was_never_started_is_nothing():
    await GroupWriter(Counting(), on_commit=lambda *_: None).stop()


@pytest.mark.parametrize("rows", [1, 100])
async def test_what_is_queued_is_written_before_the_end(rows):
    store = Counting()
    writer = GroupWriter(store, on_commit=lambda *_: None)
    call = asyncio.ensure_future(writer.queue(lambda _: "kept", rows=rows))
    await asyncio.sleep(0)
    writer.start()
    await writer.stop()
    assert await call == "kept"
