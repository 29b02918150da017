"""What the libraries do alone on one core, in one process, without any worker around them.

`python -m bench.raw_hashing REQUEST FILE`: REQUEST is JSON (`seconds`, and `profile`: `argon2id`,
`legacy-sha256`: a batch of `digest:salt` with fresh salts in the fastest way we know, `uuid4`: the
same one by one with `uuid.uuid4()`, or `hashlib`: the bare digest, with one salt for all).
"""

import hashlib
import json
import os
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.numbers import number_at, numbers
from bench.peers.formula import sha256

ARGON2_COST = {"memory_kib": 19_456, "passes": 2, "lanes": 1}
_BATCH = 1_000
_ROUND = {"argon2id": 4, "legacy-sha256": 2, "uuid4": 2_000, "hashlib": 2_000}
_HASHES_PER_CALL = {"legacy-sha256": _BATCH}
_SALT = uuid.uuid4().hex.encode()
_NUMBER = number_at(0)
_NUMBERS = list(numbers(0, _BATCH))
_VARIANTS = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def argon2id(secret: bytes, salt: bytes, size: int = 32) -> bytes:
    """The bare library call."""
    from argon2.low_level import Type, hash_secret_raw

    return hash_secret_raw(
        secret,
        salt,
        time_cost=ARGON2_COST["passes"],
        memory_cost=ARGON2_COST["memory_kib"],
        parallelism=ARGON2_COST["lanes"],
        hash_len=size,
        type=Type.ID,
    )


def _hash(profile: str) -> Callable[[int], object]:
    if profile == "argon2id":
        return lambda index: argon2id(index.to_bytes(32, "big"), os.urandom(16))
    if profile == "legacy-sha256":
        return lambda index: sha256_batch()
    if profile == "uuid4":
        return lambda index: sha256(_NUMBER)
    digest, data = hashlib.sha256, _SALT + _NUMBER.encode()
    return lambda index: digest(data).hexdigest()


def sha256_batch() -> list[str]:
    """A thousand `digest:salt`, each salt a random UUID4 in hex."""
    digest, digits = hashlib.sha256, os.urandom(16 * _BATCH).hex()
    found = []
    for number, at in zip(_NUMBERS, range(0, 32 * _BATCH, 32), strict=True):
        drawn = digits[at : at + 32]
        salt = f"{drawn[:12]}4{drawn[13:16]}{_VARIANTS[drawn[16]]}{drawn[17:]}"
        found.append(f"{digest((salt + number).encode()).hexdigest()}:{salt}")
    return found


def measure(profile: str, seconds: float) -> dict[str, Any]:
    """Hashes for so long; how many, in how much CPU time."""
    once, jobs = _hash(profile), 0
    for index in range(_ROUND[profile]):
        once(index)
    began, used = time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        for index in range(jobs, jobs + _ROUND[profile]):
            once(index)
        jobs += _ROUND[profile]
    return {
        "jobs": jobs * _HASHES_PER_CALL.get(profile, 1),
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - used,
    }


def main() -> None:
    """Measures once."""
    asked, path = json.loads(sys.argv[1]), Path(sys.argv[2])
    path.write_text(json.dumps(measure(asked["profile"], asked["seconds"])))


if __name__ == "__main__":
    main()
