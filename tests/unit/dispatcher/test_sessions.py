import pytest

from dispatcher.jobs import JobKey, Lease, Profile
from dispatcher.ready import Facts
from dispatcher.sessions import (
    Cordon,
    HeldLease,
    Hello,
    Session,
    SessionKey,
    WorkerState,
    WorkerView,
    view,
)


def session(slots: int = 2, leases: int = 0) -> Session:
    made = Session(
        SessionKey(7),
        Hello("w1", "i1", slots, frozenset(Profile), generation="sha256:ab", boot_seconds=4.5),
        connected_at=10.0,
        heard_at=18.0,
    )
    for key in range(1, leases + 1):
        lease = Lease(JobKey(key), 1)
        facts = Facts(Profile.LEGACY_SHA256, 0.0)
        made.leases[lease.key] = HeldLease(lease, facts, 10.0 + key, 30.0, made)
    return made


def test_credit_ahead_of_the_slots_shows_as_negative_free_slots():
    busy = session(slots=2, leases=3)
    assert (busy.working, busy.free_slots) == (3, -1)


def test_a_result_on_its_way_to_the_disk_frees_its_slot():
    busy = session(slots=2, leases=2)
    busy.settling = 1
    assert (busy.working, busy.free_slots) == (1, 1)


def test_a_view_gives_ages_and_who_it_is():
    shown = view("w1", session(leases=2), None, 20.0)
    assert (shown.connected_age, shown.heartbeat_age, shown.oldest_lease_age) == (10.0, 2.0, 9.0)
    assert (shown.instance_id, shown.generation, shown.boot_seconds) == ("i1", "sha256:ab", 4.5)
    assert (shown.slots, shown.leases) == (2, 2)


def test_a_worker_that_is_not_connected_has_a_state_and_nothing_else():
    assert view("w1", None, Cordon("by hand"), 0.0) == WorkerView("w1", WorkerState.DISCONNECTED)


@pytest.mark.parametrize(
    ("cordon", "is_leaving", "state"),
    [
        (None, False, WorkerState.READY),
        (Cordon("by hand"), False, WorkerState.CORDONED),
        (Cordon("scale-in", drain_deadline=30.0), False, WorkerState.DRAINING),
        (None, True, WorkerState.DRAINING),
        (Cordon("by hand"), True, WorkerState.DRAINING),
    ],
)
def test_states(cordon, is_leaving, state):
    shown = session()
    shown.is_leaving = is_leaving
    seen = view("w1", shown, cordon, 20.0)
    assert seen.state is state
    assert seen.takes_jobs is (state is WorkerState.READY)


def test_a_worker_whose_stream_broke_takes_no_jobs():
    parted = session()
    parted.parted_at = 19.0
    assert not parted.is_connected
    assert not view("w1", parted, None, 20.0).takes_jobs
