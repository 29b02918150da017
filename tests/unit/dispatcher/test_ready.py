from dispatcher.jobs import JobKey, Profile
from dispatcher.ready import Facts, ReadyQueue

OLD, NEW = Facts(Profile.LEGACY_SHA256, 1.0), Facts(Profile.ARGON2ID, 2.0)
ALL = frozenset(Profile)


def queue(*entries: tuple[int, Facts]) -> ReadyQueue:
    made = ReadyQueue()
    for key, facts in entries:
        made.append(JobKey(key), facts)
    return made


def drained(made: ReadyQueue) -> list[int]:
    found = []
    while (taken := made.pop(ALL)) is not None:
        found.append(taken[0])
    return found


def test_the_order_is_that_of_acceptance_across_profiles():
    assert drained(queue((1, OLD), (2, NEW), (3, OLD))) == [1, 2, 3]


def test_a_worker_gets_only_what_it_can_compute():
    made = queue((1, NEW), (2, OLD))
    assert made.pop({Profile.LEGACY_SHA256}) == (2, OLD)
    assert made.pop({Profile.LEGACY_SHA256}) is None
    assert len(made) == 1


def test_what_comes_back_goes_first_in_its_order():
    made = queue((5, OLD), (6, OLD))
    made.insert([(JobKey(1), OLD), (JobKey(3), OLD)])
    assert drained(made) == [1, 3, 5, 6]


def test_gaps_are_skipped():
    made = queue((1, OLD), (2, NEW), (3, OLD))
    assert made.discard(JobKey(1)) == OLD
    assert made.discard(JobKey(1)) is None
    assert JobKey(1) not in made
    assert made.oldest() == 1.0
    assert drained(made) == [2, 3]
    assert made.oldest() is None


def test_a_job_may_leave_a_gap_and_come_back():
    made = queue((1, OLD), (2, OLD))
    made.discard(JobKey(1))
    made.insert([(JobKey(1), OLD)])
    assert drained(made) == [1, 2]
