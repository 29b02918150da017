from dataclasses import replace

import pytest

from scaler.incidents import Incident
from scaler.pool import ActionKind, DomainState
from scaler.tracking import Fleet, Timing, Track, track

TIMING = Timing(boot_deadline_seconds=60.0, silence_deadline_seconds=40.0, worker_return_seconds=15)


@pytest.fixture
def see():
    def see(record, *workers, memory=None, now=100.0, known_since=0.0):
        tracks = {} if memory is None else {record.name: memory}
        fleet = Fleet({one.worker_id: one for one in workers}, known_since)
        return track(tracks, (record,), fleet, TIMING, now)

    return see


def state(result):
    return result.pool.domains[0].state


@pytest.mark.parametrize("kind", ["shutdown", "destroy"])
def test_a_request_under_way_is_remembered_before_its_metadata_are_seen(make, see, kind):
    memory = Track(DomainState.DRAINING, shutdown_sent_at=99.0, in_flight=ActionKind(kind))
    result = see(make.record("a", "running", "drain"), memory=memory)
    assert result.tracks["a"].shutdown_sent_at == 99.0
    # Refused or lost, it is asked anew at once.
    forgotten = see(make.record("a", "running", "drain"), memory=replace(memory, in_flight=None))
    assert forgotten.tracks["a"].shutdown_sent_at is None


@pytest.mark.parametrize(
    ("lifecycle", "op", "worker_state", "expected"),
    [
        ("off", None, None, "off"),
        ("off", "start", None, "off"),
        ("off", "drain", "disconnected", "off"),
        ("running", "start", None, "booting"),
        ("running", "start", "ready", "ready"),
        ("running", "start", "cordoned", "cordoned"),
        ("running", None, "ready", "ready"),
        ("running", None, "cordoned", "cordoned"),
        ("running", None, "draining", "cordoned"),
        ("running", None, "disconnected", "silent"),
        ("running", None, None, "silent"),
        ("running", "drain", "ready", "draining"),
        ("running", "drain", None, "draining"),
        ("running", "shutdown", "ready", "shutting_down"),
        ("running", "destroy", None, "shutting_down"),
        ("stopping", None, "ready", "shutting_down"),
        ("paused", None, "ready", "paused"),
        ("paused", "drain", "ready", "draining"),
        ("crashed", None, None, "failed"),
        ("crashed", "destroy", None, "shutting_down"),
        ("running", "prepare", None, "preparing"),
        ("running", "prepare", "cordoned", "preparing"),
        ("running", "prepare", "ready", "ready"),
        ("paused", "prepare", "cordoned", "paused"),
        ("off", "prepare", "disconnected", "off"),
        ("running", "suspend", "cordoned", "suspending"),
        ("paused", "suspend", "disconnected", "standby_paused"),
        ("off", "suspend", "disconnected", "off"),
        ("running", "save", "cordoned", "saving"),
        ("paused", "save", "cordoned", "saving"),
        ("off", "save", "disconnected", "off"),
        ("paused", "resume", "disconnected", "standby_paused"),
        ("running", "resume", None, "waking"),
        ("running", "resume", "ready", "ready"),
        ("running", "resume", "cordoned", "cordoned"),
        ("off", "resume", None, "off"),
        ("running", "restore", None, "waking"),
        ("running", "restore", "ready", "ready"),
        ("paused", "restore", None, "waking"),
        ("off", "restore", None, "off"),
    ],
)
def test_derives_the_state_with_no_memory(make, see, lifecycle, op, worker_state, expected):
    workers = [] if worker_state is None else [make.worker("a", worker_state, connected=95.0)]
    result = see(make.record("a", lifecycle, op, since=90.0), *workers)
    assert state(result) is DomainState(expected)
    assert result.incidents == ()


@pytest.mark.parametrize("lifecycle", ["off", "paused"])
def test_a_start_call_under_way_is_neither_off_nor_paused(make, see, lifecycle):
    memory = Track(in_flight=ActionKind.START)
    assert state(see(make.record("a", lifecycle), memory=memory)) is DomainState.STARTING


def test_a_session_from_before_the_start_is_not_this_domains(make, see):
    old = make.worker("a", connected=80.0)
    assert state(see(make.record("a", "running", "start", since=90.0), old)) is DomainState.BOOTING
    skewed = make.worker("a", connected=88.5)
    assert state(see(make.record("a", "running", "start", since=90.0), skewed)) is DomainState.READY


def test_a_boot_fails_at_its_deadline_and_stays_failed(make, see):
    memory = Track(DomainState.BOOTING)
    record = make.record("a", "running", "start", since=0.0)
    assert state(see(record, memory=memory, now=59.9)) is DomainState.BOOTING
    result = see(record, memory=memory, now=60.0)
    assert state(result) is DomainState.FAILED
    assert result.incidents == (("a", Incident.BOOT_FAILED),)
    assert result.tracks["a"].failures == 1
    destroyed = replace(result.tracks["a"], in_flight=ActionKind.DESTROY)
    late = see(record, make.worker("a", connected=60.5), memory=destroyed, now=61.0)
    assert state(late) is DomainState.FAILED
    assert late.incidents == ()


def test_a_failed_domain_that_nobody_could_destroy_works_once_its_worker_comes(make, see):
    record = make.record("a", "running", "start", since=0.0)
    worker = make.worker("a", connected=70.0)
    assert state(see(record, worker, memory=Track(DomainState.FAILED))) is DomainState.READY


def test_a_session_older_than_its_start_is_believed_once_the_boot_is_over(make, see):
    """The wall clock was set back: the start seems to be later than it was."""
    record, worker = make.record("a", "running", "start", since=40.0), make.worker("a")
    assert state(see(record, worker, now=99.0)) is DomainState.BOOTING
    assert state(see(record, worker, now=100.0)) is DomainState.READY


def test_a_start_without_an_answer_is_in_doubt_until_it_is_seen_or_too_old(make, see):
    record = make.record("a", "off", "start", since=90.0)

    def is_doubtful(memory=None, now=100.0):
        return see(record, memory=memory, now=now).pool.domains[0].is_start_doubtful

    assert is_doubtful()
    assert not is_doubtful(Track(is_start_answered=True))
    assert not is_doubtful(now=211.0)
    running = see(make.record("a", "running", "start", since=90.0))
    assert not is_doubtful(running.tracks["a"])


def test_a_start_that_may_come_late_is_in_doubt_whatever_was_seen_since(make, see):
    memory = Track(is_start_answered=True, late_start_until=150.0)

    def is_doubtful(record, now):
        return see(record, memory=memory, now=now).pool.domains[0].is_start_doubtful

    assert is_doubtful(make.record("a", "off"), 149.0)
    assert is_doubtful(make.record("a", "off", "destroy", since=90.0), 149.0)
    assert not is_doubtful(make.record("a", "off"), 150.0)
    assert not is_doubtful(make.record("a", "running"), 149.0)


@pytest.mark.parametrize("known_since", [None, 50.0])
def test_no_boot_is_judged_while_the_dispatcher_was_away(make, see, known_since):
    record = make.record("a", "running", "start", since=0.0)
    result = see(record, memory=Track(DomainState.BOOTING), now=64.0, known_since=known_since)
    assert state(result) is DomainState.BOOTING


def test_a_worker_that_stays_away_fails_its_domain(make, see):
    record = make.record("a", "running")
    first = see(record, memory=Track(DomainState.READY), now=100.0)
    assert state(first) is DomainState.SILENT
    assert state(see(record, memory=first.tracks["a"], now=139.9)) is DomainState.SILENT
    result = see(record, memory=first.tracks["a"], now=140.0)
    assert state(result) is DomainState.FAILED
    assert result.incidents == (("a", Incident.WENT_SILENT),)
    assert result.tracks["a"].failures == 0


def test_silence_is_not_timed_while_the_dispatcher_is_away(make, see):
    record = make.record("a", "running")
    memory = Track(DomainState.SILENT, silent_since=10.0)
    result = see(record, memory=memory, now=100.0, known_since=None)
    assert state(result) is DomainState.SILENT
    assert result.tracks["a"].silent_since is None


@pytest.mark.parametrize(
    ("before", "cause", "incident"),
    [
        ("ready", "crashed", Incident.CRASHED),
        ("ready", "shutdown", Incident.STOPPED),
        ("ready", "saved", Incident.SAVED),
        ("saving", "saved", None),
        ("booting", "crashed", Incident.BOOT_FAILED),
        ("shutting_down", "shutdown", None),
        ("starting", "failed", None),
        ("failed", "destroyed", None),
    ],
)
def test_going_off_is_news_unless_it_was_wanted(make, see, before, cause, incident):
    memory = Track(DomainState(before))
    result = see(make.record("a", "off", cause=cause), memory=memory)
    assert result.incidents == (() if incident is None else (("a", incident),))


def test_a_good_boot_clears_the_failures(make, see):
    memory = Track(DomainState.BOOTING, failures=3)
    record = make.record("a", "running", "start", since=90.0)
    result = see(record, make.worker("a", connected=95.0), memory=memory)
    assert result.incidents == (("a", Incident.BOOT_FINISHED),)
    assert result.tracks["a"].failures == 0


def test_vanished_domains_are_reported_once_and_forgotten(see, make):
    result = track({"b": Track(), "a": Track()}, (make.record("a"),), Fleet({}, 0.0), TIMING, 0.0)
    assert result.incidents == (("b", Incident.VANISHED),)
    assert set(result.tracks) == {"a"}


def test_only_an_image_that_was_never_begun_is_standby(make, see):
    record = replace(make.record("a", "off", "save"), has_saved_image=True)
    assert state(see(record)) is DomainState.STANDBY_SAVED
    record = replace(make.record("a", "off", "restore"), has_saved_image=True)
    assert state(see(record)) is DomainState.OFF
    memory = Track(in_flight=ActionKind.RESTORE)
    assert state(see(record, memory=memory)) is DomainState.WAKING


@pytest.mark.parametrize("lifecycle", ["off", "paused", "running"])
def test_metadata_that_the_image_brought_back_do_not_freeze_again(make, see, lifecycle):
    memory = Track(DomainState.WAKING, in_flight=ActionKind.RESTORE)
    assert state(see(make.record("a", lifecycle, "save"), memory=memory)) is DomainState.WAKING


@pytest.mark.parametrize("op", ["resume", "restore"])
def test_a_wake_has_a_deadline_of_its_own(make, see, op):
    record = make.record("a", "running", op, since=90.0)
    memory = Track(DomainState.WAKING)
    assert state(see(record, memory=memory, now=104.0)) is DomainState.WAKING
    late = see(record, memory=memory, now=106.0)
    assert state(late) is DomainState.FAILED
    assert late.incidents == (("a", Incident.WAKE_FAILED),)
    worker = make.worker("a", connected=95.0)
    awake = see(record, worker, memory=replace(memory, failures=2))
    assert awake.incidents == (("a", Incident.WAKE_FINISHED),)
    assert awake.tracks["a"].failures == 0


def test_a_woken_guest_that_somebody_pauses_has_neither_woken_nor_failed(make, see):
    memory = Track(DomainState.WAKING)
    assert see(make.record("a", "paused", "resume", since=90.0), memory=memory).incidents == ()


@pytest.mark.parametrize("op", ["start", "prepare", "resume", "restore"])
def test_after_a_restart_a_boot_began_when_its_operation_did(make, see, op):
    assert see(make.record("a", "running", op, since=90.0)).tracks["a"].begun_at == 90.0
    assert see(make.record("a", "running", "drain", since=90.0)).tracks["a"].begun_at is None


def test_a_restored_workers_old_session_is_none(make, see):
    record = make.record("a", "running", "restore", since=90.0)
    assert state(see(record, make.worker("a", connected=50.0))) is DomainState.WAKING
    record = make.record("a", "running", "resume", since=90.0)
    assert state(see(record, make.worker("a", connected=50.0))) is DomainState.READY


def test_a_resumed_guest_is_awake_when_it_was_heard_of(make, see):
    record = make.record("a", "running", "resume", since=90.0)
    frozen = replace(make.worker("a", connected=50.0), silent_seconds=40.0)
    assert state(see(record, frozen)) is DomainState.WAKING
    assert state(see(record, frozen, memory=Track(DomainState.WAKING), now=106.0)) is (
        DomainState.FAILED
    )
    awake = replace(frozen, silent_seconds=9.0)
    assert state(see(record, awake)) is DomainState.READY


@pytest.mark.parametrize(
    ("lifecycle", "expected"),
    [
        ("off", "quarantined_off"),
        ("running", "quarantined"),
        ("paused", "quarantined"),
        ("crashed", "quarantined"),
    ],
)
@pytest.mark.parametrize("op", [None, "start", "shutdown", "suspend"])
def test_another_scalers_domain_is_in_quarantine_whatever_it_does(
    make, see, lifecycle, expected, op
):
    record = replace(make.record("a", lifecycle, op), foreign_scaler="b")
    result = see(record, make.worker("a"), memory=Track(DomainState.READY))
    assert state(result) is DomainState(expected)
    assert result.incidents == (("a", Incident.QUARANTINED),)
    again = see(make.record("a", lifecycle, op), memory=result.tracks["a"])
    assert again.incidents == ()
    assert result.pool.active == (expected == "quarantined")


def test_a_domain_that_changes_hands_is_noticed_and_takes_its_token_along(make):
    fleet, seven, three = Fleet({}, 0.0), make.record("a", token=7), make.record("b", token=3)
    lost = replace(seven, foreign_scaler="another")
    first = track({}, (seven, three), fleet, TIMING, 100.0)
    second = track(first.tracks, (lost, three), fleet, TIMING, 101.0, first)
    third = track(second.tracks, (lost, three), fleet, TIMING, 102.0, second)
    back = track(third.tracks, (seven, three), fleet, TIMING, 103.0, third)
    turns = (first, second, third, back)
    assert [one.newest_token for one in turns] == [7, 3, 3, 7]
    assert [one.has_moved for one in turns] == [True, True, False, True]
    assert [one.pool.count(DomainState.QUARANTINED_OFF) for one in turns] == [0, 1, 1, 0]
    assert second.incidents == (("a", Incident.QUARANTINED),)
    assert third.incidents == back.incidents == ()


def test_a_failed_boot_counts_once_however_often_the_scaler_is_restarted(make, see):
    record = make.record("a", "running", "start", since=0.0)
    failed = see(record, memory=Track(DomainState.BOOTING), now=100.0)
    counted = failed.tracks["a"]
    assert (counted.failures, counted.is_failure_counted) == (1, True)
    remembered = {"a": Track(failures=1, is_failure_counted=True)}
    # Right after a restart nothing is judged: workers may be on their way back.
    fleet = Fleet({}, 100.0)
    first = track({}, (record,), fleet, TIMING, 100.0, None, remembered)
    assert state(first) is DomainState.BOOTING
    again = track(first.tracks, (record,), fleet, TIMING, 120.0)
    assert state(again) is DomainState.FAILED
    assert again.incidents == ()
    assert again.tracks["a"].failures == 1


def test_a_boot_that_works_after_all_forgets_what_an_earlier_life_counted(make, see):
    remembered = {"a": Track(failures=2, is_failure_counted=True)}
    record = make.record("a", "running", "start", since=90.0)
    first = track({}, (record,), Fleet({}, 0.0), TIMING, 100.0, None, remembered)
    done = see(record, make.worker("a", connected=95.0), memory=first.tracks["a"])
    assert (done.tracks["a"].failures, done.tracks["a"].is_failure_counted) == (0, False)
