"""What the loop needs from the world. Times here are seconds since the Unix epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from scaler.alerts import Base, Sight
from scaler.decision import Hold
from scaler.host_room import HostRoom
from scaler.lessons import Lessons
from scaler.overrides import Override
from scaler.pool import DomainRecord, Operation, WorkerRecord
from scaler.readings import Reading
from scaler.turns import Turn


@dataclass(frozen=True, slots=True)
class SignalQuery:
    """A signal and how to ask for it."""

    signal: str
    query: str
    """An expression with one series as its answer."""
    freshness: str | None = None
    """An expression for the time of the newest sample behind it; None: the answer's own."""
    every_seconds: float = 0.0
    """How often to ask at most; 0: at every turn. For what is costly and changes slowly."""
    is_share: bool = False
    """The value is a share of what there is, so that one far above 1 is in another unit."""


class MetricsSource(Protocol):
    """Answers queries. Never raises: not to know is a reading."""

    async def read(self, queries: Sequence[SignalQuery]) -> dict[str, Reading]:
        """One reading per signal."""
        ...


class ErrorKind(StrEnum):
    """What to make of a hypervisor's error."""

    RETRYABLE = "retryable"
    """Trying again may help; says nothing about the domain."""
    GONE = "gone"
    """There is no such domain."""
    CONFIG = "config"
    """The domain cannot work as it is defined."""
    CAPACITY = "capacity"
    """The host has no room for it."""
    FATAL = "fatal"
    """Anything else."""


class HypervisorError(Exception):
    """A call failed. The text is for a person."""

    def __init__(self, kind: ErrorKind, text: str) -> None:
        self.kind = kind
        super().__init__(text)


class Hypervisor(Protocol):
    """Domains of one pool. Every call ends within its deadline and raises `HypervisorError`."""

    async def list(self) -> tuple[DomainRecord, ...]:
        """The pool's domains, in any order. Domains without our metadata are not among them.

        Those of another scaler are, and no other call touches them: it raises GONE.
        """
        ...

    async def start(self, name: str) -> None:
        """Boots, whatever saved image there is; nothing to do when it runs."""
        ...

    async def shutdown(self, name: str) -> None:
        """Asks the guest to power off; nothing to do when it is off. The guest may ignore it."""
        ...

    async def destroy(self, name: str) -> None:
        """Cuts the power; nothing to do when it is off."""
        ...

    async def keep_definition(self, name: str) -> None:
        """Keeps a copy of the definition: it has proved to work. It replaces an older copy."""
        ...

    async def roll_back(self, name: str) -> None:
        """Puts the definition back to the copy that is kept; what runs goes on as it is."""
        ...

    async def suspend(self, name: str) -> None:
        """Freezes the guest in memory; nothing to do when it is."""
        ...

    async def resume(self, name: str) -> None:
        """Lets a frozen guest go on; nothing to do when it runs."""
        ...

    async def save(self, name: str) -> None:
        """Writes the guest's memory to its saved image and takes its power; nothing when off."""
        ...

    async def restore(self, name: str) -> None:
        """Goes on from the saved image, once. Fails when there is none: it never boots instead."""
        ...

    async def discard(self, name: str) -> None:
        """Removes the saved image; nothing to do when there is none."""
        ...

    async def claim(self, name: str) -> None:
        """Makes a domain of the pool ours that no scaler has claimed; nothing to do when it is."""
        ...

    async def room(self) -> HostRoom:
        """What the host has left. What cannot be told is None."""
        ...

    async def set_operation(self, name: str, operation: Operation | None) -> None:
        """Records the operation in flight where it survives a restart; None: nothing is."""
        ...


class FleetError(Exception):
    """The dispatcher did not do it. The text is for a person."""


class DrainEnd(StrEnum):
    """How a drain ended."""

    DRAINED = "drained"
    DEADLINE = "deadline"
    CANCELLED = "cancelled"
    LOST = "lost"


class FleetControl(Protocol):
    """Workers of all domains. Every call ends within its deadline and raises `FleetError`."""

    async def workers(self) -> tuple[WorkerRecord, ...]:
        """Connected workers, and cordoned ones that are not connected."""
        ...

    async def cordon(self, worker_id: str, *, reason: str, max_leases: int | None) -> bool:
        """From the answer on the worker gets no job. False: it holds more leases, nothing done."""
        ...

    async def drain(self, worker_id: str, *, reason: str, deadline_seconds: float) -> DrainEnd:
        """Returns when the worker holds nothing, or is given up."""
        ...

    async def uncordon(self, worker_id: str) -> None:
        """Lifts a cordon and cancels a drain; nothing to do when there is none."""
        ...


class DecisionLog(Protocol):
    """Where decisions are kept for `explain`. One that cannot be written must stop nothing."""

    def turned(self, turn: Turn) -> None:
        """Keeps a turn; each is handed over, also when it says the same as the one before."""
        ...

    def append(self, record: Mapping[str, Any]) -> None:
        """Keeps anything else: the result of an action, a new configuration."""
        ...


class OverrideStore(Protocol):
    """A person's orders; they survive a restart."""

    def active(self) -> tuple[Override, ...]:
        """Those in force, oldest first."""
        ...


class AlertBoard(Protocol):
    """The alerts that fire, and the bases of the rules, which survive a restart."""

    def sight(self, now: float) -> Sight:
        """What is known at `now`, on the clock of the core."""
        ...

    def remember(self, bases: Mapping[str, Base]) -> None:
        """Keeps the bases. A file that cannot be written must not stop the scaler."""
        ...


class LessonStore(Protocol):
    """What boots and wakes have taught; it survives a restart.

    `offset` added to a wall time gives a time on the clock of `now`.
    """

    def recall(self, offset: float, now: float, max_backoff_seconds: float) -> Lessons:
        """What was remembered last. Never raises: not to know is to have learned nothing."""
        ...

    def remember(self, learned: Lessons, offset: float) -> None:
        """Keeps it. A file that cannot be written must not stop the scaler."""
        ...


class HoldStore(Protocol):
    """The operator's order to take no action; survives a restart."""

    def get(self) -> Hold | None:
        """The order, if there is one."""
        ...

    def set(self, hold: Hold | None) -> None:
        """Gives or lifts the order."""
        ...
