"""What a policy is given and what it answers. Every policy module knows this and no other one."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from scaler.pool import PoolView
from scaler.readings import Reading
from scaler.reasons import Reason

Readings = Mapping[str, Reading]


@dataclass(frozen=True, slots=True)
class PolicyMemory:
    """What a policy remembers from turn to turn. A subclass per need; lost at a restart."""


@dataclass(frozen=True, slots=True)
class Sustained(PolicyMemory):
    """A condition that has held without a break since a moment."""

    since: float


@dataclass(frozen=True, slots=True)
class Proposal:
    """What one policy wants: out to `desired` from below `low`, in to `high` from above it.

    All None: it does not know.
    """

    policy: str
    reason: Reason
    desired: int | None = None
    low: int | None = None
    high: int | None = None
    is_complete: bool = False
    """True when every reading it needs is known and fresh: it may take part in a scale-in."""
    takes_headroom: bool = False
    """True when `desired` is the load in domains, whatever runs now. Headroom on a wish that is
    relative to what runs would grow with every turn."""


@dataclass(frozen=True, slots=True)
class Headroom:
    """Domains on top of a wish: so many, or such a share of it, whichever is more."""

    domains: int = 0
    ratio: float = 0.0

    def on(self, wish: int) -> int:
        """Spare domains for a wish."""
        return max(self.domains, math.ceil(wish * self.ratio - 1e-9))


@dataclass(frozen=True, slots=True)
class PolicyContext:
    """What the policies may look at besides their readings."""

    pool: PoolView
    changed_at: float | None
    """When a domain last became ready or ceased to be; None: not since the scaler started."""
    now: float
    wall: float | None = None
    """Seconds since the Unix epoch, for policies that follow the calendar; None: not known."""
    headroom: Headroom = Headroom()
    """What is put on top of a wish that takes it, so that what runs holds it too."""


class Policy(Protocol):
    """A frozen value with everything an operator decided about one policy."""

    @property
    def name(self) -> str:
        """Tells it apart from the other policies of the pool."""
        ...

    @property
    def signals(self) -> tuple[str, ...]:
        """Names of the readings that it looks at."""
        ...

    @property
    def is_fallback(self) -> bool:
        """True when its wish counts only while another policy does not know everything."""
        ...

    def propose(
        self, readings: Readings, context: PolicyContext, memory: PolicyMemory | None
    ) -> tuple[Proposal, PolicyMemory | None]:
        """Its proposal, and what it must remember for the next turn. Pure.

        `memory` may be of another policy that had the name before a reload: check its type.
        """
        ...


def exactly(policy: str, reason: Reason, domains: int, *, is_complete: bool) -> Proposal:
    """So many domains, without tolerance."""
    return Proposal(policy, reason, domains, domains, domains, is_complete=is_complete)
