import tracemalloc

from dispatcher.jobs import JobKey
from dispatcher.key_sets import BITS, KeySet


def keys(*numbers: int) -> KeySet:
    return KeySet(map(JobKey, numbers))


def test_a_key_is_there_from_its_adding_to_its_taking_out():
    made = keys(5)
    assert JobKey(5) in made
    assert JobKey(4) not in made
    assert JobKey(5 + BITS) not in made
    assert made.discard(JobKey(5))
    assert not made.discard(JobKey(5))
    assert (len(made), list(made)) == (0, [])


def test_a_key_counts_once():
    assert len(keys(7, 7, 7)) == 1


def test_keys_come_in_order_across_bitmaps():
    assert list(keys(3 * BITS, 0, BITS - 1, BITS)) == [0, BITS - 1, BITS, 3 * BITS]


def test_the_first_key_of_a_range_is_found_across_bitmaps():
    made = keys(10, 2 * BITS + 3)
    assert made.first(0, 11) == 10
    assert made.first(0, 10) is None
    assert made.first(11, 2 * BITS + 3) is None
    assert made.first(11, 2 * BITS + 4) == 2 * BITS + 3
    assert made.first(5 * BITS, 6 * BITS) is None


def test_an_empty_bitmap_is_forgotten():
    made = keys(1, BITS)
    made.discard(JobKey(1))
    assert list(made.chunks) == [1]
    assert not made.has_chunk(0)


def test_following_keys_cost_two_bits_each():
    tracemalloc.start()
    made = KeySet(map(JobKey, range(100_000)))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(made) == 100_000
    assert used < 100_000 / 4
