"""Checks of what clients submit. Pure. An error names place, masked value and rule."""

from collections.abc import Sequence
from dataclasses import dataclass

from dispatcher import hashing
from dispatcher.jobs import Busy, Collision, JobSpec, Load, NewJob, Payload, Profile, Verify
from dispatcher.plates import NumberFormats

MAX_BATCH = 1000
_MAX_REFERENCE_CHARACTERS = 128
_MAX_DIFFICULTY_BITS = 40
_MAX_REPETITIONS = 10_000_000
_MAX_BUSY_SECONDS = 3600.0
_MAX_VIOLATIONS = 100
# Clients of gRPC refuse trailing metadata above 8 KiB, in base64, and would see nothing of it.
_MAX_VIOLATION_BYTES = 5000


@dataclass(frozen=True, slots=True)
class Violation:
    """One faulty field of a request."""

    field: str
    description: str


class InvalidRequestError(Exception):
    """A request that cannot be accepted, with every fault found.

    At most 100, and as many as a gRPC status can carry; the last one tells how many are left out.
    """

    def __init__(self, *violations: Violation) -> None:
        self.violations = _bearable(violations)
        first = violations[0]
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        super().__init__(f"{first.field}: {first.description}{more}")


def _bearable(violations: tuple[Violation, ...]) -> tuple[Violation, ...]:
    size = 0
    for count, violation in enumerate(violations):
        size += len(violation.field) + len(violation.description.encode()) + 8
        if size > _MAX_VIOLATION_BYTES:
            left = len(violations) - count
            more = Violation(violation.field, f"is faulty as well, and {left - 1} more after it")
            return (*violations[:count], more)
    return violations


def new_jobs(
    specs: Sequence[JobSpec],
    *,
    keyring: hashing.Keyring,
    default: Profile,
    formats: NumberFormats,
) -> list[NewJob]:
    """Checks a batch and replaces the numbers by what workers see.

    Raises:
        InvalidRequestError: with every fault.

    """
    if not 1 <= len(specs) <= MAX_BATCH:
        raise InvalidRequestError(
            Violation("jobs", f"has {len(specs)} jobs; send 1 to {MAX_BATCH} per request")
        )
    faults: list[Violation] = []
    jobs: list[NewJob] = []
    for index, spec in enumerate(specs):
        profile = default if spec.profile is None else spec.profile
        found = _faults(spec, profile, keyring, formats)
        faults.extend(Violation(f"jobs[{index}].{each.field}", each.description) for each in found)
        if len(faults) >= _MAX_VIOLATIONS:
            break
        if not faults and isinstance(profile, Profile):
            value, key_id = hashing.payload_input(profile, spec.number, keyring)
            jobs.append(NewJob(Payload(profile, value, key_id, spec.load), spec.reference))
    if faults:
        raise InvalidRequestError(*faults[:_MAX_VIOLATIONS])
    return jobs


def content(specs: Sequence[JobSpec], jobs: Sequence[NewJob]) -> list[bytes]:
    """The parts of a batch that make two requests the same."""
    parts: list[bytes] = []
    for spec, job in zip(specs, jobs, strict=True):
        parts += [
            spec.number.encode(),
            bytes([job.payload.profile]),
            repr(spec.load).encode(),
            spec.reference.encode(),
        ]
    return parts


def _faults(
    spec: JobSpec, profile: Profile | int, keyring: hashing.Keyring, formats: NumberFormats
) -> list[Violation]:
    faults: list[Violation] = []
    if fault := formats.fault(spec.number):
        faults.append(Violation("number", fault))
    if not isinstance(profile, Profile):
        known = ", ".join(f"{each.value} ({each.name})" for each in Profile)
        faults.append(Violation("profile", f"is {profile}; send 0 (the default) or {known}"))
    elif profile is not Profile.LEGACY_SHA256 and keyring.current is None:
        faults.append(
            Violation(
                "profile",
                "needs a key and this dispatcher has no pepper_file; "
                "configure one or ask for legacy-sha256 (virtscale submit --profile)",
            )
        )
    if len(spec.reference) > _MAX_REFERENCE_CHARACTERS:
        faults.append(
            Violation(
                "reference",
                f"has {len(spec.reference)} characters; send at most {_MAX_REFERENCE_CHARACTERS}",
            )
        )
    load_fault = _load_fault(spec.load)
    if load_fault is not None:
        faults.append(load_fault)
    return faults


def _load_fault(load: Load) -> Violation | None:
    match load:
        case Collision(difficulty_bits=bits) if not 1 <= bits <= _MAX_DIFFICULTY_BITS:
            return Violation(
                "load.collision.difficulty_bits",
                f"is {bits}; send 1 to {_MAX_DIFFICULTY_BITS}",
            )
        case Verify(repetitions=repetitions) if not 1 <= repetitions <= _MAX_REPETITIONS:
            return Violation(
                "load.verify.repetitions", f"is {repetitions}; send 1 to {_MAX_REPETITIONS}"
            )
        case Busy(seconds=seconds) if not 0 < seconds <= _MAX_BUSY_SECONDS:
            return Violation(
                "load.busy.duration",
                f"is {seconds:g} s; send more than 0 and at most {_MAX_BUSY_SECONDS:g} s",
            )
    return None
