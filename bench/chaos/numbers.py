"""What is submitted: the number, profile and load of the n-th job, from n alone. Pure."""

import random

from virtscale.v1 import job_pb2

LEGACY = job_pb2.HASH_PROFILE_LEGACY_SHA256
HMAC = job_pb2.HASH_PROFILE_HMAC_SHA256
ARGON2ID = job_pb2.HASH_PROFILE_ARGON2ID
_STATES = ("KA", "TN", "KL", "MH", "DL", "GJ", "RJ", "UP", "WB", "PB")
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
SLOW_SECONDS = 0.06
"""CPU time of a job that keeps its slot for a while, so that faults meet work in progress."""


def number(index: int) -> str:
    """A valid Indian number; no two of the first five thousand million are the same."""
    rest, digits = divmod(index, 9999)
    rest, first = divmod(rest, 24)
    rest, second = divmod(rest, 24)
    rest, district = divmod(rest, 99)
    letters = _LETTERS[first] + _LETTERS[second]
    return f"{_STATES[rest % 10]}-{district + 1:02d}-{letters}-{digits + 1:04d}"


def profile(index: int) -> job_pb2.HashProfile:
    """Mostly the cheap profiles; one in fifty is slow."""
    if index % 50 == 7:
        return ARGON2ID
    return HMAC if index % 4 == 1 else LEGACY


def spec(index: int, slow_every: int) -> job_pb2.JobSpec:
    """What the client asks for; the reference brings the index back with the result."""
    made = job_pb2.JobSpec(number=number(index), profile=profile(index), reference=str(index))
    if index % slow_every == 3:
        made.load.busy.duration.FromMicroseconds(int(SLOW_SECONDS * 1e6))
    return made


def request_id(seed: int, batch: int) -> str:
    """A UUID4 in text form that the same seed gives again."""
    bits = random.Random(f"{seed}/{batch}").getrandbits(128)
    bits = bits & ~(0xF << 76) | (0x4 << 76)
    bits = bits & ~(0x3 << 62) | (0x2 << 62)
    digits = f"{bits:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
