"""Jobs, loads and results as frozen values. Pure.

Those of which there is one per job on the way through are named tuples: a frozen dataclass takes
three times as long to make.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, NewType

JobKey = NewType("JobKey", int)
"""A job inside the dispatcher: its place in the order of acceptance, from 1."""


class Profile(IntEnum):
    """How a number becomes a stored hash. The values are written to the store."""

    LEGACY_SHA256 = 1
    HMAC_SHA256 = 2
    ARGON2ID = 3


class JobState(IntEnum):
    """Where a job is. The states partition the accepted jobs; the values are written to the store.

    The store knows no LEASED: a lease lives in memory, so that a restart gives every unfinished job
    back to the ready ones.
    """

    READY = 1
    LEASED = 2
    DONE = 3
    FAILED = 4
    CANCELLED = 5

    @property
    def is_final(self) -> bool:
        """True when nothing can happen to the job any more."""
        return self >= JobState.DONE


class FailureReason(IntEnum):
    """Why a job was given up. The values are written to the store."""

    REFUSED = 1
    ATTEMPTS_EXHAUSTED = 2


@dataclass(frozen=True, slots=True)
class Collision:
    """Search an input whose SHA-256 begins with the same bits. `seed` 0 is a random start."""

    difficulty_bits: int
    seed: int


@dataclass(frozen=True, slots=True)
class Verify:
    """Verify the fresh hash so many times."""

    repetitions: int


@dataclass(frozen=True, slots=True)
class Busy:
    """Hash until so much CPU time has passed."""

    seconds: float


Load = Collision | Verify | Busy | None


class JobSpec(NamedTuple):
    """What a client asks for, as it came.

    `profile` None means the configured default; an int that is no Profile is refused.
    """

    number: str
    profile: Profile | int | None = None
    load: Load = None
    reference: str = ""

    def __repr__(self) -> str:
        return f"JobSpec(profile={self.profile!r}, load={self.load!r})"


class Payload(NamedTuple):
    """What a worker needs. `input` is the number for LEGACY_SHA256, else the keyed number."""

    profile: Profile
    input: bytes
    key_id: str = ""
    load: Load = None

    def __repr__(self) -> str:
        return f"Payload({self.profile!r}, key_id={self.key_id!r}, load={self.load!r})"


class NewJob(NamedTuple):
    """A checked job on its way into the store."""

    payload: Payload
    reference: str = ""


class Result(NamedTuple):
    """The one stored result of a job. `completed_at` is wall time."""

    hash: str
    completed_at: float
    worker_id: str
    service_seconds: float


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job was given up. The message never holds a number."""

    reason: FailureReason
    message: str


class AttemptCause(IntEnum):
    """How an attempt failed. The values are written to the store."""

    WORKER_LOST = 1
    LEASE_EXPIRED = 2
    WORKER_REFUSED = 3
    WRONG_RESULT = 4


MAX_HISTORY = 16
"""So many of a job's failed attempts are kept: the newest."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One failed attempt at a job. `at` is wall time; `ordinal` counts from 1.

    Not certain: other jobs were in the lost worker's hands too. The message is the worker's, or
    empty; it never holds a number.
    """

    ordinal: int
    cause: AttemptCause
    worker_id: str
    at: float
    is_certain: bool = True
    message: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the store knows it. Holds no number. `accepted_at` is wall time.

    `history` has the newest `MAX_HISTORY` failed attempts, the oldest first.
    """

    key: JobKey
    state: JobState
    profile: Profile
    accepted_at: float
    attempts: int
    reference: str
    result: Result | None = None
    failure: Failure | None = None
    history: tuple[Attempt, ...] = ()


class Lease(NamedTuple):
    """A right to work on a job. The epoch grows with every lease and never goes back."""

    key: JobKey
    epoch: int


class Hashed(NamedTuple):
    """A worker's result for a lease."""

    lease: Lease
    hash: str
    service_seconds: float


class Refused(NamedTuple):
    """A worker's refusal of a lease; `is_retryable` when another attempt may succeed.

    `is_wrong`: the worker sent something that cannot be the job's hash.
    """

    lease: Lease
    is_retryable: bool
    message: str
    is_wrong: bool = False


Outcome = Hashed | Refused


class Done(NamedTuple):
    """A final state on its way into the store: the result."""

    key: JobKey
    hash: str
    worker_id: str
    service_seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """A final state on its way into the store: given up."""

    key: JobKey
    failure: Failure


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A final state on its way into the store: withdrawn."""

    key: JobKey


Final = Done | Failed | Cancelled


JOB_STATES = ("ready", "leased", "done", "failed", "cancelled")
"""A job is in one of them."""


@dataclass(slots=True)
class Counts:
    """How many jobs are where. `accepted` is always the sum of the others."""

    accepted: int = 0
    ready: int = 0
    leased: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def unfinished(self) -> int:
        """Jobs that are not final."""
        return self.ready + self.leased

    def is_balanced(self) -> bool:
        """The invariant that every scrape can check."""
        return self.accepted == (
            self.ready + self.leased + self.done + self.failed + self.cancelled
        )


@dataclass(frozen=True, slots=True)
class Era:
    """A stretch of a store's life that ended when a backup was restored.

    Jobs up to `last_key` keep the names they had then. What was accepted after the backup was made
    is not in the store, and its names come back as nothing: jobs accepted since the restore have
    another store id. So it is with the results after `last_cursor`. Leases of jobs accepted since
    have epochs from `next_generation` on.
    """

    store_id: str
    last_key: int
    last_cursor: int
    next_generation: int = 0

    def is_over(self, lease: "Lease") -> bool:
        """Whether the lease is on a job that was lost with this era, now another job's key."""
        return lease.key > self.last_key and lease.epoch < self.next_generation << 32


@dataclass(frozen=True, slots=True)
class JobNames:
    """The names of one store's jobs: `<store id>-<key>`.

    Another store's name is unknown here instead of being some other job. `former` are the eras that
    have ended, the oldest first.
    """

    store_id: str
    former: tuple[Era, ...] = ()

    def name(self, key: JobKey) -> str:
        """The job's name in the API."""
        for era in self.former:
            if key <= era.last_key:
                return f"{era.store_id}-{key}"
        return f"{self.store_id}-{key}"

    def key(self, name: str) -> JobKey | None:
        """The job of that name; None when no job of this store can have it."""
        store_id, number = _parts(name)
        if number is None:
            return None
        before = 0
        for era in self.former:
            if store_id == era.store_id:
                return JobKey(number) if before < number <= era.last_key else None
            before = era.last_key
        return JobKey(number) if store_id == self.store_id and number > before else None

    def cursor_name(self, cursor: int) -> str:
        """A place in the results' sequence, as clients keep it. Never the name of a job."""
        return f"{self.store_id}-{cursor}r"

    def cursor(self, name: str) -> int | None:
        """The place; None when this store cannot have named it.

        A place after a restored backup becomes the backup's end: what follows there is new to all.
        """
        if not name.endswith("r"):
            return None
        store_id, number = _parts(name.removesuffix("r"), least=0)
        if number is None or store_id == self.store_id:
            return number
        for era in self.former:
            if store_id == era.store_id:
                return min(number, era.last_cursor)
        return None


def _parts(name: str, *, least: int = 1) -> tuple[str, int | None]:
    """Store id and number of a name; no number when it is malformed or too small."""
    store_id, _, digits = name.rpartition("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 18:
        return store_id, None
    number = int(digits)
    return store_id, number if str(number) == digits and number >= least else None


def load_text(load: Load) -> str:
    """A load in the form the store keeps."""
    match load:
        case Collision(difficulty_bits=bits, seed=seed):
            return f"collision:{bits}:{seed}"
        case Verify(repetitions=repetitions):
            return f"verify:{repetitions}"
        case Busy(seconds=seconds):
            return f"busy:{seconds!r}"
        case None:
            return ""


def parse_load(text: str) -> Load:
    """The inverse of `load_text`."""
    match text.split(":"):
        case ["collision", bits, seed]:
            return Collision(int(bits), int(seed))
        case ["verify", repetitions]:
            return Verify(int(repetitions))
        case ["busy", seconds]:
            return Busy(float(seconds))
        case [""]:
            return None
    raise ValueError(f"unknown load in the store: {text!r}")
