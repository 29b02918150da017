"""What the libraries do alone on one core, in one process, without any worker around them.

`python -m bench.raw_hashing REQUEST FILE`: REQUEST is JSON (`profile`: `argon2id` or
`legacy-sha256`, `seconds`).
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.numbers import number_at
from bench.peers.formula import sha256

ARGON2_COST = {"memory_kib": 19_456, "passes": 2, "lanes": 1}
_ROUND = {"argon2id": 4, "legacy-sha256": 2_000}


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
    return lambda index: sha256(number_at(index))


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
        "jobs": jobs,
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - used,
    }


def main() -> None:
    """Measures once."""
    asked, path = json.loads(sys.argv[1]), Path(sys.argv[2])
    path.write_text(json.dumps(measure(asked["profile"], asked["seconds"])))


if __name__ == "__main__":
    main()
