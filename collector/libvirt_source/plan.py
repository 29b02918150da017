"""Whom to ask for what, over how many connections, given what is known. Pure.

libvirt answers one bulk query domain after domain, and most of a domain's time goes into waiting
for its QEMU. So the domains are dealt out over several connections. A domain that is known to hang
is in no share: the question would wait for it, and with it the whole share.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

MOST_SHARES = 8
"""As many connections were still measured to gain something, on two cores (ADR 0033)."""
MOST_STUCK = 4
"""Each stuck question holds one of the daemon's twenty workers. With so many nobody is asked."""
WORTH_A_SHARE = 4
"""So many active domains are worth a connection of their own."""


@dataclass(frozen=True, slots=True)
class Present:
    """A domain as the survey saw it."""

    uuid: str
    is_active: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """The calls of one reading."""

    shares: tuple[tuple[str, ...], ...]
    """UUIDs of the domains of one bulk query each."""
    taken: tuple[str, ...]
    """UUIDs of hung domains: whoever holds them lets NOWAIT answer at once, with what it has."""
    unasked: tuple[str, ...]
    """UUIDs of domains that nobody can be asked for now, because every connection is stuck."""


def plan(
    present: Sequence[Present],
    hung: Collection[str],
    *,
    idle: int,
    stuck: int = 0,
    most_shares: int = MOST_SHARES,
) -> Plan:
    """Deals the domains out; `idle` connections can take a call now, `stuck` wait for an answer."""
    taken = tuple(one.uuid for one in present if one.uuid in hung)
    active = [one.uuid for one in present if one.is_active and one.uuid not in hung]
    inactive = [one.uuid for one in present if not one.is_active and one.uuid not in hung]
    most = min(most_shares, idle, MOST_STUCK - stuck if stuck else most_shares)
    if most < 1:
        return Plan((), (), (*active, *inactive, *taken))
    count = max(1, min(most, len(active) // WORTH_A_SHARE))
    dealt = ((*active[number::count], *inactive[number::count]) for number in range(count))
    return Plan(tuple(share for share in dealt if share), taken, ())
