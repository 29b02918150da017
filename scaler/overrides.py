"""Overrides: a person's orders that win over policies, until they are lifted or expire. Pure.

Contradictions have one answer each: of several holds the newest counts, of several floors the
highest, of several ceilings the lowest; a ceiling wins over a floor and over a hold, a blocked
direction over all of them, and the configured `max` over everything.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from scaler.reasons import Reason
from scaler.stabilization import Limits, Stabilised, Step


class OverrideKind(StrEnum):
    """What an override orders."""

    PAUSE = "pause"
    """No action at all."""
    HOLD = "hold"
    """Just so many domains, whatever the policies wish."""
    FLOOR = "floor"
    CEILING = "ceiling"
    BLOCK_OUT = "block_out"
    """Nothing is scaled out."""
    BLOCK_IN = "block_in"
    """Nothing is scaled in."""
    DRY_RUN = "dry_run"
    """Decide and record, but do nothing."""
    DRAIN = "drain"
    """One domain is drained, shut down and kept off: maintenance."""


COUNTED = frozenset({OverrideKind.HOLD, OverrideKind.FLOOR, OverrideKind.CEILING})
"""Kinds that say how many domains."""

MAX_OVERRIDES = 100
"""More at a time are refused: nobody could keep them apart."""


class TooManyError(Exception):
    """There are as many overrides as can be kept. The text is for a person."""


@dataclass(frozen=True, slots=True)
class Override:
    """One order. Times are seconds since the Unix epoch; `expires_at` None: until it is lifted."""

    id: str
    kind: OverrideKind
    author: str
    reason: str
    created_at: float
    expires_at: float | None = None
    domains: int | None = None
    """HOLD, FLOOR, CEILING: how many."""
    domain: str = ""
    """DRAIN: which."""

    def is_expired(self, wall: float) -> bool:
        """True from the expiry on."""
        return self.expires_at is not None and wall >= self.expires_at


@dataclass(frozen=True, slots=True)
class Hold:
    """An operator's order to take no action."""

    author: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Orders:
    """What all overrides together mean, but for the pause, which is a `Hold`."""

    held_at: int | None = None
    floor: int | None = None
    ceiling: int | None = None
    blocks_out: bool = False
    blocks_in: bool = False
    is_dry_run: bool = False
    drained: frozenset[str] = frozenset()
    kinds: frozenset[OverrideKind] = frozenset()
    """Kinds of which there is an override, also of the pause."""


NO_ORDERS = Orders()


def in_force(overrides: Iterable[Override], wall: float) -> tuple[Override, ...]:
    """Those that have not expired at `wall`, oldest first."""
    return tuple(
        sorted(
            (one for one in overrides if not one.is_expired(wall)),
            key=lambda one: (one.created_at, one.id),
        )
    )


def orders(overrides: Iterable[Override]) -> Orders:
    """What these overrides, all of them in force, add up to."""
    found = in_force(overrides, float("-inf"))
    counts: dict[OverrideKind, list[int]] = {kind: [] for kind in COUNTED}
    for one in found:
        if one.domains is not None and one.kind in COUNTED:
            counts[one.kind].append(one.domains)
    kinds = frozenset(one.kind for one in found)
    holds = counts[OverrideKind.HOLD]
    return Orders(
        held_at=holds[-1] if holds else None,
        floor=max(counts[OverrideKind.FLOOR], default=None),
        ceiling=min(counts[OverrideKind.CEILING], default=None),
        blocks_out=OverrideKind.BLOCK_OUT in kinds,
        blocks_in=OverrideKind.BLOCK_IN in kinds,
        is_dry_run=OverrideKind.DRY_RUN in kinds,
        drained=frozenset(one.domain for one in found if one.kind is OverrideKind.DRAIN),
        kinds=kinds,
    )


def pause(overrides: Iterable[Override]) -> Hold | None:
    """The newest pause among overrides in force; None when there is none."""
    pauses = [one for one in in_force(overrides, float("-inf")) if one.kind is OverrideKind.PAUSE]
    return Hold(pauses[-1].author, pauses[-1].reason) if pauses else None


def apply(stabilised: Stabilised, given: Orders, current: int, limits: Limits) -> Stabilised:
    """The desired capacity under these orders, each change with its step.

    In this order, so that the later wins: hold, floor, ceiling, blocked directions, `max`.
    """
    desired = stabilised.desired
    steps: list[Step] = []

    def change(after: int, reason: Reason) -> None:
        nonlocal desired
        if after != desired:
            steps.append(Step(reason, desired, after))
            desired = after

    if given.held_at is not None:
        change(given.held_at, Reason.OVERRIDE_HOLD)
    if given.floor is not None:
        change(max(desired, given.floor), Reason.OVERRIDE_FLOOR)
    if given.ceiling is not None:
        change(min(desired, given.ceiling), Reason.OVERRIDE_CEILING)
    if given.blocks_in:
        change(max(desired, current), Reason.OVERRIDE_BLOCKS_IN)
    if given.blocks_out:
        change(min(desired, current), Reason.OVERRIDE_BLOCKS_OUT)
    change(min(desired, limits.max), Reason.MAX)
    if not steps:
        return stabilised
    return replace(stabilised, desired=desired, steps=(*stabilised.steps, *steps))


def contradictions(overrides: Iterable[Override], limits: Limits) -> list[str]:
    """What of these overrides has no effect because something else wins, for a person."""
    given = orders(overrides)
    told = []
    if None not in (given.floor, given.ceiling) and (given.floor or 0) > (given.ceiling or 0):
        told.append(f"floor {given.floor} is above ceiling {given.ceiling}: the ceiling wins")
    if given.held_at is not None and given.ceiling is not None and given.held_at > given.ceiling:
        told.append(f"hold {given.held_at} is above ceiling {given.ceiling}: the ceiling wins")
    if given.held_at is not None and given.floor is not None and given.held_at < given.floor:
        told.append(f"hold {given.held_at} is below floor {given.floor}: the floor wins")
    told += [
        f"{name} {value} is above the configured max = {limits.max}: max wins"
        for name, value in (("hold", given.held_at), ("floor", given.floor))
        if value is not None and value > limits.max
    ]
    if given.ceiling is not None and given.ceiling < limits.min:
        told.append(
            f"ceiling {given.ceiling} is below the configured min = {limits.min}: the ceiling wins"
        )
    if OverrideKind.PAUSE in given.kinds and len(given.kinds) > 1:
        told.append("scaling is paused: nothing else is carried out until that is lifted")
    return told


def to_record(override: Override) -> dict[str, Any]:
    """The override as plain data, for the file and the API; what it does not have is left out."""
    record: dict[str, Any] = {
        "id": override.id,
        "kind": override.kind.value,
        "author": override.author,
        "reason": override.reason,
        "created_at": override.created_at,
    }
    if override.expires_at is not None:
        record["expires_at"] = override.expires_at
    if override.domains is not None:
        record["domains"] = override.domains
    if override.domain:
        record["domain"] = override.domain
    return record


def from_record(record: Mapping[str, Any]) -> Override:
    """The override that `to_record` has written.

    Raises:
        ValueError: it is not of that form.

    """
    try:
        kind = OverrideKind(record["kind"])
        expires_at, domains = record.get("expires_at"), record.get("domains")
        override = Override(
            id=str(record["id"]),
            kind=kind,
            author=str(record["author"]),
            reason=str(record["reason"]),
            created_at=float(record["created_at"]),
            expires_at=None if expires_at is None else float(expires_at),
            domains=None if domains is None else int(domains),
            domain=str(record.get("domain", "")),
        )
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"not an override: {error!r}") from None
    if (kind in COUNTED) != (override.domains is not None):
        raise ValueError(f"{kind.value}: number of domains missing or too much")
    if (kind is OverrideKind.DRAIN) != bool(override.domain):
        raise ValueError(f"{kind.value}: domain missing or too much")
    return override
