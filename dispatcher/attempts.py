"""What is held against a job: how often it came back through a fault, and how sure that is. Pure.

A lost worker takes all its jobs with it, and only one of them killed it, if any did. So an attempt
is *certain* when nothing else can be at fault, and *doubtful* otherwise. A job with doubtful
attempts is leased alone before it can be given up: then the guilty one is found, and the others
are cleared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dispatcher.effects import RequeueReason
from dispatcher.jobs import AttemptCause, JobKey
from dispatcher.sessions import HeldLease, Session

MAX_DOUBTS = 2
"""With so many doubtful attempts a job is leased alone from then on."""

_CAUSES: Mapping[RequeueReason, AttemptCause] = {
    RequeueReason.WORKER_LOST: AttemptCause.WORKER_LOST,
    RequeueReason.LEASE_EXPIRED: AttemptCause.LEASE_EXPIRED,
    RequeueReason.WORKER_REFUSED: AttemptCause.WORKER_REFUSED,
    RequeueReason.WRONG_RESULT: AttemptCause.WRONG_RESULT,
}


@dataclass(frozen=True, slots=True)
class Blame:
    """Which of the jobs that go back are suspects, why, and whether there is no other."""

    cause: AttemptCause
    suspects: frozenset[JobKey]
    is_certain: bool


def blame(session: Session, leases: Sequence[HeldLease], reason: RequeueReason) -> Blame | None:
    """Judges leases that go back; None when nobody is to blame.

    A worker starts its jobs in the order of their grants, so of a lost worker at most the first
    `slots` unsettled ones had been started. Its last heartbeat's busy slots say no more: it is
    older than the loss. With a single unsettled lease the case is clear.
    """
    cause = _CAUSES.get(reason)
    if cause is None:
        return None
    is_certain = True
    if cause is AttemptCause.WORKER_LOST:
        is_certain = session.working == 1
        leases = leases[: session.hello.slots]
    return Blame(cause, frozenset(held.lease.key for held in leases), is_certain)


@dataclass(slots=True)
class _Record:
    """One job's attempts, and how many of them are doubtful."""

    attempts: int = 0
    doubts: int = 0


class Attempts:
    """The records of the unfinished jobs that have any."""

    def __init__(self) -> None:
        self._records: dict[JobKey, _Record] = {}

    def __len__(self) -> int:
        return len(self._records)

    def restore(self, key: JobKey, attempts: int) -> None:
        """Takes over what the store kept; all of it counts as doubtful."""
        self._records[key] = _Record(attempts, attempts)

    def count(self, key: JobKey, *, is_certain: bool) -> int:
        """Counts one more; returns how many there have been.

        A job is given up after a certain attempt only: a doubtful one may be another job's fault.
        """
        record = self._records.setdefault(key, _Record())
        record.attempts += 1
        record.doubts += not is_certain
        return record.attempts

    def of(self, key: JobKey) -> int:
        """How many attempts of an unfinished job were counted."""
        record = self._records.get(key)
        return 0 if record is None else record.attempts

    def needs_isolation(self, key: JobKey, max_attempts: int) -> bool:
        """Whether the job's next attempt must be a clear one."""
        record = self._records.get(key)
        if record is None or record.doubts == 0:
            return False
        return record.doubts >= MAX_DOUBTS or record.attempts + 1 >= max_attempts

    def forget(self, key: JobKey) -> None:
        """The job is final."""
        self._records.pop(key, None)
