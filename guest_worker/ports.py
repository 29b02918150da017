"""What the loop needs from the world. For type checking only: nothing imports this at run time."""

from collections.abc import Sequence
from typing import Protocol

from guest_worker.values import Assignment, Hello, Lease, Lost, MessageDown, MessageUp, Outcome


class Transport(Protocol):
    """One stream to the dispatcher at a time. Never blocks; wakes the loop when there is news."""

    def connect(self, hello: Hello) -> None:
        """Open a fresh stream, closing any other, and send Hello."""

    def send(self, messages: Sequence[MessageUp]) -> None:
        """Queue messages on the present stream."""

    def take(self) -> list[MessageDown | Lost]:
        """What arrived on the present stream since the last call. Lost is the last of a stream."""

    def close(self) -> None:
        """Close the stream; nothing of it arrives any more."""


class Hashing(Protocol):
    """The hashing processes."""

    def file_descriptors(self) -> list[int]:
        """Those that become readable when `collect` has something."""

    def start(self, assignments: Sequence[Assignment]) -> None:
        """Begin this work, or queue it until a process is free."""

    def cancel(self, leases: Sequence[Lease]) -> None:
        """Abandon them; no outcomes will come."""

    def collect(self) -> list[Outcome]:
        """Outcomes since the last call. Never blocks."""

    def warm(self) -> None:
        """Let the processes load what they will need."""

    def close(self) -> None:
        """End the processes."""


class Clock(Protocol):
    """Time and chance."""

    def monotonic(self) -> float:
        """Seconds that stand still while the machine is suspended."""

    def boottime(self) -> float:
        """Seconds since the kernel's start, suspended time included."""

    def fraction(self) -> float:
        """A random number from 0 to 1."""
