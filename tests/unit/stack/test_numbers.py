import random
import re

import pytest

from stack import numbers


def make(form: numbers.Format, count: int, seed: int = 1) -> list[str]:
    generator = numbers.NumberGenerator(random.Random(seed).random, form)
    return [generator.next() for _ in range(count)]


def test_there_are_37_different_prefixes_and_all_of_them_come_up() -> None:
    assert len(set(numbers.PREFIXES)) == len(numbers.PREFIXES) == 37
    assert {number[:2] for number in make("hyphens", 5_000)} == set(numbers.PREFIXES)


@pytest.mark.parametrize(
    ("form", "pattern"),
    [
        ("legacy", r"[A-Z]{2}-\d{2}-[A-Z]{2}-\d{4}"),
        ("hyphens", r"[A-Z]{2}-(?!00)\d{2}-[A-HJ-NP-Z]{2}-(?!0000)\d{4}"),
        ("plate", r"[A-Z]{2}(?!00)\d{2}[A-HJ-NP-Z]{2}(?!0000)\d{4}"),
        ("bharat", r"2[1-5]BH(?!0000)\d{4}[A-HJ-NP-Z]{2}"),
    ],
)
def test_every_number_has_its_format(form: numbers.Format, pattern: str) -> None:
    assert all(re.fullmatch(pattern, number) for number in make(form, 2_000))


def test_the_same_seed_gives_the_same_numbers() -> None:
    assert make("hyphens", 20, seed=7) == make("hyphens", 20, seed=7)
    assert make("hyphens", 20, seed=7) != make("hyphens", 20, seed=8)


def test_only_the_legacy_numbers_may_be_wrong() -> None:
    """What a dispatcher with its default formats would refuse."""
    strange = [
        number for number in make("legacy", 5_000) if re.search(r"-00-|[IO].-|-0000", number)
    ]
    assert strange
