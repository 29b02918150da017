import pytest

from dispatcher.backlog import Backlog, Unfinished
from dispatcher.jobs import Counts, JobKey, JobState, Profile

ALL = frozenset(Profile)
LEGACY = Profile.LEGACY_SHA256


def filled(jobs: int = 3) -> Backlog:
    backlog = Backlog()
    backlog.submit(JobKey(1), [LEGACY] * jobs, 100.0)
    return backlog


def keys_of(backlog: Backlog) -> list[int]:
    keys = []
    while (taken := backlog.take(ALL)) is not None:
        keys += range(taken.key, taken.key + taken.size)
    return keys


def test_jobs_are_taken_in_the_order_of_their_acceptance():
    assert keys_of(filled()) == [1, 2, 3]


def test_what_came_back_goes_first_and_is_no_first_lease():
    backlog = filled()
    taken = backlog.take(ALL)
    assert taken is not None
    assert taken.first_leases == taken.size == 1
    backlog.give_back([(taken.key, taken.facts)])
    again = backlog.take(ALL)
    assert again is not None
    assert (again.key, again.first_leases) == (1, 0)


def test_jobs_from_before_a_restart_wait_while_their_workers_may_return():
    backlog = Backlog(
        counts=Counts(accepted=1), recovered=[Unfinished(JobKey(1), LEGACY, 50.0, attempts=2)]
    )
    backlog.is_recovering = True
    assert not backlog.has_leasable
    backlog.submit(JobKey(2), [LEGACY], 100.0)
    taken = backlog.take(ALL)
    assert taken is not None
    assert taken.key == 2
    assert backlog.take(ALL) is None
    backlog.is_recovering = False
    assert keys_of(backlog) == [1]


def recovered(*attempts: int) -> Backlog:
    """Jobs from before a restart, with so many failed attempts each, accepted together."""
    jobs = [Unfinished(JobKey(place), LEGACY, 50.0, n) for place, n in enumerate(attempts, 1)]
    return Backlog(counts=Counts(accepted=len(jobs)), recovered=jobs)


def test_the_first_lease_of_a_job_from_before_a_restart_is_known_as_such():
    for attempts, first in (((0, 0, 0), 3), ((0, 2, 0), 2), ((1, 1, 1), 0)):
        taken = recovered(*attempts).take(ALL, 3)
        assert taken is not None
        assert (taken.size, taken.first_leases, taken.facts.accepted_at) == (3, first, 50.0)


def test_of_workers_that_stayed_away_nobody_knows_what_they_had():
    backlog = recovered(0, 0)
    backlog.give_up_missing_workers()
    backlog.submit(JobKey(3), [LEGACY], 100.0)
    taken = [backlog.take(ALL, 2), backlog.take(ALL, 2)]
    assert [one and one.first_leases for one in taken] == [0, 1]


def test_attempts_from_before_a_restart_count_on():
    backlog = Backlog(
        counts=Counts(accepted=1), recovered=[Unfinished(JobKey(1), LEGACY, 50.0, attempts=2)]
    )
    backlog.take(ALL)
    assert backlog.attempts.count(JobKey(1), is_certain=True) == 3


def test_a_worker_may_claim_the_job_it_has_in_hand():
    backlog = filled()
    facts = backlog.claim(JobKey(2))
    assert facts is not None
    assert facts.accepted_at == 100.0
    assert backlog.claim(JobKey(2)) is None
    assert keys_of(backlog) == [1, 3]


def test_only_jobs_of_the_profiles_asked_for_are_taken():
    backlog = Backlog()
    backlog.submit(JobKey(1), [Profile.ARGON2ID, LEGACY], 1.0)
    taken = backlog.take({LEGACY})
    assert taken is not None
    assert taken.key == 2
    assert backlog.take({LEGACY}) is None
    assert JobKey(1) in backlog


@pytest.mark.parametrize(
    ("state", "field"),
    [
        (JobState.DONE, "done"),
        (JobState.FAILED, "failed"),
        (JobState.CANCELLED, "cancelled"),
    ],
)
def test_the_counts_add_up_at_every_step(state, field):
    backlog = filled(2)

    def check():
        counts = backlog.counts
        parts = counts.ready + counts.leased + counts.done + counts.failed + counts.cancelled
        assert counts.accepted == parts == 2

    taken = backlog.take(ALL)
    check()
    backlog.finish(taken.key, state)
    check()
    assert getattr(backlog.counts, field) == 1
    assert backlog.withdraw_ready(JobKey(2))
    check()
    assert backlog.counts.ready == 1
    backlog.finish(JobKey(2), JobState.CANCELLED)
    check()
    assert backlog.counts.ready == backlog.counts.leased == 0


def test_a_withdrawn_job_is_leased_to_nobody():
    backlog = filled(1)
    assert backlog.withdraw_ready(JobKey(1))
    assert backlog.is_withdrawing(JobKey(1))
    assert not backlog.has_leasable
    assert backlog.take(ALL) is None
    assert not backlog.withdraw_ready(JobKey(1))


def test_the_oldest_ready_job_is_known():
    backlog = filled(1)
    backlog.submit(JobKey(2), [Profile.ARGON2ID], 90.0)
    assert backlog.oldest_ready() == 90.0
    keys_of(backlog)
    assert backlog.oldest_ready() is None
