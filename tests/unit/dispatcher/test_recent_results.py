import asyncio

from dispatcher.jobs import Job, JobKey, JobState, Profile
from dispatcher.recent_results import MAX_KEPT, RecentResults


def jobs(*keys: int) -> list[Job]:
    return [
        Job(JobKey(key), JobState.DONE, Profile.LEGACY_SHA256, 1.0, 0, reference="") for key in keys
    ]


def seen(recent: RecentResults, cursor: int, limit: int = 10_000) -> list[tuple[int, int]] | None:
    found = recent.after(cursor, limit)
    return None if found is None else [(each.cursor, each.job.key) for each in found]


def test_nothing_is_known_before_anything_was_stored():
    assert seen(RecentResults(), 0) is None


def test_what_follows_a_cursor():
    recent = RecentResults()
    recent.add(8, jobs(30, 20))
    recent.add(10, jobs(40))
    assert seen(recent, 7) == [(8, 30), (9, 20), (10, 40)]
    assert seen(recent, 7, limit=2) == [(8, 30), (9, 20)]
    assert seen(recent, 9) == [(10, 40)]
    assert seen(recent, 10) == []
    assert seen(recent, 6) is None


def test_a_gap_begins_anew():
    recent = RecentResults()
    recent.add(8, jobs(1))
    recent.add(10, jobs(2))
    assert seen(recent, 7) is None
    assert seen(recent, 8) is None
    assert seen(recent, 9) == [(10, 2)]


def test_what_is_not_known_here_is_asked_of_the_store():
    recent = RecentResults()
    recent.add(8, jobs(1))
    recent.forget()
    assert seen(recent, 8) is None


def test_the_oldest_go():
    recent = RecentResults()
    for cursor in range(1, 3 * MAX_KEPT + 1):
        recent.add(cursor, jobs(cursor))
    found = seen(recent, 2 * MAX_KEPT)
    assert found is not None
    assert found[0] == (2 * MAX_KEPT + 1, 2 * MAX_KEPT + 1)
    assert len(found) == MAX_KEPT
    assert seen(recent, MAX_KEPT - 1) is None


def test_nothing_is_kept_for_nobody():
    recent = RecentResults()
    assert not recent.is_followed
    recent.enter()
    recent.enter()
    recent.add(1, jobs(1))
    recent.leave()
    assert recent.is_followed
    assert seen(recent, 0) == [(1, 1)]
    recent.leave()
    assert not recent.is_followed
    assert seen(recent, 0) is None


async def test_news_wake_all_who_wait_and_nobody_later():
    recent = RecentResults()
    first = [asyncio.ensure_future(recent.news()) for _ in range(3)]
    await asyncio.sleep(0)
    recent.tell()
    later = asyncio.ensure_future(recent.news())
    await asyncio.gather(*first)
    assert not later.done()
    recent.tell()
    await later
