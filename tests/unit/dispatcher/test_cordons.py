import pytest

from dispatcher import effects
from dispatcher.cordons import CordonAnswer, Cordons
from dispatcher.effects import DrainOutcome
from dispatcher.jobs import JobKey, Lease, Profile
from dispatcher.ready import Facts
from dispatcher.sessions import HeldLease, Hello, Session, SessionKey


def session(leases: int = 0) -> Session:
    made = Session(SessionKey(1), Hello("w1", "i1", 1, frozenset(Profile)), 0.0, 0.0)
    for key in range(1, leases + 1):
        lease = Lease(JobKey(key), 1)
        made.leases[lease.key] = HeldLease(
            lease, Facts(Profile.LEGACY_SHA256, 0.0), 0.0, 10.0, made
        )
    return made


@pytest.fixture
def cordons() -> Cordons:
    return Cordons({})


def test_a_cordon_is_refused_as_a_whole_when_the_worker_holds_too_much(cordons):
    assert cordons.add("w1", session(2), "scale-in", max_leases=1) == CordonAnswer(False, 2)
    assert "w1" not in cordons


def test_a_granted_cordon_tells_what_is_left(cordons):
    assert cordons.add("w1", session(2), "scale-in", max_leases=2) == CordonAnswer(True, 2)
    assert "w1" in cordons


def test_a_second_cordon_keeps_the_first_reason(cordons):
    cordons.add("w1", None, "by hand", None)
    cordons.add("w1", None, "scale-in", None)
    assert cordons.get("w1").reason == "by hand"


def test_cordons_from_the_store_hold_for_workers_that_are_not_connected():
    cordons = Cordons({"w1": "by hand"})
    assert list(cordons) == ["w1"]
    assert not cordons.get("w1").is_draining


def test_a_worker_without_leases_is_drained_at_once(cordons):
    idle = session()
    assert cordons.drain("w1", idle, "scale-in", 30.0) == [
        effects.AskDrain(idle.key, 30.0),
        effects.DrainEnded("w1", DrainOutcome.DRAINED, 0),
    ]
    assert "w1" in cordons, "it stays cordoned"


def test_a_drain_ends_with_the_last_lease(cordons):
    busy = session(1)
    assert cordons.drain("w1", busy, "scale-in", 30.0) == [effects.AskDrain(busy.key, 30.0)]
    assert cordons.drained(busy) == []
    busy.leases.clear()
    assert cordons.drained(busy) == [effects.DrainEnded("w1", DrainOutcome.DRAINED, 0)]
    assert cordons.drained(busy) == [], "it ends once"


def test_a_drain_whose_jobs_were_taken_back_says_how_many(cordons):
    busy = session(2)
    cordons.drain("w1", busy, "scale-in", 30.0)
    cordons.get("w1").taken_back = 2
    busy.leases.clear()
    assert cordons.drained(busy) == [effects.DrainEnded("w1", DrainOutcome.DEADLINE, 2)]


def test_a_drain_of_a_worker_that_is_not_there_has_nothing_to_wait_for(cordons):
    assert cordons.drain("w1", None, "scale-in", 30.0) == [
        effects.DrainEnded("w1", DrainOutcome.LOST, 0)
    ]


def test_lifting_cancels_the_drain_and_tells_the_worker(cordons):
    busy = session(1)
    cordons.drain("w1", busy, "scale-in", 30.0)
    assert cordons.lift("w1", busy) == [
        effects.LiftDrain(busy.key),
        effects.DrainEnded("w1", DrainOutcome.CANCELLED, 0),
    ]
    assert cordons.lift("w1", busy) == []


@pytest.mark.parametrize(
    ("is_clean", "outcome"), [(True, DrainOutcome.DRAINED), (False, DrainOutcome.LOST)]
)
def test_a_worker_that_goes_during_its_drain_ends_it(cordons, is_clean, outcome):
    busy = session(1)
    cordons.drain("w1", busy, "scale-in", 30.0)
    assert cordons.closed(busy, is_clean=is_clean) == [effects.DrainEnded("w1", outcome, 0)]
    assert cordons.closed(busy, is_clean=is_clean) == []
