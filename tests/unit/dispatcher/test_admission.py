from dispatcher.admission import (
    ALWAYS_WAITING,
    MAX_BUSY_ARRIVALS,
    MAX_WAITING,
    OVERLOAD_SECONDS,
    PATIENT_SECONDS,
    STRICT_SECONDS,
    Admission,
)

TOO_LATE = 1.0 + PATIENT_SECONDS


def filled(waiting: int) -> Admission:
    """So many wait since 1.0, when the loop was idle."""
    admission = Admission()
    for _ in range(waiting):
        admission.enter(1.0)
    return admission


def overloaded(now: float) -> Admission:
    """Has just refused a call; one less waits than are always let in."""
    admission = Admission()
    tickets = [admission.enter(now - 2 * PATIENT_SECONDS) for _ in range(MAX_WAITING)]
    assert not admission.arrived(now, idle_at=now)
    for ticket in tickets:
        admission.leave(ticket)
    for _ in range(ALWAYS_WAITING - 1):
        admission.enter(now)
    return admission


def test_a_burst_is_let_in():
    now = 1.0 + PATIENT_SECONDS / 2
    assert filled(100 * MAX_WAITING).arrived(now, idle_at=now)


def test_a_few_may_wait_for_a_slow_disk():
    assert filled(MAX_WAITING - 1).arrived(60.0, idle_at=60.0)


def test_nobody_is_refused_while_answers_come_in_time_however_busy_the_machine_is():
    admission = filled(MAX_WAITING)
    almost = 1.0 + 0.99 * PATIENT_SECONDS
    assert all(admission.arrived(almost, idle_at=1.0) for _ in range(10 * MAX_BUSY_ARRIVALS))


def test_many_that_wait_for_long_keep_others_out():
    admission = filled(MAX_WAITING)
    assert not admission.arrived(TOO_LATE, idle_at=TOO_LATE)
    assert admission.waiting() == MAX_WAITING


def test_the_oldest_one_counts():
    admission = Admission()
    admission.enter(1.0)
    for _ in range(MAX_WAITING):
        admission.enter(TOO_LATE)
    assert not admission.arrived(TOO_LATE, idle_at=TOO_LATE)


def test_the_oldest_one_counts_no_more_once_it_was_answered():
    admission = Admission()
    first = admission.enter(1.0)
    for _ in range(MAX_WAITING):
        admission.enter(TOO_LATE)
    admission.leave(first)
    assert admission.arrived(TOO_LATE, idle_at=TOO_LATE)


def test_calls_without_end_at_a_loop_without_rest_are_refused():
    admission = filled(ALWAYS_WAITING)
    found = [admission.arrived(TOO_LATE, idle_at=1.0) for _ in range(MAX_BUSY_ARRIVALS)]
    assert found == [True] * (MAX_BUSY_ARRIVALS - 1) + [False]


def test_in_overload_those_that_are_let_in_are_answered_soon():
    admission = overloaded(5.0)
    assert admission.arrived(5.0, idle_at=5.0)
    admission.enter(5.0)
    soon = 5.0 + 0.5 * STRICT_SECONDS
    assert admission.arrived(soon, idle_at=soon)
    late = 5.0 + 1.1 * STRICT_SECONDS
    assert not admission.arrived(late, idle_at=late)


def test_in_overload_a_loop_without_rest_is_too_busy_soon():
    admission = overloaded(5.0)
    late = 5.0 + 1.1 * STRICT_SECONDS
    admission.enter(late)
    assert not admission.arrived(late, idle_at=5.0)


def test_patience_returns_when_nobody_was_refused_for_a_while():
    admission = overloaded(5.0)
    admission.enter(5.0)
    later = 5.0 + OVERLOAD_SECONDS
    assert admission.arrived(later, idle_at=5.0)


def test_however_busy_the_loop_is_some_calls_get_in():
    admission = filled(ALWAYS_WAITING - 1)
    assert all(admission.arrived(99.0, idle_at=1.0) for _ in range(1000))
