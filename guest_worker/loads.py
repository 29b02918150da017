"""Extra CPU work done with a number before its result goes back. Pure: clocks are arguments.

Every load can be abandoned: it calls `is_cancelled` at least every few milliseconds of CPU time and
raises AbandonedError when that says so.
"""

from collections.abc import Callable
from hashlib import sha256

from guest_worker import hashing

MAX_COLLISION_BITS = 40
MAX_REPETITIONS = 10_000_000
MAX_BUSY_SECONDS = 3600.0

# Hashes between two looks at `is_cancelled`: about 1 ms natively, 20 ms in an emulated guest.
HASHES_PER_LOOK = 1024

_COUNTER_MASK = 2**64 - 1

CancelCheck = Callable[[], bool]


class AbandonedError(Exception):
    """The work was cancelled; there is no result."""


class LoadRefusedError(ValueError):
    """The load is out of range. The text names the field, the value and the range."""


def collide(data: bytes, bits: int, start: int, is_cancelled: CancelCheck) -> int:
    """The first counter from `start` on whose hash begins with the same bits as that of `data`.

    The hash is SHA-256 over `data`, a colon and the counter as 8 bytes. The mean number of tries is
    2 to the power of `bits`.
    """
    if not 1 <= bits <= MAX_COLLISION_BITS:
        raise LoadRefusedError(
            f"load.collision.difficulty_bits: {bits} is not from 1 to {MAX_COLLISION_BITS}"
        )
    shift = 64 - bits
    wanted = int.from_bytes(sha256(data).digest()[:8], "big") >> shift
    prefix = sha256(data + b":")
    copy, from_bytes = prefix.copy, int.from_bytes
    first = start
    while not is_cancelled():
        for counter in range(first, first + HASHES_PER_LOOK):
            candidate = copy()
            candidate.update((counter & _COUNTER_MASK).to_bytes(8, "big"))
            if from_bytes(candidate.digest()[:8], "big") >> shift == wanted:
                return counter & _COUNTER_MASK
        first += HASHES_PER_LOOK
    raise AbandonedError


def verify(stored: str, data: bytes, repetitions: int, is_cancelled: CancelCheck) -> None:
    """Verify `stored` against `data` so many times.

    A mismatch is a ValueError: the fresh hash of a number that does not verify is a fault here.
    """
    if not 1 <= repetitions <= MAX_REPETITIONS:
        raise LoadRefusedError(
            f"load.verify.repetitions: {repetitions} is not from 1 to {MAX_REPETITIONS}"
        )
    # One slow hash takes as long as thousands of fast ones: look before each.
    per_look = 1 if stored.startswith("$argon2id$") else HASHES_PER_LOOK // 4
    for done in range(repetitions):
        if done % per_look == 0 and is_cancelled():
            raise AbandonedError
        if not hashing.matches(stored, data):
            raise ValueError("the fresh hash does not verify")


def busy(
    data: bytes, seconds: float, cpu_seconds: Callable[[], float], is_cancelled: CancelCheck
) -> int:
    """Hash until `cpu_seconds` has advanced by `seconds`; returns the number of hashes."""
    if not 0 < seconds <= MAX_BUSY_SECONDS:
        raise LoadRefusedError(
            f"load.busy.duration: {seconds:g} s is not more than 0 and at most {MAX_BUSY_SECONDS:g}"
        )
    end = cpu_seconds() + seconds
    digest = data
    hashes = 0
    while cpu_seconds() < end:
        if is_cancelled():
            raise AbandonedError
        for _ in range(HASHES_PER_LOOK // 4):
            digest = sha256(digest).digest()
        hashes += HASHES_PER_LOOK // 4
    return hashes
