from dispatcher.admission import (
    ALWAYS_WAITING,
    MAX_BUSY_ARRIVALS,
    MAX_BUSY_SECONDS,
    MAX_SECONDS,
    MAX_WAITING,
    Admission,
)


def filled(waiting: int) -> Admission:
    admission = Admission()
    for _ in range(waiting):
        admission.enter(1.0)
    return admission


def test_a_burst_is_let_in():
    now = 1.0 + MAX_SECONDS / 2
    assert filled(100 * MAX_WAITING).arrived(now, idle_at=now)


def test_a_few_may_wait_for_a_slow_disk():
    assert filled(MAX_WAITING - 1).arrived(60.0, idle_at=60.0)


def test_many_that_wait_for_long_keep_others_out_until_they_are_answered():
    admission = filled(MAX_WAITING - 1)
    late = admission.enter(1.0)
    now = 1.0 + MAX_SECONDS
    assert not admission.arrived(now, idle_at=now)
    admission.leave(late)
    assert admission.arrived(now, idle_at=now)
    assert admission.waiting() == MAX_WAITING - 1


def test_the_oldest_one_counts():
    admission = Admission()
    first = admission.enter(1.0)
    for _ in range(MAX_WAITING):
        admission.enter(2.0)
    assert not admission.arrived(2.0, idle_at=2.0)
    admission.leave(first)
    assert admission.arrived(2.0, idle_at=2.0)


def test_calls_without_end_at_a_loop_without_rest_are_refused_until_it_rests():
    admission = filled(ALWAYS_WAITING)
    busy = 1.0 + MAX_BUSY_SECONDS
    found = [admission.arrived(busy, idle_at=1.0) for _ in range(MAX_BUSY_ARRIVALS)]
    assert found == [True] * (MAX_BUSY_ARRIVALS - 1) + [False]
    assert admission.arrived(busy, idle_at=busy)


def test_however_busy_the_loop_is_some_calls_get_in():
    admission = filled(ALWAYS_WAITING - 1)
    assert all(admission.arrived(99.0, idle_at=1.0) for _ in range(1000))
