"""What the loop needs from outside, and what the gRPC adapter needs from the loop."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from dispatcher.backlog import Unfinished
from dispatcher.cordons import CordonAnswer
from dispatcher.effects import DrainOutcome, EndReason
from dispatcher.followers import Following
from dispatcher.hashing import Keyring, Verdict
from dispatcher.jobs import (
    Attempt,
    Counts,
    Era,
    Final,
    Job,
    JobKey,
    JobSpec,
    JobState,
    Lease,
    NewJob,
    Outcome,
    Payload,
)
from dispatcher.sessions import Hello, SessionKey, WorkerView


class StoreOpenError(Exception):
    """The store cannot be opened. The text names the store and the fix."""


class StoreTakenError(StoreOpenError):
    """Another dispatcher is active on the store; this one may wait for its turn."""


class StoreUnavailableError(Exception):
    """The store cannot write now; nothing of the call was kept. The text is for a person.

    A store that others reach over a network may lose the answer to a commit: then the call may turn
    out to be kept after all. Doing it again is harmless, and `on_kept` is told in any case.
    """


class StoreFullError(StoreUnavailableError):
    """The store's disk is full."""


class StoreDamagedError(StoreUnavailableError):
    """The store's file is damaged: nothing new is kept until it is restored."""


class RequestConflictError(Exception):
    """The same request id was used with another content."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A batch that is on disk. Not fresh: the request id was known and these are its jobs."""

    first: JobKey
    count: int
    is_fresh: bool

    @property
    def keys(self) -> list[JobKey]:
        """The batch's jobs, in its order."""
        return [JobKey(key) for key in range(self.first, self.first + self.count)]


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a store held when it was opened. `generation` grows with every opening and restore.

    `unfinished` is read while it is iterated, once, before anything is asked of the store.
    """

    store_id: str
    generation: int
    counts: Counts
    unfinished: Iterable[Unfinished]
    cordons: dict[str, str]
    connected: frozenset[str]
    former: tuple[Era, ...] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """One entry of the results' sequence."""

    cursor: int
    job: Job


class JobStore(Protocol):
    """Keeps jobs, results and cordons. What a call returned from is on disk."""

    def open(self) -> Recovered:
        """Opens and returns what is there; called once, before anything else."""
        ...

    async def submit(
        self,
        request_id: str,
        digests: Sequence[str],
        jobs: Sequence[NewJob],
        at: float,
        on_kept: Callable[[Accepted], None] = lambda _: None,
    ) -> Accepted:
        """Keeps a batch under consecutive keys, once per request id.

        `on_kept` is called when the batch is on disk, even if the caller is gone by then.

        Raises:
            RequestConflictError: the request id is kept with a digest that is not in `digests`.
            StoreUnavailableError: nothing was kept.

        """
        ...

    async def settle(self, finals: Sequence[Final], at: float) -> int | None:
        """Keeps final states and forgets the inputs. A job that is final already stays as it is.

        Returns the cursor of the first done or failed job; those of the others follow, in their
        order. None when some of the jobs were final already: then only the store knows.

        Raises:
            StoreUnavailableError: nothing was kept.

        """
        ...

    async def count_attempts(self, attempts: Sequence[tuple[JobKey, Attempt]]) -> None:
        """Keeps failed attempts: each one's ordinal is the job's number of them from now on.

        Raises:
            StoreUnavailableError: nothing was kept.

        """
        ...

    async def set_cordon(self, worker_id: str, reason: str | None) -> None:
        """Keeps a cordon, or forgets it (None)."""
        ...

    async def set_connected(self, worker_id: str, is_connected: bool) -> None:
        """Keeps which workers would come back after a restart."""
        ...

    async def forget_requests(self, before: float, limit: int) -> int:
        """Forgets the oldest request ids that were accepted before, at most `limit`; how many."""
        ...

    async def remove_finals(self, *, before: float | None, keep: int | None, limit: int) -> int:
        """Removes the oldest final jobs, at most `limit`, and returns how many.

        Those that became final before that time, and those beyond the newest `keep` results and the
        newest `keep` cancelled jobs; None is no limit. Counts and cursors stay as they are.

        Raises:
            StoreUnavailableError: nothing was removed.

        """
        ...

    async def check(self) -> str | None:
        """What is damaged; None when nothing is found. May take minutes, delays no other call."""
        ...

    async def jobs(self, keys: Sequence[JobKey]) -> list[Job | None]:
        """The jobs, in order; None for unknown ones. LEASED is unknown to the store."""
        ...

    async def unfinished(self, keys: Sequence[JobKey]) -> dict[JobKey, NewJob]:
        """Those of the jobs that are unfinished, as they were submitted."""
        ...

    async def page(
        self, after: JobKey, limit: int, states: frozenset[JobState] | None
    ) -> list[Job]:
        """Jobs in order of acceptance; LEASED counts as READY."""
        ...

    async def results(self, after: int, limit: int) -> list[Stored]:
        """Done and failed jobs in the order they were stored."""
        ...

    async def last_cursor(self) -> int:
        """The newest entry of the results' sequence; 0 when there is none."""
        ...

    async def close(self) -> None:
        """Writes what is queued and lets go of the files."""
        ...


class Assignment(NamedTuple):
    """A job as a worker needs it."""

    lease: Lease
    payload: Payload


class WorkerLine(Protocol):
    """The way to one worker's stream. Nothing here blocks; order is kept."""

    def welcome(self, kept: Sequence[Lease], is_cordoned: bool) -> None:
        """Opens the session."""
        ...

    def assign(self, leases: Sequence[Lease]) -> None:
        """Sends jobs; the line fetches what they need."""
        ...

    def acknowledge(self, leases: Sequence[Lease]) -> None:
        """Results may be forgotten."""
        ...

    def revoke(self, leases: Sequence[Lease]) -> None:
        """Work is to be stopped."""
        ...

    def drain(self, seconds: float) -> None:
        """The worker is to finish within that time."""
        ...

    def lift_drain(self) -> None:
        """Credit counts again."""
        ...

    def confirm_goodbye(self) -> None:
        """The worker may exit."""
        ...

    def end(self, reason: EndReason) -> None:
        """Aborts the stream."""
        ...


class WorkDesk(Protocol):
    """What a worker's stream may do."""

    def hello(
        self, hello: Hello, join_token: str, line: WorkerLine, *, is_certified: bool = False
    ) -> SessionKey | None:
        """Opens a session; None when the token is wrong.

        With `is_certified` the worker has shown its certificate and need not send a token.
        """
        ...

    def credit(self, session: SessionKey, jobs: int) -> None:
        """Room for more jobs."""
        ...

    def release(self, session: SessionKey, leases: Sequence[Lease], credit: int) -> None:
        """Jobs that were not begun go back, and credit."""
        ...

    def heartbeat(self, session: SessionKey, held: Sequence[Lease], busy_slots: int) -> None:
        """Sign of life."""
        ...

    def may_be_silent(self, worker_id: str) -> bool:
        """Whether the worker is cordoned: its guest may stand still, with its connection."""
        ...

    async def outcomes(self, session: SessionKey, outcomes: Sequence[Outcome]) -> None:
        """Results and refusals."""
        ...

    def leaving(self, session: SessionKey, reason: str) -> None:
        """No more jobs, please."""
        ...

    def goodbye(self, session: SessionKey, reason: str) -> None:
        """The worker leaves."""
        ...

    def parted(self, session: SessionKey) -> None:
        """The stream ended."""
        ...

    async def assignments(self, session: SessionKey, leases: Sequence[Lease]) -> list[Assignment]:
        """What those leases need; without those that no longer hold."""
        ...


class OverloadedError(Exception):
    """Too many unfinished jobs."""

    def __init__(self, unfinished: int, limit: int, retry_seconds: float) -> None:
        self.retry_seconds = retry_seconds
        super().__init__(f"{unfinished} unfinished jobs of at most {limit}; submit again later")


class VerificationsOverloadedError(OverloadedError):
    """Too many verifications wait for their turn."""

    def __init__(self, waiting: int, retry_seconds: float) -> None:
        Exception.__init__(self, f"{waiting} verifications wait already; verify again later")
        self.retry_seconds = retry_seconds


class BusyError(Exception):
    """Too many submissions wait for the disk."""

    def __init__(self, retry_seconds: float) -> None:
        self.retry_seconds = retry_seconds
        super().__init__("too many submissions wait to be stored; send this one again later")


class KeySource(Protocol):
    """Where the pepper's keys come from; they may change at any time."""

    @property
    def keyring(self) -> Keyring:
        """The keys as they are now."""


class ClientDesk(Protocol):
    """What clients may do."""

    def admit(self) -> Callable[[bool], None]:
        """Takes a call with a batch in, unread.

        Returns what to call when the call is over, with whether the batch was accepted.

        Raises:
            OverloadedError, BusyError: it would not be accepted, or not be answered soon.

        """
        ...

    async def submit(self, request_id: str, specs: Sequence[JobSpec]) -> list[JobKey]:
        """Accepts a batch; on disk when it returns.

        Raises:
            InvalidRequestError, OverloadedError, RequestConflictError, StoreUnavailableError.

        """
        ...

    async def room(self, jobs: int) -> None:
        """Returns when so many more jobs, a batch at most, could be accepted."""
        ...

    def job_key(self, name: str) -> JobKey | None:
        """The job of that name, if it can be one of this store."""
        ...

    def job_name(self, key: JobKey) -> str:
        """The job's name."""
        ...

    def was_accepted(self, key: JobKey) -> bool:
        """Whether there was such a job: if it is unknown now, retention has removed it."""
        ...

    async def jobs(self, keys: Sequence[JobKey]) -> list[Job | None]:
        """The jobs as they are now; None for unknown ones."""
        ...

    async def wait(self, keys: Sequence[JobKey], timeout: float) -> None:
        """Returns when all are final, or after the timeout."""
        ...

    def follow(self, on_final: Callable[[Sequence[Job]], None]) -> Following:
        """Calls back once for each job that is added to the answer, when it becomes final."""
        ...

    def is_unfinished(self, key: JobKey) -> bool:
        """Whether the job has no final state on disk yet."""
        ...

    async def cancel(self, keys: Sequence[JobKey]) -> None:
        """Withdraws what is unfinished; on disk when it returns."""
        ...

    async def page(
        self, after: JobKey, limit: int, states: frozenset[JobState]
    ) -> tuple[list[Job], JobKey | None]:
        """A page and where the next one starts."""
        ...

    async def newest(self) -> int:
        """The cursor behind the newest result."""
        ...

    def results(self, after: int, *, is_endless: bool) -> AsyncIterator[Sequence[Stored]]:
        """Results from a cursor on, to the newest or without end; those that are there at once."""
        ...

    async def verify(self, number: str, stored: str) -> Verdict:
        """Whether a stored form belongs to a number.

        Raises:
            InvalidRequestError: a field is malformed.
            UnknownKeyError: made with a key that is not live.

        """
        ...


@dataclass(frozen=True, slots=True)
class Backlog:
    """The counts at one instant."""

    counts: Counts
    oldest_ready_age: float | None
    slots: int


class FleetDesk(Protocol):
    """What the scaler and operators may do."""

    def workers(self) -> list[WorkerView]:
        """All workers."""
        ...

    def wall(self) -> float:
        """Wall time, to turn ages into times."""
        ...

    async def cordon(self, worker_id: str, reason: str, max_leases: int | None) -> CordonAnswer:
        """Stops new leases."""
        ...

    async def drain(self, worker_id: str, reason: str, seconds: float) -> tuple[DrainOutcome, int]:
        """Returns how the drain ended and how many leases were taken back."""
        ...

    async def uncordon(self, worker_id: str) -> bool:
        """Lifts a cordon; whether there was one."""
        ...

    def backlog(self) -> Backlog:
        """The counts."""
        ...
