"""Which domains leave when there are too many. Pure; the order is total."""

from collections.abc import Sequence
from itertools import groupby

from scaler.pool import DomainState, DomainView, PoolView


def victims(
    pool: PoolView, surplus: int, outdated: frozenset[str] = frozenset()
) -> list[DomainView]:
    """Up to `surplus` ready domains, first those that are to go first.

    Outdated ones, then the fewest leases, then the youngest lease (least work to wait for). Among
    equals the size decides: the largest that is not more than is too much, as so many domains of
    the mean size are, else the smallest; then the name. A policy that counts slots wishes for as
    many domains as the smallest need to be (see `Capacity`), so that whatever leaves, what is
    needed stays.
    """
    candidates = sorted(
        (one for one in pool.in_state(DomainState.READY) if one.in_flight is None),
        key=lambda domain: (domain.name not in outdated, *_work(domain), domain.name),
    )
    spare = surplus * pool.slots_per_domain(1.0)
    chosen: list[DomainView] = []
    for _, alike in groupby(candidates, key=lambda one: (one.name not in outdated, *_work(one))):
        for domain in _by_size(list(alike), surplus - len(chosen), spare):
            chosen.append(domain)
            spare -= slots(domain)
        if len(chosen) >= surplus:
            break
    return chosen


def slots(domain: DomainView) -> int:
    """Slots of the domain's worker."""
    return 1 if domain.worker is None else domain.worker.slots


def _work(domain: DomainView) -> tuple[int, float]:
    since = None if domain.worker is None else domain.worker.oldest_lease_since
    return domain.leases, 0.0 if since is None else -since


def _by_size(alike: list[DomainView], count: int, spare: float) -> Sequence[DomainView]:
    """The first `count`, in the order in which they leave."""
    if len({slots(domain) for domain in alike}) == 1:
        return alike[:count]
    left = list(alike)
    chosen: list[DomainView] = []
    while left and len(chosen) < count:
        # A sum of means that should be a whole number must not keep a domain.
        fitting = [domain for domain in left if slots(domain) <= spare + 1e-9]
        if fitting:
            domain = min(fitting, key=lambda one: (-slots(one), one.name))
        else:
            domain = min(left, key=lambda one: (slots(one), one.name))
        left.remove(domain)
        chosen.append(domain)
        spare -= slots(domain)
    return chosen
