import hashlib
from collections.abc import Callable, Iterator

import pytest

from guest_worker import hashing, loads

NUMBER = b"KA-47-UT-9173"


def never() -> bool:
    return False


def after(looks: int) -> Callable[[], bool]:
    answers: Iterator[bool] = iter([False] * looks + [True])
    return lambda: next(answers)


def first_bits(data: bytes, bits: int) -> int:
    return int.from_bytes(hashlib.sha256(data).digest(), "big") >> (256 - bits)


@pytest.mark.parametrize("bits", [1, 8, 12])
def test_a_collision_agrees_in_the_wanted_bits(bits: int) -> None:
    counter = loads.collide(NUMBER, bits, 7, never)
    found = NUMBER + b":" + counter.to_bytes(8, "big")
    assert first_bits(found, bits) == first_bits(NUMBER, bits)


def test_a_collision_search_is_repeatable_and_begins_where_it_is_told() -> None:
    first = loads.collide(NUMBER, 10, 7, never)
    assert first >= 7
    assert loads.collide(NUMBER, 10, 7, never) == first
    assert loads.collide(NUMBER, 10, first + 1, never) > first


def test_a_collision_search_wraps_at_the_end_of_the_counter() -> None:
    counter = loads.collide(NUMBER, 8, 2**64 - 1, never)
    assert 0 <= counter < 2**64


def test_every_load_can_be_abandoned() -> None:
    stored = hashing.salted_sha256(NUMBER, "s")
    with pytest.raises(loads.AbandonedError):
        loads.collide(NUMBER, 40, 1, after(3))
    with pytest.raises(loads.AbandonedError):
        loads.verify(stored, NUMBER, loads.MAX_REPETITIONS, after(3))
    with pytest.raises(loads.AbandonedError):
        loads.busy(NUMBER, 3600, lambda: 0.0, after(3))


def test_verify_ends_after_its_repetitions_and_notices_a_wrong_hash() -> None:
    loads.verify(hashing.salted_sha256(NUMBER, "s"), NUMBER, 1000, never)
    with pytest.raises(ValueError, match="does not verify"):
        loads.verify(hashing.salted_sha256(b"other", "s"), NUMBER, 1, never)


def test_busy_ends_when_the_cpu_time_has_passed() -> None:
    clock = iter(range(100))
    hashes = loads.busy(NUMBER, 10, lambda: float(next(clock)), never)
    assert next(clock) == 11
    assert hashes == 9 * (loads.HASHES_PER_LOOK // 4)


@pytest.mark.parametrize(
    ("load", "field"),
    [
        (lambda: loads.collide(NUMBER, 0, 1, never), "collision.difficulty_bits: 0"),
        (lambda: loads.collide(NUMBER, 41, 1, never), "collision.difficulty_bits: 41"),
        (lambda: loads.verify("x", NUMBER, 0, never), "verify.repetitions: 0"),
        (lambda: loads.verify("x", NUMBER, 10**7 + 1, never), "verify.repetitions: 10000001"),
        (lambda: loads.busy(NUMBER, 0, lambda: 0.0, never), "busy.duration: 0"),
        (lambda: loads.busy(NUMBER, 3601, lambda: 0.0, never), "busy.duration: 3601"),
    ],
)
def test_a_load_out_of_range_is_refused_by_its_name(load: Callable[[], object], field: str) -> None:
    with pytest.raises(loads.LoadRefusedError, match=f"^load.{field} "):
        load()
