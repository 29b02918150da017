import re

import pytest

from bench.numbers import check_answers, is_hash_of, number_at, numbers
from bench.peers.formula import sha256

VALID = re.compile(r"[A-Z]{2}-(?!00)\d{2}-[A-HJ-NP-Z]{2}-(?!0000)\d{4}")


@pytest.mark.parametrize("index", [0, 9_998, 9_999, 10**6, 10**7, 3 * 10**9, 4 * 10**9])
def test_every_number_is_a_valid_one(index):
    assert VALID.fullmatch(number_at(index))


def test_numbers_differ():
    found = {number_at(index) for index in range(0, 4 * 10**9, 99_991)}
    assert len(found) == len(range(0, 4 * 10**9, 99_991))
    assert list(numbers(9_998, 2)) == [number_at(9_998), number_at(9_999)]


def test_a_hash_belongs_to_its_number_only():
    stored = sha256("KA-47-UT-9173")
    assert is_hash_of(stored, "KA-47-UT-9173")
    assert not is_hash_of(stored, "KA-47-UT-9174")
    assert not is_hash_of(stored.partition(":")[0], "KA-47-UT-9173")


def test_answers_are_counted_when_right():
    assert check_answers((number, sha256(number)) for number in numbers(0, 5)) == 5


@pytest.mark.parametrize(
    ("answers", "fault"),
    [
        ([("A", sha256("A")), ("A", sha256("A"))], "twice"),
        ([("A", sha256("B"))], "does not verify"),
    ],
)
def test_a_wrong_run_does_not_count(answers, fault):
    with pytest.raises(SystemExit, match=fault):
        check_answers(answers)
