from guest_worker import values
from guest_worker.room import MAX_WAITING
from guest_worker.session import (
    FLUSH_TIMEOUT,
    GOODBYE_TIMEOUT,
    MAX_UNACKNOWLEDGED,
    WELCOME_TIMEOUT,
    Identity,
    Session,
)
from guest_worker.values import (
    Assignment,
    Busy,
    Cancel,
    Credit,
    Draining,
    Exit,
    Goodbye,
    GoodbyeAck,
    Heartbeat,
    Hello,
    Jobs,
    Lease,
    LeasesRevoked,
    Outcome,
    Reconnect,
    Refusal,
    Release,
    ResultAcks,
    Results,
    Start,
    Welcome,
)

IDENTITY = Identity("w1", "i1", "token", 1, "0.1.0", "sha256:x", (values.LEGACY_SHA256,))
A, B = Lease(1, 1), Lease(2, 1)


def job(lease: Lease, profile: str = values.LEGACY_SHA256) -> Assignment:
    return Assignment(lease, profile, b"secret number")


def done(lease: Lease) -> Outcome:
    return Outcome(lease, "digest:salt", 0.5)


def welcome(*kept: Lease) -> Welcome:
    return Welcome("s1", 2.0, 10.0, kept, False)


def opened(prefetch: int = 1) -> Session:
    session = Session(IDENTITY, prefetch)
    session.connected(0.0, 1.5)
    session.receive(welcome(), 0.0)
    return session


def test_hello_is_first_and_credit_follows_welcome() -> None:
    session = Session(IDENTITY, 1)
    hello = Hello("w1", "i1", "token", 1, "0.1.0", "sha256:x", (), 1.5, (values.LEGACY_SHA256,))
    assert session.connected(0.0, 1.5) == [hello]
    assert not session.is_open
    assert session.receive(welcome(), 0.1) == [Credit(2)]
    assert session.is_open


def test_a_job_starts_and_its_result_makes_room() -> None:
    session = opened()
    assert session.receive(Jobs((job(A),)), 1.0) == [Start((job(A),))]
    assert (session.busy_slots, session.in_progress, session.credit) == (1, 1, 1)
    assert session.finished([done(A)]) == [Results((done(A),)), Credit(1)]
    assert session.held == (A,)
    assert session.receive(ResultAcks((A,)), 1.1) == []
    assert session.held == ()


def test_a_deep_prefetch_gives_credit_in_portions_but_never_lets_a_slot_run_dry() -> None:
    session = opened(prefetch=10)
    leases = [Lease(i, 1) for i in range(11)]
    session.receive(Jobs(tuple(map(job, leases))), 1.0)
    credits = [session.finished([done(lease)])[1:] for lease in leases]
    assert credits == [[]] * 4 + [[Credit(5)]] + [[]] * 4 + [[Credit(5)]] + [[]]


def heavy(lease: Lease) -> Assignment:
    return job(lease)._replace(load=Busy(60.0))


def grown() -> Session:
    """A session of one slot whose light jobs have let its credit grow to all that may wait."""
    session = Session(IDENTITY, None)
    session.connected(0.0, None)
    assert session.receive(welcome(), 0.0) == [Credit(2)]
    for key in range(1000, 1300):
        lease = Lease(key, 1)
        session.receive(Jobs((job(lease),)), 1.0)
        session.finished([Outcome(lease, "digest:salt", 2e-5)])
        session.receive(ResultAcks((lease,)), 1.0)
    assert session.credit > 1 + MAX_WAITING // 2
    return session


def test_the_first_heavy_job_takes_the_credit_back_that_others_would_come_for() -> None:
    session = grown()
    before = session.credit
    outputs = session.receive(Jobs((heavy(A),)), 2.0)
    assert outputs == [Release((), before - 2), Start((heavy(A),))]
    assert session.credit == 1
    assert session.receive(Jobs((heavy(B),)), 2.1) == [Start((heavy(B),))]
    assert session.credit == 0


def test_heavy_jobs_beyond_two_for_each_slot_are_released_and_do_not_come_back() -> None:
    session = grown()
    jobs = [heavy(Lease(key, 1)) for key in range(1, 7)]
    before = session.credit
    assert session.receive(Jobs(tuple(jobs)), 2.0) == [
        Release(tuple(each.lease for each in jobs[2:]), before - 6),
        Start(tuple(jobs[:2])),
    ]
    assert session.credit == 0
    assert session.held == (A, B)
    assert session.tick(2.1) == [Heartbeat((A, B), 1)]
    # One at a time from now on, until light ones are seen.
    assert session.finished([done(A)]) == [Results((done(A),)), Credit(1)]
    again = heavy(Lease(3, 2))
    assert session.receive(Jobs((again,)), 3.0) == [Start((again,))]


def test_what_was_sent_before_credit_was_taken_back_makes_it_negative_for_a_while() -> None:
    session = grown()
    session.receive(Jobs((heavy(A), heavy(B))), 2.0)
    late = [heavy(Lease(key, 1)) for key in range(3, 6)]
    outputs = session.receive(Jobs(tuple(late)), 2.1)
    # The dispatcher's count is three below zero too: this is nothing that it could lease against.
    assert outputs == [Release(tuple(each.lease for each in late), 0), Credit(3)]
    assert session.credit == 0


def test_light_jobs_behind_heavy_ones_are_released() -> None:
    session = grown()
    light = [job(Lease(key, 1)) for key in range(3, 6)]
    outputs = session.receive(Jobs((light[0], heavy(A), *light[1:])), 2.0)
    release, start = outputs
    assert isinstance(release, Release)
    assert release.leases == (light[1].lease, light[2].lease)
    assert start == Start((light[0], heavy(A)))


def test_a_fixed_prefetch_releases_nothing() -> None:
    session = opened(prefetch=9)
    jobs = tuple(heavy(Lease(key, 1)) for key in range(10))
    assert session.receive(Jobs(jobs), 1.0) == [Start(jobs)]


def test_a_newer_lease_that_has_no_place_still_ends_the_older() -> None:
    session = grown()
    session.receive(Jobs((heavy(A), heavy(B), heavy(Lease(3, 1)))), 2.0)
    newer = job(Lease(1, 2))
    cancel, start = session.receive(Jobs((newer,)), 2.1)[:2]
    assert (cancel, start) == (Cancel((A,)), Start((newer,)))
    assert session.held == (B, newer.lease)


def test_a_dispatcher_that_ignores_credit_does_not_earn_more_of_it() -> None:
    session = Session(IDENTITY, None)
    session.connected(0.0, None)
    session.receive(welcome(), 0.0)
    session.receive(Jobs(tuple(heavy(Lease(key, 1)) for key in range(5000))), 1.0)
    assert session.in_progress == 2
    assert session.credit <= 0


def test_a_result_made_while_offline_is_offered_after_welcome() -> None:
    session = opened()
    session.receive(Jobs((job(A), job(B))), 1.0)
    assert session.disconnected() == []
    assert session.finished([done(A)]) == []
    (hello,) = session.connected(2.0, None)
    assert isinstance(hello, Hello)
    assert hello.held == (A, B)
    assert session.receive(welcome(A, B), 2.1) == [Results((done(A),)), Credit(1)]


def test_work_that_the_dispatcher_did_not_keep_is_dropped_and_results_are_not() -> None:
    session = opened()
    session.receive(Jobs((job(A), job(B))), 1.0)
    session.finished([done(A)])
    session.disconnected()
    session.connected(2.0, None)
    assert session.receive(welcome(), 2.1) == [Cancel((B,)), Results((done(A),)), Credit(2)]
    assert session.finished([done(B)]) == []
    assert session.held == (A,)


def test_revoked_work_is_cancelled_and_its_room_is_granted_again() -> None:
    session = opened()
    session.receive(Jobs((job(A),)), 1.0)
    assert session.receive(LeasesRevoked((A,)), 1.1) == [Cancel((A,)), Credit(1)]


def test_a_newer_lease_of_the_same_job_replaces_the_older() -> None:
    session = opened()
    session.receive(Jobs((job(A),)), 1.0)
    newer = Lease(1, 2)
    assert session.receive(Jobs((job(newer),)), 1.1)[:2] == [Cancel((A,)), Start((job(newer),))]
    assert Start((job(A),)) not in session.receive(Jobs((job(A),)), 1.2)


def test_a_repeated_lease_is_not_hashed_twice() -> None:
    session = opened()
    session.receive(Jobs((job(A),)), 1.0)
    assert Start((job(A),)) not in session.receive(Jobs((job(A),)), 1.1)
    session.finished([done(A)])
    assert session.receive(Jobs((job(A),)), 1.2)[0] == Results((done(A),))


def test_a_profile_it_cannot_compute_is_refused_for_good() -> None:
    session = opened()
    outputs = session.receive(Jobs((job(A, values.ARGON2ID),)), 1.0)
    message = "profile 'argon2id' is not computed by this worker"
    assert outputs == [Results((Outcome(A, Refusal(False, message), 0.0),)), Credit(1)]
    assert session.held == (A,)


def test_a_drain_stops_credit_until_it_is_cancelled() -> None:
    session = opened()
    session.receive(Jobs((job(A),)), 1.0)
    assert session.receive(values.Drain(), 1.1) == []
    assert session.finished([done(A)]) == [Results((done(A),))]
    assert session.receive(values.DrainCancelled(), 1.2) == [Credit(1)]


def test_a_dispatcher_that_cannot_store_gets_no_more_credit() -> None:
    session = opened(prefetch=9)
    leases = [Lease(i, 1) for i in range(MAX_UNACKNOWLEDGED)]
    outputs: list[values.Output] = []
    for lease in leases:
        session.receive(Jobs((job(lease),)), 0.0)
        outputs = session.finished([done(lease)])
    assert session.credit < 10
    assert [type(output) for output in outputs] == [Results]
    assert [type(o) for o in session.receive(ResultAcks(tuple(leases)), 1.0)] == [Credit]


def test_heartbeats_come_at_the_interval_and_name_what_is_held() -> None:
    session = opened()
    session.receive(Jobs((job(A),)), 1.0)
    assert session.wake_at == 2.0
    assert session.tick(1.9) == []
    assert session.tick(2.0) == [Heartbeat((A,), 1)]
    assert session.wake_at == 4.0
    assert session.tick(100.0) == [Heartbeat((A,), 1)]
    assert session.wake_at == 102.0


def test_a_dispatcher_that_does_not_welcome_is_left() -> None:
    session = Session(IDENTITY, 1)
    session.connected(5.0, None)
    assert session.wake_at == 5.0 + WELCOME_TIMEOUT
    (output,) = session.tick(5.0 + WELCOME_TIMEOUT)
    assert isinstance(output, Reconnect)


def test_messages_before_welcome_are_ignored() -> None:
    session = Session(IDENTITY, 1)
    session.connected(0.0, None)
    assert session.receive(Jobs((job(A),)), 0.1) == []
    assert session.held == ()


def test_leaving_idle_says_goodbye_at_once_and_ends_at_its_acknowledgement() -> None:
    session = opened()
    assert session.leave("SIGTERM", 1.0) == [Draining("SIGTERM"), Goodbye("SIGTERM")]
    assert session.leave("SIGTERM", 1.1) == []
    assert session.receive(GoodbyeAck(), 1.2) == [Exit(True)]


def test_leaving_waits_for_acknowledgements_and_gives_unfinished_work_back() -> None:
    session = opened()
    session.receive(Jobs((job(A), job(B))), 1.0)
    session.finished([done(A)])
    assert session.leave("bye", 2.0) == [Draining("bye"), Cancel((B,))]
    assert session.receive(ResultAcks((A,)), 2.1) == [Goodbye("bye")]
    assert session.wake_at == 2.0  # the heartbeat goes on
    assert session.tick(2.1 + GOODBYE_TIMEOUT)[-1] == Exit(False)


def test_leaving_does_not_wait_for_ever_for_an_acknowledgement() -> None:
    session = opened()
    session.receive(Jobs((job(A),)), 1.0)
    session.finished([done(A)])
    session.leave("bye", 1.5)
    assert session.tick(1.5 + FLUSH_TIMEOUT)[-1] == Goodbye("bye")


def test_leaving_offline_ends_at_once_unless_results_are_owed() -> None:
    assert Session(IDENTITY, 1).leave("bye", 1.0) == [Exit(False)]
    session = opened()
    session.receive(Jobs((job(A),)), 1.0)
    session.finished([done(A)])
    session.disconnected()
    assert session.leave("bye", 2.0) == []
    session.connected(2.1, None)
    assert session.receive(welcome(A), 2.2) == [Results((done(A),)), Draining("bye")]
    assert session.receive(ResultAcks((A,)), 2.3) == [Goodbye("bye")]


def test_jobs_that_arrive_while_leaving_are_not_begun() -> None:
    session = opened()
    session.receive(Jobs((job(A),)), 1.0)
    session.finished([done(A)])
    session.leave("bye", 1.5)
    assert session.receive(Jobs((job(B),)), 1.6) == []


def test_no_value_shows_a_number_or_a_token() -> None:
    shown = repr([job(A), done(A), IDENTITY, Session(IDENTITY, 1).connected(0.0, None)])
    for secret in ("secret number", "digest:salt", "token'"):
        assert secret not in shown


def test_at_a_dispatcher_with_another_store_nothing_held_is_of_use() -> None:
    session = opened()
    session.disconnected()
    session.connected(1.0, None)
    session.receive(welcome()._replace(store_id="one"), 1.0)
    session.receive(Jobs((job(A), job(B))), 1.0)
    session.finished([done(A)])
    session.disconnected()
    (hello,) = session.connected(2.0, None)
    assert isinstance(hello, Hello)
    assert hello.store_id == "one"
    other = welcome()._replace(store_id="other")
    assert session.receive(other, 2.1) == [Cancel((B,)), Credit(2)]
    assert session.held == ()
