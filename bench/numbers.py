"""Valid licence numbers for the benchmarks, all different, the same ones for the same start."""

import hashlib
from collections.abc import Iterable, Iterator

_STATES = ("KA", "MH", "DL", "TN", "UP", "GJ", "RJ", "WB")
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_SERIALS = 9_999
_DISTRICTS = 99


def number_at(index: int) -> str:
    """The number with this index, such as `KA-47-UT-9173`; different for every index below 4e9."""
    rest, serial = divmod(index, _SERIALS)
    rest, district = divmod(rest, _DISTRICTS)
    rest, state = divmod(rest, len(_STATES))
    first, second = divmod(rest % len(_LETTERS) ** 2, len(_LETTERS))
    series = _LETTERS[first] + _LETTERS[second]
    return f"{_STATES[state]}-{district + 1:02d}-{series}-{serial + 1:04d}"


def numbers(start: int, count: int) -> Iterator[str]:
    """`count` numbers from this index on."""
    return map(number_at, range(start, start + count))


def is_hash_of(stored: str, number: str) -> bool:
    """Whether `digest:salt` is of this number, by the formula alone, without code of ours."""
    digest, colon, salt = stored.partition(":")
    return bool(colon) and hashlib.sha256((salt + number).encode()).hexdigest() == digest


def check_answers(answers: Iterable[tuple[str, str]]) -> int:
    """How many (number, stored hash) pairs there are.

    Raises:
        SystemExit: a number came twice, or a hash is not the number's. A fast wrong answer is no
            figure.

    """
    seen: set[str] = set()
    for number, stored in answers:
        if number in seen:
            raise SystemExit("a number was answered twice: the run does not count")
        if not is_hash_of(stored, number):
            raise SystemExit("a stored hash does not verify: the run does not count")
        seen.add(number)
    return len(seen)
