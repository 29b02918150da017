"""Standby domains: which one wakes, where a spare one goes, when one is made anew. Pure.

Two tiers beside cold: paused (in memory, wakes in milliseconds, counts for the ceiling) and saved
(on disk, wakes in about a second, holds no memory and does not count). A domain enters a tier only
after its worker was cordoned with empty hands, so that what is frozen never holds a lease.
"""

from dataclasses import dataclass
from typing import NamedTuple

from scaler.host_room import Budget
from scaler.pool import QUARANTINE, ActionKind, DomainState, DomainView, PoolView, WorkerState
from scaler.reasons import Reason

_STANDBY = (DomainState.STANDBY_PAUSED, DomainState.STANDBY_SAVED)
_UNSETTLED = (
    DomainState.STARTING,
    DomainState.BOOTING,
    DomainState.WAKING,
    DomainState.SILENT,
    DomainState.DRAINING,
    DomainState.SHUTTING_DOWN,
    DomainState.FAILED,
    DomainState.PREPARING,
    DomainState.SUSPENDING,
    DomainState.SAVING,
)


@dataclass(frozen=True, slots=True)
class StandbyPolicy:
    """How many domains wait in each tier."""

    paused: int = 0
    saved: int = 0
    refill_seconds: float = 30.0
    """From the start of one refill to the next, at least."""
    max_age_seconds: float = 43_200.0
    """A standby domain older than this is made anew."""
    generation: str | None = None
    """The image generation that a standby domain must have; None: any."""
    avoided: frozenset[str] = frozenset()
    """Generations that do not boot: none is prepared, and no standby domain gives way to them."""


class Choice(NamedTuple):
    """An action, chosen."""

    kind: ActionKind
    domain: DomainView
    reason: Reason


def waiting(pool: PoolView) -> int:
    """Domains in standby."""
    return pool.count(*_STANDBY)


class Wakes(NamedTuple):
    """What to wake, what memory is left for starts, and what stood in the way."""

    choices: tuple[Choice, ...] = ()
    budget: Budget = Budget()
    reasons: tuple[Reason, ...] = ()


def wakes(pool: PoolView, missing: int, room: int, policy: StandbyPolicy, budget: Budget) -> Wakes:
    """Up to `missing` wakes, the fastest tier first and in it the oldest, which is renewed so.

    A paused domain already counts for the ceiling and holds its memory; a saved one needs both.
    """
    usable = [domain for domain in pool.irregular if _can_wake(domain, policy)]
    usable.sort(key=lambda domain: (_since(domain), domain.name))
    choices = [
        Choice(ActionKind.RESUME, domain, Reason.SCALE_OUT)
        for domain in usable
        if domain.state is DomainState.STANDBY_PAUSED
    ][: max(0, missing)]
    reasons: list[Reason] = []
    for domain in usable:
        if len(choices) >= missing or room <= 0:
            break
        if domain.state is not DomainState.STANDBY_SAVED:
            continue
        if not budget.holds(domain, if_unknown=True):
            reasons = [Reason.HOST_MEMORY]
            continue
        choices.append(Choice(ActionKind.RESTORE, domain, Reason.SCALE_OUT))
        budget = budget.without(domain)
        room -= 1
    return Wakes(tuple(choices), budget, tuple(reasons))


class Places:
    """Places in the tiers that nobody takes or is on the way to."""

    def __init__(
        self, pool: PoolView, desired: int, ceiling: int, policy: StandbyPolicy, budget: Budget
    ) -> None:
        """What serves needs its places first, below the ceiling and among the domains defined."""
        serving = max(desired, pool.current)
        wanted = min(policy.paused, max(0, ceiling - serving))
        self.paused = wanted - pool.count(DomainState.STANDBY_PAUSED, DomainState.SUSPENDING)
        spare = max(0, len(pool.domains) - pool.count(*QUARANTINE) - serving - wanted)
        on_disk = pool.count(DomainState.STANDBY_SAVED, DomainState.SAVING)
        self.saved = min(policy.saved, spare) - on_disk
        self._policy = policy
        self._budget = budget

    def take(self, domain: DomainView) -> ActionKind | None:
        """How the domain takes the fastest free place; None: there is none for it."""
        if _is_outdated(domain, self._policy):
            return None
        if self.paused > 0:
            self.paused -= 1
            return ActionKind.SUSPEND
        if self.saved > 0 and self._budget.holds_image(domain):
            self.saved -= 1
            self._budget = self._budget.without_image(domain)
            return ActionKind.SAVE
        return None


class Refill(NamedTuple):
    """A refill, or what it waits for."""

    choice: Choice | None = None
    reason: Reason | None = None


def refill(
    pool: PoolView,
    desired: int,
    ceiling: int,
    places: Places,
    policy: StandbyPolicy,
    budget: Budget,
) -> Refill:
    """The next domain to prepare: one at a time, and only while nothing else goes on."""
    if (places.paused <= 0 and places.saved <= 0) or ceiling <= pool.active:
        return Refill()
    if not pool.current == pool.ready == desired or pool.count(*_UNSETTLED) > 0:
        return Refill()
    candidates = [
        domain
        for domain in pool.in_state(DomainState.OFF)
        if (domain.operation is None or domain.is_asked_again)
        and domain.in_flight is None
        and domain.defined_generation not in policy.avoided
        and not _is_outdated(domain, policy)
    ]
    # What may still be carried out has its place: it is asked again before any other domain is.
    candidates.sort(key=lambda domain: (not domain.is_start_doubtful, domain.failures, domain.name))
    if not candidates:
        return Refill()
    domain = candidates[0]
    # Spare capacity is worth no risk: what is not known is not there.
    if not budget.holds(domain, if_unknown=False):
        return Refill(reason=Reason.HOST_MEMORY)
    if places.paused <= 0 and not budget.holds_image(domain):
        return Refill(reason=Reason.HOST_DISK)
    return Refill(Choice(ActionKind.PREPARE, domain, Reason.STANDBY_REFILL))


def is_prepared(domain: DomainView) -> bool:
    """Booted for standby, its worker cordoned and with empty hands."""
    worker = domain.worker
    return (
        domain.state is DomainState.PREPARING
        and worker is not None
        and worker.state is WorkerState.CORDONED
        and worker.leases == 0
    )


def recycling(pool: PoolView, policy: StandbyPolicy, now: float) -> tuple[Choice, ...]:
    """Standby domains to give up: unusable ones, surplus ones, and the oldest when too old."""
    choices: dict[str, Choice] = {}
    waiting = [one for one in pool.irregular if one.state in _STANDBY and one.in_flight is None]
    if not waiting:
        return ()
    for domain in waiting:
        if domain.failures:
            choices[domain.name] = _give_up(domain, Reason.WAKE_FAILED)
        elif _is_outdated(domain, policy):
            choices[domain.name] = _give_up(domain, Reason.STANDBY_OUTDATED)
    for state, most in zip(_STANDBY, (policy.paused, policy.saved), strict=True):
        kept = [one for one in waiting if one.state is state and one.name not in choices]
        kept.sort(key=lambda domain: (_since(domain), domain.name))
        for domain in kept[: max(0, len(kept) - most)]:
            choices[domain.name] = _give_up(domain, Reason.STANDBY_SURPLUS)
    old = [one for one in waiting if now >= _since(one) + policy.max_age_seconds]
    if old and not choices:
        # One at a time: a pool that was filled at once would lose all its standby at once.
        oldest = min(old, key=lambda domain: (_since(domain), domain.name))
        choices[oldest.name] = _give_up(oldest, Reason.STANDBY_TOO_OLD)
    return tuple(choices[name] for name in sorted(choices))


def _give_up(domain: DomainView, reason: Reason) -> Choice:
    paused = domain.state is DomainState.STANDBY_PAUSED
    return Choice(ActionKind.DESTROY if paused else ActionKind.DISCARD, domain, reason)


def _can_wake(domain: DomainView, policy: StandbyPolicy) -> bool:
    return (
        domain.state in _STANDBY
        and domain.in_flight is None
        and domain.failures == 0
        and not _is_outdated(domain, policy)
    )


def _is_outdated(domain: DomainView, policy: StandbyPolicy) -> bool:
    if policy.generation is not None and domain.generation not in ("", policy.generation):
        return True
    return domain.is_outdated and domain.defined_generation not in policy.avoided


def _since(domain: DomainView) -> float:
    return 0.0 if domain.operation is None else domain.operation.since
