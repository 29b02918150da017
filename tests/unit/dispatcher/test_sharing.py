from dispatcher.backlog import Backlog
from dispatcher.jobs import JobKey, Profile
from dispatcher.sessions import Hello, Session, SessionKey
from dispatcher.sharing import shares

LEGACY = Profile.LEGACY_SHA256


def worker(key: int, *, slots: int, credit: int, profiles=frozenset(Profile)) -> Session:
    hello = Hello(f"w{key}", "i", slots, profiles)
    return Session(SessionKey(key), hello, 0.0, 0.0, credit=credit)


def shared(sessions: list[Session], profiles: list[Profile]) -> dict[str, list[int]]:
    backlog = Backlog()
    backlog.submit(JobKey(1), profiles, 0.0)
    found = shares(sessions, backlog)
    return {
        share.session.worker_id: [
            key for each in share.taken for key in range(each.key, each.key + each.size)
        ]
        for share in found
    }


def test_slots_everywhere_are_filled_before_any_queue_inside_a_worker():
    sessions = [worker(1, slots=1, credit=5), worker(2, slots=3, credit=5)]
    assert shared(sessions, [LEGACY] * 4) == {"w1": [3], "w2": [1, 2, 4]}


def test_beyond_the_slots_credit_decides():
    sessions = [worker(1, slots=1, credit=2), worker(2, slots=1, credit=2)]
    assert shared(sessions, [LEGACY] * 4) == {"w1": [1, 3], "w2": [2, 4]}


def test_credit_is_a_limit():
    assert shared([worker(1, slots=4, credit=2)], [LEGACY] * 4) == {"w1": [1, 2]}
    assert shared([worker(1, slots=4, credit=0)], [LEGACY]) == {}


def test_a_worker_gets_only_profiles_it_knows():
    sessions = [
        worker(1, slots=4, credit=4, profiles=frozenset({LEGACY})),
        worker(2, slots=1, credit=1),
    ]
    assert shared(sessions, [Profile.ARGON2ID, LEGACY]) == {"w1": [2], "w2": [1]}


def test_without_jobs_nobody_gets_any():
    assert shared([worker(1, slots=4, credit=4)], []) == {}


def test_deep_queues_are_filled_in_portions_and_evenly():
    sessions = [worker(1, slots=1, credit=1000), worker(2, slots=1, credit=1000)]
    found = shared(sessions, [LEGACY] * 600)
    assert sum(map(len, found.values())) == 600
    assert abs(len(found["w1"]) - len(found["w2"])) <= 600 // 16
    assert all(keys == sorted(keys) for keys in found.values())
