import pytest

from guest_worker import values
from guest_worker.room import HELD_SECONDS, MAX_WAITING, Room
from guest_worker.values import Assignment, Busy, Lease, Outcome, Refusal

SLOTS = 2
SMALL = 2 * SLOTS
FULL = SLOTS + SLOTS * MAX_WAITING


def light(key: int) -> Assignment:
    return Assignment(Lease(key, 1), values.LEGACY_SHA256, b"n")


def heavy(key: int) -> Assignment:
    return Assignment(Lease(key, 1), values.HMAC_SHA256, b"n", load=Busy(1.0))


def measured(room: Room, seconds: float, jobs: int = 1) -> Room:
    for _ in range(jobs):
        room.measured(Outcome(Lease(10**6, 1), "hash", seconds))
    return room


@pytest.mark.parametrize("profile", [values.LEGACY_SHA256, values.HMAC_SHA256, values.ARGON2ID])
@pytest.mark.parametrize("load", [None, Busy(0.001)])
def test_a_job_is_light_without_a_load_and_without_argon2(profile: str, load: values.Load) -> None:
    is_light = profile != values.ARGON2ID and load is None
    assert Assignment(Lease(1, 1), profile, b"n", load=load).is_light == is_light


def test_a_fixed_prefetch_stays_whatever_the_work_is() -> None:
    room = Room(SLOTS, 9)
    for key in range(30):
        assert room.has_place(heavy(key), key)
        room.begun(heavy(key))
    assert measured(room, 50.0).limit == SLOTS + 9
    assert room.surplus(30, 30) == 0
    assert room.most_overrun == 0


def test_the_room_starts_small_and_grows_with_light_jobs() -> None:
    room = Room(SLOTS, None)
    assert room.limit == SMALL
    limits = [measured(room, 2e-5).limit for _ in range(150)]
    assert limits == sorted(limits)
    assert limits[0] == SMALL, "one light job says little"
    assert limits[-1] == FULL
    assert room.most_overrun == FULL
    assert measured(room, 0.0, 1000).limit == FULL


def test_what_waits_is_ten_milliseconds_of_work() -> None:
    room = measured(Room(SLOTS, None), HELD_SECONDS / 5.2, 1000)
    assert room.limit == SLOTS + 5 * SLOTS


def test_longer_jobs_count_at_once_and_shorter_ones_bit_by_bit() -> None:
    room = measured(Room(SLOTS, None), 2e-5, 1000)
    assert measured(room, HELD_SECONDS / 4).limit == SLOTS + 4 * SLOTS
    assert measured(room, 2e-5).limit == SLOTS + 4 * SLOTS
    assert measured(room, 5.0).limit == SMALL


def test_a_heavy_job_makes_the_room_small_at_once_and_until_light_ones_are_seen() -> None:
    room = measured(Room(SLOTS, None), 2e-5, 1000)
    job = heavy(1)
    room.begun(job)
    assert measured(room, 2e-5, 1000).limit == SMALL, "while one is in progress"
    room = measured(Room(SLOTS, None), 2e-5, 1000)
    room.begun(job)
    room.measured(Outcome(job.lease, "hash", 1e-6))
    room.ended(job.lease.key)
    assert room.limit == SMALL
    assert measured(room, 2e-5, 150).limit == FULL


def test_a_refusal_says_nothing_about_the_work() -> None:
    room = Room(SLOTS, None)
    for _ in range(1000):
        room.measured(Outcome(Lease(1, 1), Refusal(True, "the process died"), 0.0))
    assert room.limit == SMALL


def test_heavy_jobs_have_a_place_in_the_slots_and_once_more() -> None:
    room = Room(SLOTS, None)
    for key in range(SMALL):
        assert room.has_place(heavy(key), 60 + key), "light ones before it are soon done"
        room.begun(heavy(key))
    assert not room.has_place(heavy(9), SMALL)
    room.ended(0)
    assert room.has_place(heavy(9), SMALL - 1)


def test_light_jobs_have_no_place_behind_heavy_ones() -> None:
    room = Room(SLOTS, None)
    room.begun(heavy(1))
    assert room.has_place(light(3), 60), "a slot is left for them"
    room.begun(heavy(2))
    assert room.has_place(light(3), SMALL - 1)
    assert not room.has_place(light(3), SMALL)


def test_credit_is_taken_back_only_from_heavy_work() -> None:
    room = measured(Room(SLOTS, None), 2e-5, 1000)
    measured(room, 1.0)
    assert room.surplus(0, FULL) == 0
    room.begun(heavy(1))
    assert room.surplus(1, FULL) == FULL - 3
    assert room.surplus(1, 3) == 0
    assert room.surplus(60, 5) == 5
    assert room.surplus(60, -5) == 0
