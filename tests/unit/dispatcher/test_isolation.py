from dispatcher.isolation import Suspects, place
from dispatcher.jobs import JobKey, Lease, Profile
from dispatcher.ready import Facts
from dispatcher.sessions import HeldLease, Hello, Session, SessionKey

LEGACY, ARGON = Profile.LEGACY_SHA256, Profile.ARGON2ID


def session(
    key: int, *, working: int = 0, credit: int = 4, profiles: tuple[Profile, ...] = (LEGACY, ARGON)
) -> Session:
    made = Session(SessionKey(key), Hello(f"w{key}", "a", 2, frozenset(profiles)), 0.0, 0.0)
    made.credit = credit
    for number in range(working):
        lease = Lease(JobKey(1000 * key + number), 1)
        made.leases[lease.key] = HeldLease(lease, Facts(LEGACY, 0.0), 0.0, 9.0, made)
    return made


def suspects(*profiles: Profile) -> Suspects:
    made = Suspects()
    for number, profile in enumerate(profiles, start=1):
        made.append(JobKey(number), Facts(profile, 10.0 - number))
    return made


def test_idle_workers_get_one_each_and_half_of_them_stay_open():
    first, second, third, fourth = (session(key) for key in range(1, 5))
    found = place(suspects(LEGACY, LEGACY, LEGACY), [first, second, third, fourth])
    assert found.alone == [(first, 1), (second, 2)]
    assert found.open == [third, fourth]


def test_the_only_worker_is_kept_free_until_its_hands_are_empty():
    found = place(suspects(LEGACY), [session(1, working=2)])
    assert (found.alone, found.open) == ([], [])


def test_the_emptiest_worker_is_kept_free():
    full, emptier = session(1, working=3), session(2, working=1)
    found = place(suspects(LEGACY), [full, emptier])
    assert (found.alone, found.open) == ([], [full])


def test_a_worker_that_cannot_do_it_stays_open():
    unable, able = session(1, profiles=(LEGACY,)), session(2)
    found = place(suspects(ARGON), [unable, able])
    assert found.alone == [(able, 1)]
    assert found.open == [unable]


def test_an_idle_worker_without_credit_is_not_waited_for():
    silent, able = session(1, credit=0), session(2, working=1)
    found = place(suspects(LEGACY), [silent, able])
    assert (found.alone, found.open) == ([], [silent])


def test_suspects_keep_their_order_and_leave_from_anywhere():
    waiting = suspects(LEGACY, ARGON, LEGACY)
    assert (len(waiting), waiting.oldest()) == (3, 7.0)
    assert waiting.first({ARGON}) == 2
    assert waiting.first({LEGACY}, but={JobKey(1)}) == 3
    assert waiting.discard(JobKey(3)) == Facts(LEGACY, 7.0)
    assert waiting.discard(JobKey(3)) is None
    assert JobKey(3) not in waiting
    assert waiting.oldest() == 8.0
    assert Suspects().oldest() is None
