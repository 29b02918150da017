"""Rolling replacement: domains whose definition names another image than the one they run. Pure.

Whoever has a new guest image defines the domains anew; what runs goes on with the old one. The
pool is then renewed a domain at a time: one more is started (surge), and when its worker has said
Hello an outdated one is drained. Without room for one more, an outdated one goes first.

An image of which boots fail and none has ever succeeded is given up: no further domain is replaced
by it, and definitions that name it are put back to the one that last worked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from scaler.incidents import Incident
from scaler.pool import LEAVING, DomainState, DomainView, PoolView, WorkerState
from scaler.reasons import Reason


@dataclass(frozen=True, slots=True)
class RolloutSettings:
    """How fast a pool is renewed."""

    surge: int = 1
    """Domains above the desired capacity; 0: replace in place only."""
    unavailable: int = 1
    """Domains below the desired capacity while there is no room for a surge."""
    failures: int = 2
    """So many failed boots, and no good one, of a generation end its rollout."""


@dataclass(frozen=True, slots=True)
class Trials:
    """How boots of each generation went; they survive a restart (see `lessons`)."""

    failures: Mapping[str, int] = field(default_factory=dict)
    good: frozenset[str] = frozenset()

    def bad(self, settings: RolloutSettings) -> frozenset[str]:
        """Generations that failed too often and have never worked."""
        return frozenset(
            generation
            for generation, failures in self.failures.items()
            if failures >= settings.failures and generation not in self.good
        )


@dataclass(frozen=True, slots=True)
class Rollout:
    """What renewing the pool asks of a plan."""

    surge: int = 0
    """Domains to start on top of the desired capacity."""
    in_place: int = 0
    """Outdated domains to drain although no more serve than are desired."""
    outdated: frozenset[str] = frozenset()
    """Domains that serve and are to be replaced: the first to be drained."""
    let_go: frozenset[str] = frozenset()
    """Outdated domains on their way out: not to be won back."""
    rolled_back: tuple[str, ...] = ()
    """Domains whose definition is to be put back."""
    avoided: frozenset[str] = frozenset()
    """Generations to be started last."""
    reason: Reason | None = None
    """Why the rollout stands still."""

    def without(self, names: frozenset[str]) -> "Rollout":
        """The same for a pool that lacks these domains."""
        rolled_back = tuple(name for name in self.rolled_back if name not in names)
        return replace(self, outdated=self.outdated - names, rolled_back=rolled_back)


NO_ROLLOUT = Rollout()

_REPLACEABLE = frozenset({DomainState.READY, DomainState.SILENT})
_BOOTED = (Incident.BOOT_FINISHED, Incident.BOOT_FAILED)


def observed(trials: Trials, pool: PoolView, incidents: Sequence[tuple[str, Incident]]) -> Trials:
    """The trials after a turn's incidents; what has said Hello has proved its generation.

    A boot for standby is a boot; a wake, in which no image takes part, proves nothing.
    """
    failures = dict(trials.failures)
    preparing = pool.in_state(DomainState.PREPARING)
    if not (failures or preparing or incidents) and pool.generations <= trials.good:
        return trials
    good = pool.generations.union(one.generation for one in preparing if _has_said_hello(one))
    booted = {name: incident for name, incident in incidents if incident in _BOOTED}
    for domain in pool.domains if booted else ():
        incident = booted.get(domain.name)
        if not domain.generation or incident is None:
            continue
        if incident is Incident.BOOT_FINISHED:
            good |= {domain.generation}
        else:
            failures[domain.generation] = failures.get(domain.generation, 0) + 1
    good -= {""}
    if not failures and good <= trials.good:
        return trials
    # Of generations that nobody runs or would boot any more nothing need be remembered.
    known = {domain.generation for domain in pool.domains}
    known |= {domain.defined_generation for domain in pool.domains}
    return replace(
        trials,
        failures={each: count for each, count in failures.items() if each in known},
        good=(trials.good | good) & known,
    )


def _has_said_hello(domain: DomainView) -> bool:
    return domain.worker is not None and domain.worker.state is not WorkerState.DISCONNECTED


def assess(
    settings: RolloutSettings,
    trials: Trials,
    pool: PoolView,
    desired: int,
    ceiling: int,
    *,
    may_start: bool = True,
    may_lower: bool = True,
) -> Rollout:
    """What is to be renewed, and how: `ceiling` bounds the surge; without starts nothing begins.

    `may_lower`: whether enough is known to have fewer domains for a while.
    """
    bad = trials.bad(settings)
    irregular = pool.irregular
    if not bad and not any(one.is_outdated for one in irregular):
        return NO_ROLLOUT
    outdated = frozenset(
        domain.name
        for domain in irregular
        if domain.state in _REPLACEABLE and domain.is_outdated and not _is_given_up(domain, bad)
    )
    found = Rollout(
        outdated=outdated,
        let_go=frozenset(
            domain.name
            for domain in irregular
            if domain.state in LEAVING and domain.is_outdated and not _is_given_up(domain, bad)
        ),
        rolled_back=_going_back(pool, bad),
        avoided=bad,
        reason=Reason.ROLLOUT_GIVEN_UP if _is_any_given_up(pool, bad) else None,
    )
    # The next one begins when the last one is off: a pool is renewed no faster than it drains.
    # With more than are desired the surge is there, or the pool shrinks: outdated ones go first.
    is_settled = pool.ready == pool.current == desired and not pool.leaving
    is_settled = is_settled and not any(_makes_room(domain, bad) for domain in irregular)
    if not outdated or not is_settled or not may_start:
        surging = pool.current - desired
        return replace(found, surge=max(0, min(settings.surge, surging))) if outdated else found
    # Standby domains that stay hold their places under the ceiling.
    waiting = pool.count(DomainState.STANDBY_PAUSED)
    room = min(settings.surge, ceiling - desired - waiting, _startable(pool, bad))
    if room > 0:
        return replace(found, surge=room)
    if settings.unavailable <= 0 or not may_lower:
        return replace(found, reason=found.reason or Reason.ROLLOUT_NO_ROOM)
    return replace(found, in_place=min(settings.unavailable, len(outdated)))


def _is_given_up(domain: DomainView, bad: frozenset[str]) -> bool:
    return domain.defined_generation in bad


def _makes_room(domain: DomainView, bad: frozenset[str]) -> bool:
    """It is on its way into standby, or about to be made anew: its memory is soon free, or not."""
    if domain.state is DomainState.STANDBY_PAUSED:
        return domain.is_outdated and not _is_given_up(domain, bad)
    return domain.state in (DomainState.PREPARING, DomainState.SUSPENDING, DomainState.SAVING)


def _is_any_given_up(pool: PoolView, bad: frozenset[str]) -> bool:
    return bool(bad) and any(_is_given_up(domain, bad) for domain in pool.domains)


def _going_back(pool: PoolView, bad: frozenset[str]) -> tuple[str, ...]:
    if not bad:
        return ()
    return tuple(domain.name for domain in pool.domains if _can_go_back(domain, bad))


def _can_go_back(domain: DomainView, bad: frozenset[str]) -> bool:
    kept = domain.kept_generation
    if not _is_given_up(domain, bad) or not kept or kept in bad or domain.in_flight is not None:
        return False
    is_at_rest = domain.state is DomainState.OFF and domain.operation is None
    return is_at_rest or domain.state is DomainState.READY


def _startable(pool: PoolView, bad: frozenset[str]) -> int:
    """Domains that are off and would boot a generation other than those given up."""
    return sum(not _is_given_up(domain, bad) for domain in pool.in_state(DomainState.OFF))
