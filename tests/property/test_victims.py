"""A scale-in by a policy that counts slots leaves what it needs, whatever leaves."""

from hypothesis import given, settings
from hypothesis import strategies as st

from scaler.pool import DomainState, DomainView, Lifecycle, PoolView, WorkerRecord, WorkerState
from scaler.victims import slots, victims

RELAXED = settings(max_examples=200, deadline=None)


@st.composite
def pools(draw):
    sizes = draw(st.lists(st.integers(1, 8), min_size=1, max_size=8))
    views = []
    for number, size in enumerate(sizes):
        leases = draw(st.integers(0, 2))
        oldest = draw(st.sampled_from([10.0, 20.0])) if leases else None
        worker = WorkerRecord(f"d{number}", WorkerState.READY, size, 0, leases, 0.0, oldest)
        views.append(DomainView(f"d{number}", DomainState.READY, Lifecycle.RUNNING, worker=worker))
    booting = draw(st.integers(0, 2))
    views += [DomainView(f"x{n}", DomainState.BOOTING, Lifecycle.RUNNING) for n in range(booting)]
    return PoolView.of(views)


@RELAXED
@given(pools(), st.floats(0, 40))
def test_what_is_needed_stays(pool, needed):
    desired = pool.capacity(1.0).domains_for(needed)
    gone = victims(pool, max(0, min(pool.current, pool.ready) - desired))
    left = sum(slots(one) for one in pool.domains if one.state is DomainState.READY)
    if gone:
        assert left - sum(map(slots, gone)) >= needed - 1e-6


@RELAXED
@given(pools(), st.integers(0, 9))
def test_the_idlest_leave_and_size_only_decides_among_equals(pool, surplus):
    gone = victims(pool, surplus)
    assert len({one.name for one in gone}) == len(gone) == min(surplus, pool.ready)

    def work(domain):
        return domain.leases, -(domain.worker.oldest_lease_since or 0.0)

    stay = [one for one in pool.domains if one.state is DomainState.READY and one not in gone]
    assert all(work(one) <= work(other) for one in gone for other in stay)


@RELAXED
@given(pools(), st.integers(0, 9), st.randoms())
def test_the_order_is_total(pool, surplus, random):
    shuffled = list(pool.domains)
    random.shuffle(shuffled)
    assert victims(PoolView.of(shuffled), surplus) == victims(pool, surplus)
