"""What the ledger asks the loop to do. Pure values; the loop applies them in order."""

from dataclasses import dataclass
from enum import StrEnum

from dispatcher.jobs import AttemptCause, Final, JobKey, Lease
from dispatcher.sessions import SessionKey


class DrainOutcome(StrEnum):
    """How a drain ended."""

    DRAINED = "drained"
    DEADLINE = "deadline"
    CANCELLED = "cancelled"
    LOST = "lost"


class EndReason(StrEnum):
    """Why the dispatcher ends a session."""

    FENCED = "a newer session of this worker has begun"
    STALLED = "no sign of life within the lease time"


class RequeueReason(StrEnum):
    """Why a lease's job goes back. One value for log and metric."""

    WORKER_LOST = "worker_lost"
    LEASE_EXPIRED = "lease_expired"
    WORKER_REFUSED = "worker_refused"
    WRONG_RESULT = "wrong_result"
    FENCED = "fenced"
    WORKER_LEFT = "worker_left"
    DRAIN_DEADLINE = "drain_deadline"
    NOT_RECEIVED = "not_received"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Welcome:
    """Answer a Hello."""

    session: SessionKey
    kept: tuple[Lease, ...]
    is_cordoned: bool


@dataclass(frozen=True, slots=True)
class Grant:
    """Send these jobs.

    `first_accepted` says of those that never were leased before when they were accepted: a time and
    how many, for each acceptance.
    """

    session: SessionKey
    leases: tuple[Lease, ...]
    first_accepted: tuple[tuple[float, int], ...]


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Tell the worker that it may forget these results."""

    session: SessionKey
    leases: tuple[Lease, ...]


@dataclass(frozen=True, slots=True)
class Revoke:
    """Tell the worker to stop working on these."""

    session: SessionKey
    leases: tuple[Lease, ...]


@dataclass(frozen=True, slots=True)
class AskDrain:
    """Tell the worker to finish what it holds; `deadline` is monotonic."""

    session: SessionKey
    deadline: float


@dataclass(frozen=True, slots=True)
class LiftDrain:
    """Tell the worker that credit counts again."""

    session: SessionKey


@dataclass(frozen=True, slots=True)
class ConfirmGoodbye:
    """Tell the worker that it may exit."""

    session: SessionKey


@dataclass(frozen=True, slots=True)
class EndSession:
    """Abort the stream."""

    session: SessionKey
    reason: EndReason


@dataclass(frozen=True, slots=True)
class Settle:
    """Store final states; `settled` must follow when they are on disk."""

    finals: tuple[Final, ...]


@dataclass(frozen=True, slots=True)
class CountAttempt:
    """Store a failed attempt. `attempts` is how many there have been, this one included."""

    key: JobKey
    attempts: int
    cause: AttemptCause
    worker_id: str
    is_certain: bool = True
    message: str = ""


@dataclass(frozen=True, slots=True)
class Requeued:
    """Jobs became ready again."""

    worker_id: str
    keys: tuple[JobKey, ...]
    reason: RequeueReason


@dataclass(frozen=True, slots=True)
class DrainEnded:
    """Answer whoever waits for the drain."""

    worker_id: str
    outcome: DrainOutcome
    taken_back: int


@dataclass(frozen=True, slots=True)
class SessionClosed:
    """The session is over: its rows leave the metrics."""

    session: SessionKey
    worker_id: str


Effect = (
    Welcome
    | Grant
    | Acknowledge
    | Revoke
    | AskDrain
    | LiftDrain
    | ConfirmGoodbye
    | EndSession
    | Settle
    | CountAttempt
    | Requeued
    | DrainEnded
    | SessionClosed
)
