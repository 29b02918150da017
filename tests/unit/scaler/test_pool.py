import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaler.pool import DomainState, DomainView, Lifecycle, PoolView, WorkerRecord, WorkerState


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
