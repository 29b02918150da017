import pytest

from dispatcher import attempts
from dispatcher.attempts import Attempts
from dispatcher.effects import RequeueReason
from dispatcher.jobs import AttemptCause, JobKey, Lease, Profile
from dispatcher.ready import Facts
from dispatcher.sessions import HeldLease, Hello, Session, SessionKey

ONE = JobKey(1)


def session(jobs: int, slots: int) -> Session:
    made = Session(SessionKey(1), Hello("w1", "a", slots, frozenset(Profile)), 0.0, 0.0)
    for number in range(1, jobs + 1):
        lease = Lease(JobKey(number), number)
        facts = Facts(Profile.ARGON2ID, 0.0)
        made.leases[lease.key] = HeldLease(lease, facts, 0.0, 10.0, made)
    return made


def judged(made: Session, reason: RequeueReason) -> attempts.Blame | None:
    return attempts.blame(made, list(made.leases.values()), reason)


@pytest.mark.parametrize(
    ("jobs", "slots", "suspects", "is_certain"),
    [(1, 1, 1, True), (1, 4, 1, True), (3, 1, 1, False), (3, 2, 2, False), (2, 4, 2, False)],
)
def test_of_a_lost_worker_what_it_had_started_is_suspect(jobs, slots, suspects, is_certain):
    found = judged(session(jobs, slots), RequeueReason.WORKER_LOST)
    assert found is not None
    assert found.suspects == set(range(1, suspects + 1))
    assert found.is_certain is is_certain


def test_what_settles_is_no_excuse_for_the_one_that_does_not():
    made = session(2, 2)
    made.leases[ONE].is_settling = True
    made.settling = 1
    found = attempts.blame(made, [made.leases[JobKey(2)]], RequeueReason.WORKER_LOST)
    assert found == attempts.Blame(AttemptCause.WORKER_LOST, frozenset({JobKey(2)}), True)


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        (RequeueReason.LEASE_EXPIRED, AttemptCause.LEASE_EXPIRED),
        (RequeueReason.WORKER_REFUSED, AttemptCause.WORKER_REFUSED),
        (RequeueReason.WRONG_RESULT, AttemptCause.WRONG_RESULT),
    ],
)
def test_what_a_living_worker_says_is_certain(reason, cause):
    found = judged(session(2, 1), reason)
    assert found is not None
    assert (found.cause, found.is_certain, len(found.suspects)) == (cause, True, 2)


@pytest.mark.parametrize(
    "reason",
    [
        RequeueReason.WORKER_LEFT,
        RequeueReason.DRAIN_DEADLINE,
        RequeueReason.NOT_RECEIVED,
        RequeueReason.FENCED,
        RequeueReason.RELEASED,
    ],
)
def test_nobody_is_to_blame(reason):
    assert judged(session(1, 1), reason) is None


def test_two_doubts_or_one_before_the_last_attempt_isolate():
    records = Attempts()
    assert not records.needs_isolation(ONE, 5)
    assert records.count(ONE, is_certain=False) == 1
    assert not records.needs_isolation(ONE, 5)
    assert records.needs_isolation(ONE, 2)
    assert records.count(ONE, is_certain=False) == 2
    assert records.needs_isolation(ONE, 5)
    records.forget(ONE)
    assert not records.needs_isolation(ONE, 5)


def test_certain_attempts_need_no_isolation():
    records = Attempts()
    for _ in range(4):
        records.count(ONE, is_certain=True)
    assert not records.needs_isolation(ONE, 5)


def test_attempts_from_before_a_restart_are_doubtful():
    records = Attempts()
    records.restore(ONE, 2)
    assert records.needs_isolation(ONE, 5)
    assert records.count(ONE, is_certain=True) == 3
