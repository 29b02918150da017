"""Scenarios: what is done at which time, and the whole list of effects."""

import pytest

from dispatcher.backlog import Unfinished
from dispatcher.effects import (
    Acknowledge,
    AskDrain,
    ConfirmGoodbye,
    CountAttempt,
    DrainEnded,
    DrainOutcome,
    Effect,
    EndReason,
    EndSession,
    Grant,
    LiftDrain,
    Requeued,
    RequeueReason,
    Revoke,
    SessionClosed,
    Settle,
    Welcome,
)
from dispatcher.jobs import (
    AttemptCause,
    Cancelled,
    Done,
    Era,
    Failed,
    Hashed,
    JobKey,
    JobState,
    Lease,
    Profile,
    Refused,
)
from dispatcher.leases import Terms
from dispatcher.ledger import Ledger
from dispatcher.sessions import Hello, SessionKey, WorkerState

S1, S2, S3 = SessionKey(1), SessionKey(2), SessionKey(3)
TERMS = Terms(lease_ttl=10.0, reconnect_grace=1.0, max_attempts=2)
LEGACY = Profile.LEGACY_SHA256
LOST = AttemptCause.WORKER_LOST


def hello(worker: str = "w1", *held: Lease, instance: str = "a", slots: int = 1) -> Hello:
    return Hello(worker, instance, slots, frozenset(Profile), held)


def key(number: int) -> JobKey:
    return JobKey(number)


def lease(number: int, epoch: int) -> Lease:
    return Lease(key(number), epoch)


def done(number: int, worker: str = "w1") -> Done:
    return Done(key(number), "h", worker, 0.5)


def hashed(found: Lease) -> Hashed:
    return Hashed(found, "h", 0.5)


def working(jobs: int = 1, *, slots: int = 1, terms: Terms = TERMS) -> Ledger:
    """A ledger whose worker w1 in session 1 holds the jobs 1..n under the epochs 1..n, at 0 s."""
    ledger = Ledger(terms)
    ledger.submit(key(1), [LEGACY] * jobs, 0.0)
    ledger.hello(S1, hello(slots=slots), 0.0)
    ledger.credit(S1, jobs, 0.0)
    granted = ledger.lease(0.0)
    assert granted == [Grant(S1, tuple(lease(n, n) for n in range(1, jobs + 1)), ((0.0, jobs),))]
    return ledger


def test_a_result_is_acknowledged_when_it_is_on_disk():
    ledger = working()
    assert ledger.complete(S1, [hashed(lease(1, 1))], 1.0) == [Settle((done(1),))]
    assert (ledger.counts.leased, ledger.counts.done) == (1, 0)
    assert ledger.settled([(key(1), JobState.DONE)]) == [Acknowledge(S1, (lease(1, 1),))]
    assert (ledger.counts.leased, ledger.counts.done) == (0, 1)


def test_a_second_result_is_acknowledged_and_dropped():
    ledger = working()
    ledger.complete(S1, [hashed(lease(1, 1))], 1.0)
    again: list[Effect] = [Acknowledge(S1, (lease(1, 1),))]
    assert ledger.complete(S1, [hashed(lease(1, 1))], 1.0) == [], "it is not on disk yet"
    assert ledger.settled([(key(1), JobState.DONE)]) == again
    assert ledger.complete(S1, [hashed(lease(1, 1))], 1.0) == again


def test_nothing_is_leased_beyond_credit_or_into_a_cordon():
    ledger = Ledger(TERMS)
    ledger.submit(key(1), [LEGACY] * 3, 0.0)
    ledger.hello(S1, hello(slots=8), 0.0)
    assert ledger.lease(0.0) == []
    ledger.cordon("w1", "test", None)
    ledger.credit(S1, 2, 0.0)
    assert ledger.lease(0.0) == []
    ledger.uncordon("w1")
    assert [len(grant.leases) for grant in ledger.lease(0.0)] == [2]  # type: ignore[union-attr]


def test_free_slots_come_before_queues_inside_workers():
    ledger = Ledger(TERMS)
    ledger.hello(S1, hello("w1", slots=1), 0.0)
    ledger.hello(S2, hello("w2", slots=2), 0.0)
    ledger.credit(S1, 9, 0.0)
    ledger.credit(S2, 9, 0.0)
    ledger.submit(key(1), [LEGACY] * 3, 0.0)
    granted = {grant.session: len(grant.leases) for grant in ledger.lease(0.0)}  # type: ignore[union-attr]
    assert granted == {S1: 1, S2: 2}


def test_a_stream_s_end_is_no_loss_until_the_grace_is_over():
    ledger = working()
    assert ledger.parted(S1, 5.0) == []
    assert ledger.next_deadline() == 6.0
    assert ledger.expire(6.0) == [
        CountAttempt(key(1), 1, LOST, "w1"),
        Requeued("w1", (key(1),), RequeueReason.WORKER_LOST),
        SessionClosed(S1, "w1"),
    ]


def test_without_grace_a_stream_s_end_is_a_loss_at_once():
    ledger = working(terms=Terms(reconnect_grace=0.0))
    assert Requeued("w1", (key(1),), RequeueReason.WORKER_LOST) in ledger.parted(S1, 5.0)


def test_a_worker_that_returns_in_time_keeps_what_it_names():
    ledger = working(2)
    ledger.parted(S1, 5.0)
    assert ledger.hello(S2, hello("w1", lease(1, 1)), 5.5) == [
        Requeued("w1", (key(2),), RequeueReason.NOT_RECEIVED),
        SessionClosed(S1, "w1"),
        Welcome(S2, (lease(1, 1),), False),
    ]
    assert ledger.complete(S2, [hashed(lease(1, 1))], 6.0) == [Settle((done(1),))]


def test_a_worker_that_returns_late_takes_its_job_back_if_nobody_has_it():
    ledger = working()
    ledger.parted(S1, 0.0)
    ledger.expire(1.0)
    assert ledger.hello(S2, hello("w1", lease(1, 1)), 2.0) == [Welcome(S2, (lease(1, 1),), False)]
    assert ledger.counts.ready == 0
    ledger.parted(S2, 3.0)
    ledger.expire(4.0)
    assert ledger.hello(S3, hello("w1", lease(1, 999)), 5.0) == [Welcome(S3, (), False)]


def test_another_process_fences_the_older_one_at_no_attempt():
    ledger = working()
    assert ledger.hello(S2, hello(instance="b"), 1.0) == [
        EndSession(S1, EndReason.FENCED),
        Requeued("w1", (key(1),), RequeueReason.FENCED),
        SessionClosed(S1, "w1"),
        Welcome(S2, (), False),
    ]
    assert ledger.complete(S1, [hashed(lease(1, 1))], 1.0) == []


def test_a_late_result_of_an_unfinished_job_counts_and_revokes_the_newer_lease():
    ledger = working()
    ledger.hello(S2, hello("w2"), 0.0)
    ledger.credit(S2, 1, 0.0)
    ledger.hello(S3, hello(instance="b"), 1.0)
    assert ledger.lease(1.0) == [Grant(S2, (lease(1, 2),), ())]
    assert ledger.complete(S3, [hashed(lease(1, 1))], 2.0) == [
        Revoke(S2, (lease(1, 2),)),
        Settle((done(1),)),
    ]
    assert ledger.complete(S2, [hashed(lease(1, 2))], 2.0) == [Acknowledge(S2, (lease(1, 2),))]


def test_a_process_that_is_replaced_after_a_silence_was_lost():
    found = working().hello(S2, hello(instance="b"), 4.0)
    assert found[:2] == [EndSession(S1, EndReason.FENCED), CountAttempt(key(1), 1, LOST, "w1")]


def test_silence_loses_the_worker():
    ledger = working()
    assert ledger.expire(9.9) == []
    assert ledger.expire(10.0) == [
        EndSession(S1, EndReason.STALLED),
        CountAttempt(key(1), 1, LOST, "w1"),
        Requeued("w1", (key(1),), RequeueReason.WORKER_LOST),
        SessionClosed(S1, "w1"),
    ]


def test_a_cordoned_worker_with_empty_hands_may_stand_still():
    ledger = Ledger(TERMS)
    ledger.hello(S1, hello(), 0.0)
    ledger.cordon("w1", "standby", 0)
    for moment in range(10, 3600, 5):
        assert ledger.expire(float(moment)) == []
    # Woken at the worst moment it still has half a lease time to be heard of.
    ledger.uncordon("w1")
    assert ledger.expire(3599.0) == []
    assert EndSession(S1, EndReason.STALLED) in ledger.expire(3610.0)


def test_a_cordoned_worker_that_holds_leases_may_not():
    ledger = working()
    ledger.cordon("w1", "standby", None)
    assert EndSession(S1, EndReason.STALLED) in ledger.expire(10.0)


def test_a_heartbeat_renews_what_it_names_and_nothing_else():
    ledger = working(2)
    assert ledger.renew(S1, [lease(1, 1), lease(7, 7)], 1, 6.0) == [Revoke(S1, (lease(7, 7),))]
    assert ledger.expire(10.0) == [
        Revoke(S1, (lease(2, 2),)),
        CountAttempt(key(2), 1, AttemptCause.LEASE_EXPIRED, "w1"),
        Requeued("w1", (key(2),), RequeueReason.LEASE_EXPIRED),
    ]
    assert ledger.next_deadline() == 16.0


def test_only_jobs_that_had_a_slot_are_suspects():
    ledger = working(3, slots=1)
    ledger.parted(S1, 0.0)
    found = ledger.expire(1.0)
    assert [effect for effect in found if isinstance(effect, CountAttempt)] == [
        CountAttempt(key(1), 1, LOST, "w1", is_certain=False)
    ]


def test_a_job_that_costs_too_many_workers_is_given_up():
    ledger = working()
    ledger.hello(S2, hello(instance="b"), 5.0)
    ledger.credit(S2, 1, 5.0)
    ledger.lease(5.0)
    _, counted, settle, *_ = ledger.hello(S3, hello(instance="c"), 10.0)
    assert counted == CountAttempt(key(1), 2, LOST, "w1")
    assert isinstance(settle, Settle)
    assert isinstance(settle.finals[0], Failed)
    assert ledger.counts.leased == 1
    assert ledger.settled([(key(1), JobState.FAILED)]) == []
    assert (ledger.counts.failed, ledger.counts.is_balanced()) == (1, True)


def lose(ledger: Ledger, session: SessionKey, now: float) -> list[Effect]:
    return ledger.parted(session, now) + ledger.expire(now + 1.0)


def test_two_suspects_are_leased_alone_until_one_is_found_guilty():
    ledger = working(2, slots=2)
    lose(ledger, S1, 0.0)
    ledger.hello(S2, hello("w2", slots=2), 2.0)
    ledger.hello(S3, hello("w3", slots=2), 2.0)
    ledger.credit(S2, 4, 2.0)
    ledger.credit(S3, 4, 2.0)
    ledger.submit(key(3), [LEGACY], 2.0)
    # Each of the suspects alone; the new job waits for a worker without one.
    granted = ledger.lease(2.0)
    assert granted == [
        Grant(S2, (lease(1, 3),), ()),
        Grant(S3, (lease(3, 4),), ((2.0, 1),)),
    ]
    lost = lose(ledger, S2, 3.0)
    assert lost[0] == CountAttempt(key(1), 2, LOST, "w2")
    assert isinstance(lost[1], Settle)
    # With empty hands the other takes the second suspect, and nothing beside it.
    ledger.complete(S3, [hashed(lease(3, 4))], 4.0)
    ledger.submit(key(4), [LEGACY], 4.0)
    assert ledger.lease(4.0) == [Grant(S3, (lease(2, 5),), ())]
    assert ledger.lease(4.0) == []
    assert ledger.complete(S3, [hashed(lease(2, 5))], 5.0) == [Settle((done(2, "w3"),))]
    assert ledger.lease(5.0) == [Grant(S3, (lease(4, 6),), ((4.0, 1),))]


def test_a_suspect_can_be_cancelled_and_counts_as_ready():
    ledger = working(2, slots=2)
    lose(ledger, S1, 0.0)
    assert (ledger.counts.ready, ledger.oldest_ready()) == (2, 0.0)
    assert ledger.is_unfinished(key(1))
    assert ledger.cancel([key(1), key(2)]) == [Settle((Cancelled(key(1)), Cancelled(key(2))))]


def test_a_suspect_that_is_drained_stays_a_suspect():
    ledger = working(2, slots=2)
    lose(ledger, S1, 0.0)
    ledger.hello(S2, hello("w2", slots=2), 2.0)
    ledger.credit(S2, 4, 2.0)
    assert ledger.lease(2.0) == [Grant(S2, (lease(1, 3),), ())]
    ledger.goodbye(S2)
    ledger.hello(S3, hello("w3", slots=2), 3.0)
    ledger.credit(S3, 4, 3.0)
    assert ledger.lease(3.0) == [Grant(S3, (lease(2, 4),), ())]


def test_a_suspect_stays_alone_over_a_reconnect():
    ledger = working(2, slots=2)
    lose(ledger, S1, 0.0)
    ledger.hello(S2, hello("w2", slots=2), 2.0)
    ledger.credit(S2, 4, 2.0)
    ledger.lease(2.0)
    ledger.submit(key(3), [LEGACY], 2.0)
    ledger.hello(S3, hello("w2", lease(1, 3), slots=2), 3.0)
    ledger.credit(S3, 4, 3.0)
    assert ledger.lease(3.0) == []


def test_a_settling_job_survives_its_worker():
    ledger = working()
    ledger.complete(S1, [hashed(lease(1, 1))], 1.0)
    assert ledger.goodbye(S1) == [ConfirmGoodbye(S1), SessionClosed(S1, "w1")]
    assert ledger.lease(1.0) == []
    assert ledger.settled([(key(1), JobState.DONE)]) == []
    assert ledger.counts.done == 1


def test_a_goodbye_costs_no_attempt():
    assert working().goodbye(S1) == [
        ConfirmGoodbye(S1),
        Requeued("w1", (key(1),), RequeueReason.WORKER_LEFT),
        SessionClosed(S1, "w1"),
    ]


def test_a_release_gives_jobs_back_at_no_attempt_and_their_credit_is_spent():
    ledger = working(3, slots=1)
    ledger.credit(S1, 3, 0.0)
    found = ledger.release(S1, [lease(2, 2), lease(3, 3), lease(3, 3)], 3, 1.0)
    assert found == [Requeued("w1", (key(2), key(3)), RequeueReason.RELEASED)]
    assert (ledger.counts.ready, ledger.counts.leased) == (2, 1)
    assert ledger.lease(1.0) == [], "the credit was taken back"
    ledger.hello(S2, hello("w2"), 1.0)
    ledger.credit(S2, 1, 1.0)
    assert ledger.lease(1.0) == [Grant(S2, (lease(2, 4),), ())]
    assert ledger.attempts(key(2)) == 0


def test_released_jobs_come_before_all_others():
    ledger = working(2, slots=1)
    ledger.submit(key(3), [LEGACY], 1.0)
    ledger.release(S1, [lease(2, 2)], 0, 1.0)
    ledger.hello(S2, hello("w2"), 1.0)
    ledger.credit(S2, 1, 1.0)
    assert ledger.lease(1.0) == [Grant(S2, (lease(2, 3),), ())]


def test_a_release_of_what_is_not_held_changes_nothing():
    ledger = working(2, slots=1)
    ledger.hello(S2, hello("w2"), 1.0)
    for session, released in (
        (S1, lease(1, 7)),  # of another epoch
        (S1, lease(9, 9)),  # of no job
        (S2, lease(1, 1)),  # another worker's
        (S3, lease(1, 1)),  # of no session
    ):
        assert ledger.release(session, [released], 0, 1.0) == []
    ledger.complete(S1, [Hashed(lease(1, 1), "h", 0.1)], 1.0)
    assert ledger.release(S1, [lease(1, 1)], 0, 1.0) == [], "it settles"
    assert ledger.counts.leased == 2


def test_credit_that_was_taken_back_too_late_counts_against_the_next():
    ledger = working(2, slots=1)
    assert ledger.release(S1, [lease(2, 2)], 3, 1.0) != []
    ledger.credit(S1, 3, 1.0)
    assert ledger.lease(1.0) == []
    ledger.credit(S1, 1, 1.0)
    assert ledger.lease(1.0) == [Grant(S1, (lease(2, 3),), ())]


def test_a_release_of_the_last_lease_ends_a_drain():
    ledger = working()
    ledger.drain("w1", "test", 30.0)
    assert ledger.release(S1, [lease(1, 1)], 0, 1.0) == [
        Requeued("w1", (key(1),), RequeueReason.RELEASED),
        DrainEnded("w1", DrainOutcome.DRAINED, 0),
    ]


@pytest.mark.parametrize(
    ("is_retryable", "first"),
    [
        (
            True,
            [
                CountAttempt(key(1), 1, AttemptCause.WORKER_REFUSED, "w1", message="no"),
                Requeued("w1", (key(1),), RequeueReason.WORKER_REFUSED),
                Acknowledge(S1, (lease(1, 1),)),
            ],
        ),
        (False, None),
    ],
)
def test_a_refusal_is_retried_or_final(is_retryable: bool, first: list[Effect] | None):
    found = working().complete(S1, [Refused(lease(1, 1), is_retryable, "no")], 1.0)
    if first is not None:
        assert found == first
    else:
        (settle,) = found
        assert isinstance(settle, Settle)
        assert isinstance(settle.finals[0], Failed)
        assert settle.finals[0].failure.message == "no"


def test_a_drain_ends_when_the_last_result_is_on_disk():
    ledger = working()
    assert ledger.drain("w1", "test", 60.0) == [AskDrain(S1, 60.0)]
    assert ledger.workers(1.0)[0].state is WorkerState.DRAINING
    ledger.complete(S1, [hashed(lease(1, 1))], 1.0)
    assert ledger.settled([(key(1), JobState.DONE)]) == [
        Acknowledge(S1, (lease(1, 1),)),
        DrainEnded("w1", DrainOutcome.DRAINED, 0),
    ]
    assert ledger.workers(1.0)[0].state is WorkerState.CORDONED


def test_a_drain_s_deadline_takes_the_rest_back():
    ledger = working(2)
    ledger.drain("w1", "test", 5.0)
    ledger.complete(S1, [hashed(lease(1, 1))], 4.0)
    assert ledger.next_deadline() == 5.0
    assert ledger.expire(5.0) == [
        Revoke(S1, (lease(2, 2),)),
        Requeued("w1", (key(2),), RequeueReason.DRAIN_DEADLINE),
    ]
    # The other result is on its way to the disk: the drain waits for it.
    assert ledger.settled([(key(1), JobState.DONE)])[1:] == [
        DrainEnded("w1", DrainOutcome.DEADLINE, 1)
    ]


def test_a_drain_ends_in_three_other_ways():
    ledger = working()
    ledger.drain("w1", "test", 5.0)
    assert ledger.uncordon("w1") == [LiftDrain(S1), DrainEnded("w1", DrainOutcome.CANCELLED, 0)]
    ledger.drain("w1", "test", 5.0)
    assert ledger.hello(S2, hello("w1", lease(1, 1)), 1.0)[-1] == AskDrain(S2, 5.0)
    ledger.parted(S2, 1.0)
    assert ledger.expire(2.0)[-1] == DrainEnded("w1", DrainOutcome.LOST, 0)
    assert ledger.drain("w9", "test", 5.0) == [DrainEnded("w9", DrainOutcome.LOST, 0)]


def test_a_cordon_is_refused_above_its_limit():
    ledger = working(2)
    answer = ledger.cordon("w1", "test", 1)
    assert (answer.is_granted, answer.leases) == (False, 2)
    assert not ledger.is_cordoned("w1")
    assert ledger.cordon("w1", "test", 2).is_granted


def test_a_cordoned_worker_stays_listed_when_it_is_gone():
    ledger = working()
    ledger.cordon("w1", "test", None)
    ledger.goodbye(S1)
    assert [(each.worker_id, each.state) for each in ledger.workers(1.0)] == [
        ("w1", WorkerState.DISCONNECTED)
    ]
    assert ledger.hello(S2, hello(), 2.0) == [Welcome(S2, (), True)]


def test_cancelling_revokes_and_counts_when_on_disk():
    ledger = working()
    ledger.submit(key(2), [LEGACY], 0.0)
    assert ledger.cancel([key(1), key(2), key(3)]) == [
        Revoke(S1, (lease(1, 1),)),
        Settle((Cancelled(key(1)), Cancelled(key(2)))),
    ]
    assert ledger.cancel([key(1), key(2)]) == []
    assert (ledger.counts.leased, ledger.counts.ready) == (1, 1)
    ledger.settled([(key(1), JobState.CANCELLED), (key(2), JobState.CANCELLED)])
    assert (ledger.counts.cancelled, ledger.counts.is_balanced()) == (2, True)


def restarted(*absent: str) -> Ledger:
    return Ledger(
        TERMS,
        first_epoch=5 << 32,
        unfinished=[Unfinished(key(1), LEGACY, 0.0, 0)],
        absent=absent,
        absent_until=5.0,
    )


def test_after_a_restart_older_jobs_wait_for_absent_workers():
    ledger = restarted("w1", "w2")
    ledger.hello(S1, hello("w1"), 1.0)
    ledger.credit(S1, 2, 1.0)
    assert ledger.lease(1.0) == []
    ledger.submit(key(2), [LEGACY], 1.0)
    assert ledger.lease(1.0) == [Grant(S1, (lease(2, 5 << 32),), ((1.0, 1),))]
    assert ledger.hello(S2, hello("w2", lease(1, 77)), 2.0) == [Welcome(S2, (lease(1, 77),), False)]


def test_after_a_restart_the_wait_ends():
    ledger = restarted("w1", "w2")
    ledger.hello(S1, hello("w1"), 1.0)
    ledger.credit(S1, 2, 1.0)
    assert ledger.next_deadline() == 5.0
    ledger.expire(5.0)
    assert ledger.lease(5.0) == [Grant(S1, (lease(1, 5 << 32),), ())]


def test_after_a_restart_nobody_waits_for_nobody():
    ledger = restarted()
    ledger.hello(S1, hello("w1"), 0.0)
    ledger.credit(S1, 2, 0.0)
    assert ledger.lease(0.0) == [Grant(S1, (lease(1, 5 << 32),), ((0.0, 1),))]


def test_after_a_restart_what_a_worker_names_is_no_first_lease_and_the_rest_is():
    unfinished = [Unfinished(key(1), LEGACY, 3.0, 0, 4)]
    ledger = Ledger(TERMS, first_epoch=9, unfinished=unfinished, absent=["w1"], absent_until=5.0)
    ledger.hello(S1, hello("w1", lease(2, 4)), 1.0)
    ledger.credit(S1, 9, 1.0)
    (grant,) = ledger.lease(1.0)
    assert isinstance(grant, Grant)
    assert [each.key for each in grant.leases] == [1, 3, 4]
    assert sum(jobs for _, jobs in grant.first_accepted) == 3
    assert {at for at, _ in grant.first_accepted} == {3.0}


def test_a_lease_from_before_a_restored_backup_is_not_one_of_the_job_that_has_its_key_now():
    ledger = Ledger(
        TERMS,
        first_epoch=9 << 32,
        unfinished=[Unfinished(key(1), LEGACY, 0.0, 0), Unfinished(key(2), LEGACY, 0.0, 0)],
        absent=["w1"],
        former=[Era("aaaaaaaa", 1, 0, 9)],
    )
    old, known = lease(2, 5), lease(1, 4)
    welcome = ledger.hello(S1, hello("w1", old, known), 0.0)
    assert welcome == [Welcome(S1, (known,), False)]
    assert ledger.complete(S1, [hashed(old)], 1.0) == [Acknowledge(S1, (old,))]
    assert ledger.complete(S1, [hashed(known)], 1.0) == [Settle((done(1),))]
    ledger.credit(S1, 1, 1.0)
    assert ledger.lease(1.0) == [Grant(S1, (lease(2, 9 << 32),), ((0.0, 1),))]


def leased_ledger(jobs: int = 2) -> Ledger:
    ledger = Ledger(TERMS)
    ledger.hello(S1, hello(slots=2), 0.0)
    ledger.credit(S1, jobs, 0.0)
    ledger.submit(key(1), [LEGACY] * jobs, 0.0)
    ledger.lease(0.0)
    return ledger


def test_a_drain_is_lost_when_another_process_takes_the_workers_place():
    """Drained would be a lie: what the older process held runs again elsewhere."""
    ledger = leased_ledger()
    ledger.drain("w1", "scale in", 60.0)
    found = ledger.hello(S2, hello(instance="b"), 1.0)
    assert DrainEnded("w1", DrainOutcome.LOST, 0) in found
    assert not any(isinstance(each, AskDrain) for each in found)
    assert ledger.is_cordoned("w1")


def test_a_drain_whose_leases_lapsed_says_how_many():
    ledger = leased_ledger()
    ledger.drain("w1", "scale in", 60.0)
    ledger.renew(S1, [], 0, 9.0)
    found = ledger.expire(10.0)
    assert DrainEnded("w1", DrainOutcome.DEADLINE, 2) in found


def test_a_cordoned_worker_gets_back_nothing_that_was_taken_from_it():
    ledger = leased_ledger()
    (held, other) = lease(1, 1), lease(2, 2)
    ledger.drain("w1", "scale in", 5.0)
    assert DrainEnded("w1", DrainOutcome.DEADLINE, 2) in ledger.expire(5.0)
    ledger.parted(S1, 5.1)
    found = ledger.hello(S2, hello("w1", held, other, slots=2), 5.2)
    assert Welcome(S2, (), True) in found
    assert ledger.workers(5.2)[0].leases == 0


def test_a_cordon_with_a_limit_is_refused_while_a_workers_leases_are_unknown():
    """After a restart the worker may still run jobs that only it can name."""
    unfinished = [Unfinished(key(1), LEGACY, 0.0, 0)]
    ledger = Ledger(TERMS, first_epoch=9, unfinished=unfinished, absent=["w1"], absent_until=5.0)
    assert not ledger.cordon("w1", "idle?", 0).is_granted
    assert not ledger.is_cordoned("w1")
    assert ledger.cordon("w2", "never seen", 0).is_granted
    ledger.hello(S1, hello("w1", lease(1, 3)), 1.0)
    assert ledger.cordon("w1", "idle?", 0).leases == 1
