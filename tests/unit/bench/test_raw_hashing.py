import re

from bench.numbers import check_answers, numbers
from bench.raw_hashing import sha256_batch

UUID4 = re.compile(r"[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}")


def test_the_baseline_does_the_whole_work():
    stored = sha256_batch()
    assert check_answers(zip(numbers(0, 1_000), stored, strict=True)) == 1_000
    salts = {each.partition(":")[2] for each in stored}
    assert len(salts) == 1_000
    assert all(UUID4.fullmatch(salt) for salt in salts)
