import pytest

from dispatcher import effects
from dispatcher.backlog import Backlog
from dispatcher.effects import RequeueReason
from dispatcher.jobs import AttemptCause, Failed, FailureReason, JobKey, Lease, Profile
from dispatcher.leases import Leases, Terms
from dispatcher.sessions import HeldLease, Hello, Session, SessionKey

ALL = frozenset(Profile)


class World:
    """A backlog of five jobs, and sessions that take them."""

    def __init__(self, terms: Terms | None = None) -> None:
        self.backlog = Backlog()
        self.backlog.submit(JobKey(1), [Profile.LEGACY_SHA256] * 5, 0.0)
        self.leases = Leases(terms or Terms(max_attempts=2), self.backlog)

    def session(self, key: int = 1, *, slots: int = 1, held: tuple[Lease, ...] = ()) -> Session:
        hello = Hello("w1", f"i{key}", slots, ALL, held)
        return Session(SessionKey(key), hello, 0.0, 0.0)

    def hold(self, session: Session, epoch: int = 1) -> HeldLease:
        taken = self.backlog.take(ALL)
        assert taken is not None
        return self.leases.hold(session, Lease(taken.key, epoch), taken.facts, 0.0)


@pytest.fixture
def world() -> World:
    return World()


def test_a_lease_is_filed_under_its_job_and_its_session(world):
    session = world.session()
    held = world.hold(session)
    assert JobKey(1) in world.leases
    assert world.leases.get(JobKey(1)) is held is session.leases[JobKey(1)]
    assert held.expires_at == 10.0
    world.leases.drop(held)
    assert JobKey(1) not in world.leases
    assert session.leases == {}


def test_dropping_a_settling_lease_frees_its_count(world):
    session = world.session()
    held = world.hold(session)
    world.leases.settle(held)
    assert session.settling == 1
    world.leases.drop(held)
    world.leases.drop(held)
    assert session.settling == 0


def test_of_a_lost_worker_only_the_jobs_in_its_slots_are_suspects(world):
    session = world.session(slots=1)
    held = [world.hold(session) for _ in range(3)]
    found = world.leases.give_back(session, held, RequeueReason.WORKER_LOST)
    assert found == [
        effects.CountAttempt(JobKey(1), 1, AttemptCause.WORKER_LOST, "w1", is_certain=False),
        effects.Requeued("w1", (JobKey(1), JobKey(2), JobKey(3)), RequeueReason.WORKER_LOST),
    ]


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
def test_what_is_nobody_s_fault_costs_no_attempt(world, reason):
    session = world.session()
    found = world.leases.give_back(session, [world.hold(session)], reason)
    assert found == [effects.Requeued("w1", (JobKey(1),), reason)]


def test_a_job_whose_attempts_are_spent_is_given_up(world):
    session = world.session()
    world.leases.give_back(session, [world.hold(session)], RequeueReason.LEASE_EXPIRED)
    counted, found = world.leases.give_back(
        session, [world.hold(session)], RequeueReason.LEASE_EXPIRED
    )
    assert counted == effects.CountAttempt(JobKey(1), 2, AttemptCause.LEASE_EXPIRED, "w1")
    assert isinstance(found, effects.Settle)
    assert isinstance(found.finals[0], Failed)
    assert found.finals[0].failure.reason is FailureReason.ATTEMPTS_EXHAUSTED
    assert "2 attempts" in found.finals[0].failure.message
    assert world.backlog.is_withdrawing(JobKey(1))


def test_a_reconnected_process_keeps_what_it_names_and_what_settles(world):
    older = world.session(1)
    named, settling, forgotten = (world.hold(older) for _ in range(3))
    world.leases.settle(settling)
    older.completed = 4
    newer = world.session(2, held=(named.lease,))
    world.leases.move(older, newer, 5.0)
    assert set(newer.leases) == {named.lease.key, settling.lease.key}
    assert set(older.leases) == {forgotten.lease.key}
    assert (older.settling, newer.settling, newer.completed) == (0, 1, 4)
    assert named.session is newer
    assert named.expires_at == 15.0


def test_a_lease_is_reclaimed_only_with_its_epoch(world):
    session = world.session()
    held = world.hold(session, epoch=3)
    assert world.leases.reclaim(session, held.lease, 1.0)
    assert not world.leases.reclaim(session, Lease(held.lease.key, 2), 1.0)
    world.leases.settle(held)
    assert not world.leases.reclaim(session, held.lease, 1.0)


def test_a_job_that_is_ready_again_is_claimed_by_who_still_has_it(world):
    session = world.session()
    assert world.leases.reclaim(session, Lease(JobKey(4), 9), 1.0)
    assert world.leases.get(JobKey(4)).lease == Lease(JobKey(4), 9)
    assert not world.leases.reclaim(world.session(2), Lease(JobKey(4), 9), 1.0)
