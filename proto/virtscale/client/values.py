"""What a client submits and what comes back: plain frozen values, no wire format."""

from dataclasses import dataclass, field
from typing import Literal

Profile = Literal["legacy-sha256", "hmac-sha256", "argon2id"]
PROFILES: tuple[Profile, ...] = ("legacy-sha256", "hmac-sha256", "argon2id")

State = Literal["ready", "leased", "done", "failed", "cancelled"]
FINAL_STATES: frozenset[State] = frozenset({"done", "failed", "cancelled"})

MAX_BATCH = 1_000
"""Jobs in one request at most."""
MAX_NUMBER_LENGTH = 64
"""Characters of a licence number at most."""


@dataclass(frozen=True, slots=True)
class Collision:
    """Extra work: search for an input whose SHA-256 begins with the same bits."""

    difficulty_bits: int
    """1 to 40."""
    seed: int = 0
    """0: a random start; any other value makes the search repeatable."""


@dataclass(frozen=True, slots=True)
class Verify:
    """Extra work: verify the fresh hash again and again."""

    repetitions: int
    """1 to 10,000,000."""


@dataclass(frozen=True, slots=True)
class Busy:
    """Extra work: hash in a loop."""

    seconds: float
    """CPU time, more than 0 and at most an hour."""


Load = Collision | Verify | Busy | None


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A job to submit. Its number is never shown: values end up in logs and tracebacks."""

    number: str = field(repr=False)
    """The licence number in clear, 1 to 64 characters."""
    profile: Profile | None = None
    """How to hash it; None: the dispatcher's default."""
    load: Load = None
    """Work on top of the hashing."""
    reference: str = ""
    """Your own, returned with the result, at most 128 characters. Put no number in it."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the dispatcher knows it. Times are Unix seconds."""

    job_id: str
    state: State
    reference: str = ""
    accepted_at: float = 0.0
    attempts: int = 0
    """How often it came back through its own fault or with a lost worker."""
    profile: str = ""
    """The profile that made `hash`; empty until the job is done."""
    hash: str = ""
    """The stored form; empty until the job is done."""
    worker_id: str = ""
    completed_at: float | None = None
    service_seconds: float = 0.0
    """CPU time the job took inside its guest."""
    failure: str = ""
    """Why it was given up; empty unless it failed."""

    @property
    def is_final(self) -> bool:
        """True when nothing more will happen to it."""
        return self.state in FINAL_STATES


@dataclass(frozen=True, slots=True)
class Hashed:
    """What became of one input of `hash_many`."""

    index: int
    """Position of the number in the iterable, from 0."""
    job: Job
    """Final: done, failed or cancelled."""


@dataclass(frozen=True, slots=True)
class Exported:
    """One entry of the results' sequence."""

    job: Job
    """Done or failed."""
    cursor: str
    """Keep it: `results(cursor)` goes on behind this entry."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a stored hash belongs to a number."""

    matches: bool
    needs_rehash: bool
    """True when it was made with an older key, profile or cost than the dispatcher uses now."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker as the dispatcher knows it. Times are Unix seconds."""

    worker_id: str
    state: Literal["ready", "cordoned", "draining", "disconnected"]
    slots: int = 0
    busy_slots: int = 0
    leases: int = 0
    completed: int = 0
    connected_at: float | None = None
    oldest_lease_at: float | None = None
    boot_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """The dispatcher's counts."""

    accepted: int
    ready: int
    leased: int
    done: int
    failed: int
    cancelled: int
    oldest_ready_seconds: float | None
    slots: int

    @property
    def open(self) -> int:
        """Jobs that are not final."""
        return self.ready + self.leased
