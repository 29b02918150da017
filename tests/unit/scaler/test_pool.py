import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaler.pool import (
    ActionKind,
    DomainState,
    DomainView,
    Lifecycle,
    Operation,
    OperationKind,
    PoolView,
    WorkerRecord,
    WorkerState,
)


def pool_of(*sizes, booting=0):
    ready = [
        DomainView(
            f"d{number}",
            DomainState.READY,
            Lifecycle.RUNNING,
            worker=WorkerRecord(f"d{number}", WorkerState.READY, slots=size),
        )
        for number, size in enumerate(sizes)
    ]
    others = [DomainView(f"b{n}", DomainState.BOOTING, Lifecycle.RUNNING) for n in range(booting)]
    return PoolView.of([*ready, *others])


@pytest.mark.parametrize(
    ("sizes", "slots", "domains"),
    [
        ((), 0, 0),
        ((), 5, 3),
        ((4, 1), 1, 1),
        # One could be enough, but not if it is the small one that stays.
        ((4, 1), 3, 2),
        ((4, 1), 5, 2),
        # More are taken to have the mean size, 2.5.
        ((4, 1), 6, 3),
        ((4, 1), 8, 4),
        ((1, 1, 1, 8), 3, 3),
        ((3, 3), 0.1 + 0.2, 1),
    ],
)
def test_domains_of_different_sizes(sizes, slots, domains):
    assert pool_of(*sizes).capacity(2.0).domains_for(slots) == domains


def test_a_booting_domain_is_taken_to_have_the_mean_size():
    assert pool_of(4, booting=1).capacity(1.0).domains_for(8) == 2


@given(st.integers(1, 8), st.integers(0, 6), st.floats(0, 200))
def test_of_domains_of_one_size_it_is_the_quotient(size, count, slots):
    expected = math.ceil(slots / size - 1e-9)
    assert pool_of(*[size] * count).capacity(size).domains_for(slots) in (expected, expected + 1)
    whole = float(round(slots))
    assert pool_of(*[size] * count).capacity(size).domains_for(whole) == math.ceil(whole / size)


@given(st.lists(st.integers(1, 8), max_size=8), st.floats(0, 99), st.floats(0, 99))
def test_any_so_many_of_them_have_the_slots_and_more_never_needs_fewer(sizes, slots, more):
    capacity = pool_of(*sizes).capacity(1.0)
    count = capacity.domains_for(slots)
    if count <= len(sizes):
        assert sum(sorted(sizes)[:count]) >= slots - 1e-6
    assert capacity.domains_for(slots + more) >= count


def view(number, state, **more):
    return DomainView(f"d{number}", DomainState(state), Lifecycle.RUNNING, **more)


REGULAR = st.sampled_from(
    [
        {"state": "off"},
        {"state": "ready"},
        {"state": "ready", "generation": "a", "defined_generation": "a", "kept_generation": "a"},
        {"state": "ready", "generation": "a", "defined_generation": "", "memory_bytes": 5},
    ]
)
IRREGULAR = st.sampled_from(
    [
        {"state": "booting", "memory_bytes": 7},
        {"state": "off", "operation": Operation(OperationKind.DRAIN, 1.0, 1)},
        {"state": "off", "in_flight": ActionKind.START},
        {"state": "ready", "generation": "a", "defined_generation": "b"},
        {"state": "ready", "generation": "a", "defined_generation": "a", "kept_generation": "b"},
        {"state": "standby_paused"},
    ]
)


@given(REGULAR, IRREGULAR)
def test_what_is_regular(one, other):
    assert view(1, **one).is_regular
    assert not view(1, **other).is_regular


WORKERS = st.none() | st.builds(
    WorkerRecord,
    st.just("d"),
    st.sampled_from(WorkerState),
    slots=st.integers(1, 3),
    leases=st.integers(0, 2),
)


@given(
    st.lists(st.tuples(REGULAR | IRREGULAR, WORKERS), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(0, 4), REGULAR | IRREGULAR, WORKERS), max_size=6),
)
def test_a_pool_that_changed_is_like_one_made_anew(first, changes):
    """What is handed on from turn to turn must not show."""
    views = [view(n, worker=worker, **fields) for n, (fields, worker) in enumerate(first)]
    pool = PoolView.of(views)
    for place, fields, worker in changes:
        place %= len(views)
        views[place] = view(place, worker=worker, **fields)
        pool, anew = pool.changed(views, [place]), PoolView.of(views)
        assert pool == anew
        assert pool.irregular == anew.irregular == [one for one in views if not one.is_regular]
        assert pool.capacity(2.0) == anew.capacity(2.0)
        assert pool.generations == anew.generations
        assert pool.promised_bytes == anew.promised_bytes
        assert pool.active == sum(one.is_active for one in views)
        for state in DomainState:
            assert pool.in_state(state) == [one for one in views if one.state is state]
