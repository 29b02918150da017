import random
from collections.abc import Iterator

import pytest

from dispatcher.admission import (
    LEAST_WAITING,
    MAX_WAITING,
    OVERLOAD_SECONDS,
    PATIENT_SECONDS,
    PROBE_EVERY_SECONDS,
    PROLONGED_SECONDS,
    SOON_SECONDS,
    STANDING_SECONDS,
    STRICT_SECONDS,
    Admission,
)

TOO_LATE = 1.0 + PATIENT_SECONDS


def entered(admission: Admission, now: float) -> int:
    ticket = admission.enter(now)
    assert ticket is not None
    return ticket


def filled(waiting: int) -> Admission:
    """So many wait since 1.0."""
    admission = Admission()
    for _ in range(waiting):
        entered(admission, 1.0)
    return admission


def overloaded(now: float) -> Admission:
    """Has just refused a call; one less waits than are always let in."""
    admission = Admission()
    tickets = [entered(admission, now - 2 * PATIENT_SECONDS) for _ in range(MAX_WAITING)]
    assert admission.enter(now) is None
    for ticket in tickets:
        admission.leave(ticket, now, is_accepted=False)
    for _ in range(LEAST_WAITING - 1):
        entered(admission, now)
    return admission


def test_a_burst_is_let_in():
    admission = filled(100 * MAX_WAITING)
    assert admission.enter(1.0 + PATIENT_SECONDS / 2) is not None


def test_a_few_may_wait_for_a_slow_disk():
    assert filled(MAX_WAITING - 1).enter(60.0) is not None


def test_many_that_wait_for_long_keep_others_out():
    admission = filled(MAX_WAITING)
    assert admission.enter(TOO_LATE) is None
    assert admission.waiting == MAX_WAITING


def test_the_oldest_one_counts():
    admission = Admission()
    entered(admission, 1.0)
    for _ in range(MAX_WAITING):
        entered(admission, TOO_LATE - 0.001)
    assert admission.enter(TOO_LATE) is None


def test_the_oldest_one_counts_no_more_once_it_was_answered():
    admission = Admission()
    first = entered(admission, 1.0)
    for _ in range(MAX_WAITING):
        entered(admission, TOO_LATE - 0.001)
    admission.leave(first, TOO_LATE, is_accepted=True)
    assert admission.enter(TOO_LATE) is not None


def test_in_overload_a_few_may_always_wait():
    admission = overloaded(5.0)
    assert admission.enter(5.0) is not None
    assert admission.enter(5.0) is None


def test_overload_lasts_for_a_second():
    admission = overloaded(5.0)
    entered(admission, 5.0)
    assert admission.enter(5.0 + 0.99 * OVERLOAD_SECONDS) is None
    assert admission.enter(5.0 + 1.1 * OVERLOAD_SECONDS) is not None


def test_many_refusals_prolong_overload():
    admission = overloaded(5.0)
    entered(admission, 5.0)
    refusals = 0
    while admission.enter(now := 5.0 + refusals * 0.9 * PROLONGED_SECONDS) is None:
        refusals += 1
        if refusals > 500:
            break
    assert now > 5.0 + 5 * OVERLOAD_SECONDS


def test_who_leaves_twice_is_a_fault():
    admission = Admission()
    ticket = entered(admission, 1.0)
    admission.leave(ticket, 1.0, is_accepted=True)
    with pytest.raises(KeyError):
        admission.leave(ticket, 1.0, is_accepted=True)


def served(
    seconds: float, *, offered: float, capacity: float, admission: Admission, start: float
) -> Iterator[tuple[float, float | None]]:
    """A queue with Poisson arrivals and a fixed service time: when each came, and its wait."""
    draw = random.Random(7)
    now, free_at = start, start
    leaving: list[tuple[float, int]] = []
    while now < start + seconds:
        now += draw.expovariate(offered)
        while leaving and leaving[0][0] <= now:
            at, ticket = leaving.pop(0)
            admission.leave(ticket, at, is_accepted=True)
        ticket = admission.enter(now)
        if ticket is None:
            yield now, None
            continue
        free_at = max(free_at, now) + 1 / capacity
        leaving.append((free_at, ticket))
        yield now, free_at - now
    for at, ticket in leaving:
        admission.leave(ticket, at, is_accepted=True)


@pytest.mark.parametrize("load", [0.3, 0.7, 0.9])
def test_nobody_is_refused_below_the_capacity(load: float):
    found = list(served(30, offered=load * 2_000, capacity=2_000, admission=Admission(), start=1.0))
    assert all(wait is not None for _, wait in found)


@pytest.mark.parametrize("times", [1.5, 3.0, 10.0])
def test_with_more_than_can_be_served_those_let_in_wait_briefly(times: float):
    capacity = 2_000.0
    found = list(
        served(10, offered=times * capacity, capacity=capacity, admission=Admission(), start=1.0)
    )
    late = [wait for at, wait in found if at > 3.0 and wait is not None]
    most = max(STRICT_SECONDS, LEAST_WAITING / capacity) + 2 / capacity
    assert max(late) <= most
    assert len(late) >= 0.95 * capacity * 8


def test_a_standing_queue_is_found_however_short_it_is():
    admission = Admission()
    capacity = (MAX_WAITING + 2) / (1.2 * SOON_SECONDS)
    found = served(5, offered=1.05 * capacity, capacity=capacity, admission=admission, start=1.0)
    refused = [at for at, wait in found if wait is None]
    assert refused
    assert refused[0] < 1.0 + 10 * STANDING_SECONDS


def test_overload_ends_when_all_of_it_can_be_served():
    """Few at a time are served slower than many: the limit itself must not keep it up."""
    admission = overloaded(5.0)
    now, waiting, refused = 5.0, list[int](), 0.0
    while now < 5.0 + 2 * PROBE_EVERY_SECONDS:
        # Groups take 4 ms, however large they are.
        now += 0.004
        for ticket in waiting:
            admission.leave(ticket, now, is_accepted=True)
        found = [admission.enter(now) for _ in range(20)]
        waiting = [ticket for ticket in found if ticket is not None]
        if None in found:
            refused = now
    assert 5.0 + OVERLOAD_SECONDS < refused < 5.0 + 1.1 * PROBE_EVERY_SECONDS


def test_a_stall_refuses_nobody():
    """The disk stands still for less than is patient; then everything is answered at once."""
    admission = Admission()
    now = 1.0
    for _ in range(20):
        tickets = []
        for _ in range(90):
            now += 0.001
            tickets.append(entered(admission, now))
        for ticket in tickets:
            admission.leave(ticket, now, is_accepted=True)


def test_after_overload_a_load_that_can_be_served_is_let_in_again():
    admission = Admission()
    capacity = 2_000.0
    list(served(5, offered=6_000, capacity=capacity, admission=admission, start=1.0))
    found = list(
        served(20, offered=0.6 * capacity, capacity=capacity, admission=admission, start=6.5)
    )
    assert all(wait is not None for at, wait in found if at > 9.0)
