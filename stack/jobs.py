"""What the stack submits and what comes back: plain values, no wire format."""

from dataclasses import dataclass
from typing import Literal

from stack.calibration import NO_LOAD, JobLoad

Profile = Literal["legacy-sha256", "hmac-sha256", "argon2id"]
PROFILES: tuple[Profile, ...] = ("legacy-sha256", "hmac-sha256", "argon2id")

State = Literal["ready", "leased", "done", "failed", "cancelled"]
FINAL_STATES: frozenset[State] = frozenset({"done", "failed", "cancelled"})

MAX_BATCH = 1_000
MAX_NUMBER_LENGTH = 64


@dataclass(frozen=True)
class JobSpec:
    """A job to submit."""

    number: str
    profile: Profile = "hmac-sha256"
    load: JobLoad = NO_LOAD
    reference: str = ""

    def __repr__(self) -> str:
        """Without the number: values end up in logs and tracebacks."""
        return f"JobSpec(reference={self.reference!r}, profile={self.profile!r})"


@dataclass(frozen=True)
class AttemptView:
    """One failed attempt at a job. `at` is Unix seconds; certain: no other job can be at fault."""

    ordinal: int
    cause: str
    worker_id: str
    at: float
    certain: bool
    message: str


@dataclass(frozen=True)
class JobView:
    """A job as the dispatcher knows it. Times are Unix seconds."""

    job_id: str
    state: State
    reference: str
    accepted_at: float
    attempts: int
    profile: str
    hash: str
    worker_id: str
    completed_at: float | None
    service_seconds: float
    failure: str
    failure_reason: str = ""
    attempt_history: tuple[AttemptView, ...] = ()

    @property
    def is_final(self) -> bool:
        """True when nothing more will happen to it."""
        return self.state in FINAL_STATES


@dataclass(frozen=True)
class WorkerView:
    """A worker as the dispatcher knows it. Times are Unix seconds."""

    worker_id: str
    state: Literal["ready", "cordoned", "draining", "disconnected"]
    slots: int
    busy_slots: int
    leases: int
    completed: int
    connected_at: float | None
    oldest_lease_at: float | None
    boot_seconds: float | None


@dataclass(frozen=True)
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


class DispatcherError(Exception):
    """A call failed. The text is for a person; `code` is the gRPC code's name."""

    def __init__(self, code: str, message: str, *, retry_seconds: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_seconds = retry_seconds

    @property
    def is_retryable(self) -> bool:
        """True when the same call with the same request_id may succeed later."""
        return self.code in {
            "UNAVAILABLE",
            "CANCELLED",
            "RESOURCE_EXHAUSTED",
            "DEADLINE_EXCEEDED",
            "ABORTED",
        }
