import tracemalloc

from dispatcher.jobs import JobKey, Profile
from dispatcher.ready import Facts, ReadyQueue, Run, runs_of

OLD, NEW = Facts(Profile.LEGACY_SHA256, 1.0), Facts(Profile.ARGON2ID, 2.0)
ALL = frozenset(Profile)


def queue(*entries: tuple[int, Facts]) -> ReadyQueue:
    made = ReadyQueue()
    for key, facts in entries:
        made.append(JobKey(key), facts)
    return made


def drained(made: ReadyQueue) -> list[int]:
    found = []
    while (taken := made.take(ALL, 1)) is not None:
        found.append(taken.first)
    return found


def test_the_order_is_that_of_acceptance_across_profiles():
    assert drained(queue((1, OLD), (2, NEW), (3, OLD))) == [1, 2, 3]


def test_a_worker_gets_only_what_it_can_compute():
    made = queue((1, NEW), (2, OLD))
    assert made.take({Profile.LEGACY_SHA256}, 9) == (2, 1, OLD)
    assert made.take({Profile.LEGACY_SHA256}, 9) is None
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


def test_a_run_is_taken_whole_up_to_what_is_asked_for():
    made = ReadyQueue()
    made.extend([Run(JobKey(1), 1000, OLD)])
    assert made.take(ALL, 10) == (1, 10, OLD)
    assert made.take(ALL, 5000) == (11, 990, OLD)
    assert made.take(ALL, 1) is None


def test_a_run_ends_at_a_gap_at_another_profile_and_at_another_acceptance():
    made = ReadyQueue()
    made.extend([Run(JobKey(1), 4, OLD), Run(JobKey(5), 1, NEW), Run(JobKey(6), 2, OLD)])
    made.append(JobKey(8), Facts(Profile.LEGACY_SHA256, 9.0))
    made.discard(JobKey(3))
    runs = []
    while (run := made.take(ALL, 100)) is not None:
        runs.append((run.first, run.size))
    assert runs == [(1, 2), (4, 1), (5, 1), (6, 2), (8, 1)]


def test_a_batch_of_one_profile_is_one_run():
    legacy, argon = Profile.LEGACY_SHA256, Profile.ARGON2ID
    assert runs_of(JobKey(7), [legacy] * 3, 1.0) == [Run(JobKey(7), 3, OLD)]
    mixed = runs_of(JobKey(7), [legacy, legacy, argon, legacy], 1.0)
    assert [(run.first, run.size, run.facts.profile) for run in mixed] == [
        (7, 2, legacy),
        (9, 1, argon),
        (10, 1, legacy),
    ]


def test_a_million_lone_jobs_take_24_bytes_each_and_none_waits_for_the_others():
    made = ReadyQueue()
    tracemalloc.start()
    for key in range(1, 200_001):
        made.append(JobKey(2 * key), OLD)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 200_000 * 30
    assert JobKey(400_000) in made
    assert JobKey(399_999) not in made
    assert drained(made) == list(range(2, 400_001, 2))
    assert made.oldest() is None
