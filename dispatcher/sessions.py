"""Workers' sessions and what they hold. Pure; times are monotonic seconds."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

from dispatcher.jobs import JobKey, Lease, Profile
from dispatcher.ready import Facts

SessionKey = NewType("SessionKey", int)
"""One stream of one worker; never used twice in a process."""


class WorkerState(StrEnum):
    """What a worker is doing."""

    READY = "ready"
    CORDONED = "cordoned"
    DRAINING = "draining"
    DISCONNECTED = "disconnected"


@dataclass(frozen=True, slots=True)
class Hello:
    """Who a worker says it is; its token is checked before."""

    worker_id: str
    instance_id: str
    slots: int
    profiles: frozenset[Profile]
    held: tuple[Lease, ...] = ()
    generation: str = ""
    software_version: str = ""
    boot_seconds: float | None = None


@dataclass(slots=True)
class HeldLease:
    """A lease as the ledger holds it."""

    lease: Lease
    facts: Facts
    granted_at: float
    expires_at: float
    session: "Session"
    is_settling: bool = False
    """True while its result is on its way to the disk: it can neither expire nor go back."""


@dataclass(slots=True)
class Session:
    """One worker's stream. It outlives the stream by the reconnect grace (`parted_at`)."""

    key: SessionKey
    hello: Hello
    connected_at: float
    heard_at: float
    credit: int = 0
    """Negative when jobs were on their way while the worker took their credit back."""
    busy_slots: int = 0
    completed: int = 0
    is_leaving: bool = False
    parted_at: float | None = None
    alone: JobKey | None = None
    """The suspect that it works on; no other job comes beside it."""
    settling: int = 0
    leases: dict[JobKey, HeldLease] = field(default_factory=dict)

    @property
    def worker_id(self) -> str:
        """Name of the worker."""
        return self.hello.worker_id

    @property
    def working(self) -> int:
        """Leases whose result has not arrived."""
        return len(self.leases) - self.settling

    @property
    def free_slots(self) -> int:
        """Slots without a lease; negative when more was granted ahead than fits."""
        return self.hello.slots - self.working

    @property
    def is_connected(self) -> bool:
        """False between the stream's end and the worker's return or loss."""
        return self.parted_at is None


@dataclass(slots=True)
class Cordon:
    """A worker that takes no new jobs. A drain is a cordon with a deadline."""

    reason: str
    drain_deadline: float | None = None
    taken_back: int = 0

    @property
    def is_draining(self) -> bool:
        """True from the drain's begin to its end."""
        return self.drain_deadline is not None


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A worker as others see it. Ages are in seconds; None when not connected."""

    worker_id: str
    state: WorkerState
    slots: int = 0
    busy_slots: int = 0
    leases: int = 0
    completed: int = 0
    instance_id: str = ""
    generation: str = ""
    boot_seconds: float | None = None
    connected_age: float | None = None
    heartbeat_age: float | None = None
    oldest_lease_age: float | None = None
    takes_jobs: bool = False
    working: int = 0


def view(worker_id: str, session: Session | None, cordon: Cordon | None, now: float) -> WorkerView:
    """What to show of a worker that is connected, cordoned, or both."""
    if session is None:
        return WorkerView(worker_id, WorkerState.DISCONNECTED)
    if cordon is not None and not cordon.is_draining and not session.is_leaving:
        state = WorkerState.CORDONED
    elif cordon is not None or session.is_leaving:
        state = WorkerState.DRAINING
    else:
        state = WorkerState.READY
    oldest = min((held.granted_at for held in session.leases.values()), default=None)
    return WorkerView(
        worker_id=worker_id,
        state=state,
        slots=session.hello.slots,
        busy_slots=session.busy_slots,
        leases=len(session.leases),
        completed=session.completed,
        instance_id=session.hello.instance_id,
        generation=session.hello.generation,
        boot_seconds=session.hello.boot_seconds,
        connected_age=now - session.connected_at,
        heartbeat_age=now - session.heard_at,
        oldest_lease_age=None if oldest is None else now - oldest,
        takes_jobs=state is WorkerState.READY and session.is_connected,
        working=session.working,
    )
