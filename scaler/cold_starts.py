"""Which domains that are off are started, and what keeps others from it. Pure."""

from typing import NamedTuple

from scaler.host_room import Budget
from scaler.pool import DomainState, DomainView, OperationKind, PoolView
from scaler.reasons import Reason


class ColdStarts(NamedTuple):
    """What to start, and what stood in the way of more."""

    domains: tuple[DomainView, ...] = ()
    reasons: tuple[Reason, ...] = ()


def cold_starts(
    pool: PoolView,
    wanted: int,
    room: int,
    budget: Budget,
    *,
    avoided: frozenset[str] = frozenset(),
    fleet_known: bool = True,
) -> ColdStarts:
    """Up to `wanted` domains, no more than `room` and `budget` hold, in a total order.

    A start that may still be carried out comes first, because it has its place under the ceiling;
    then images that are not in `avoided`, fewer failed boots, the name.
    """
    if wanted <= 0:
        return ColdStarts()
    reasons: list[Reason] = []
    room -= sum(
        one.is_start_doubtful and not _is_startable(one, fleet_known)
        for one in pool.in_state(DomainState.OFF)
    )
    if room < wanted:
        reasons.append(Reason.CEILING if pool.leaving == 0 else Reason.DOMAINS_LEAVING)
    startable = sorted(
        (one for one in pool.in_state(DomainState.OFF) if _is_startable(one, fleet_known)),
        key=lambda domain: (
            not domain.is_start_doubtful,
            domain.defined_generation in avoided,
            domain.failures,
            domain.name,
        ),
    )
    count = max(0, min(room, wanted))
    if len(startable) < min(room, wanted):
        # Not all that are defined are there to be started.
        theirs = pool.count(DomainState.QUARANTINED_OFF)
        reasons.append(Reason.QUARANTINED if theirs else Reason.NO_DOMAIN_LEFT)
    chosen: list[DomainView] = []
    for domain in startable:
        if len(chosen) == count:
            break
        if budget.holds(domain, if_unknown=True):
            chosen.append(domain)
            budget = budget.without(domain)
        elif Reason.HOST_MEMORY not in reasons:
            reasons.append(Reason.HOST_MEMORY)
    return ColdStarts(tuple(chosen), tuple(reasons))


def _is_startable(domain: DomainView, fleet_known: bool) -> bool:
    if domain.in_flight is not None:
        return False
    # A domain that still carries its last way down would come up cordoned: settle it first, unless
    # the dispatcher is away; then the cordon is lifted after the boot.
    settled = domain.operation is None or domain.operation.kind is OperationKind.START
    return settled or domain.is_asked_again or not fleet_known
