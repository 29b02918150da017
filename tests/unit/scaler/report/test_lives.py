"""Domains from on to off, and how long actions took."""

import pytest

from scaler.report import lives
from scaler.report.past import gather
from tests.unit.scaler.report.recorded import (
    GAP,
    HELD,
    act,
    result,
    turns,
    up_and_down,
    worker,
)


def past(entries, since=90.0, until=140.0):
    return gather(entries, since, until, gap_seconds=GAP, held_seconds=HELD)


def test_a_life_from_the_first_turn_on_to_the_one_off():
    (life,) = lives.lives(past(up_and_down()))
    assert (life.domain, life.since, life.until, life.hello_at) == ("vs-1", 101.0, 133.0, 104.0)
    assert not life.was_there


def test_who_was_there_already_is_known_as_such_and_may_still_be():
    (life,) = lives.lives(past([turns(95.0, 9, states={"a": "ready", "b": "quarantined"})]))
    assert (life.domain, life.was_there, life.until) == ("a", True, None)


def test_actions_have_outcomes_and_durations():
    found = {one.action: one for one in lives.acts(past(up_and_down()))}
    start, drain, shutdown = found["start"], found["drain"], found["shutdown"]
    assert (start.seconds, start.what) == (pytest.approx(4.0), "from call to Hello")
    assert start.call_seconds == pytest.approx(0.5)
    assert (drain.seconds, drain.outcome) == (pytest.approx(2.0), "done")
    assert (shutdown.seconds, shutdown.outcome) == (pytest.approx(1.0), "failed")
    assert shutdown.error == "it <b>burns</b>"
    assert found["settle"].outcome == ""
    assert [one.action for one in lives.power_ons(found.values())] == ["start"]


def test_a_hello_of_before_and_one_of_a_later_start_are_not_its_own():
    entries = [
        turns(100.0, states={"a": "off"}, actions=[act("start", "a")], workers=[worker("a", 50)]),
        turns(102.0, states={"a": "failed"}, actions=[act("destroy", "a", "boot_deadline")]),
        turns(103.0, states={"a": "off"}, actions=[act("start", "a")]),
        turns(108.0, states={"a": "ready"}, workers=[worker("a", 1.0)]),
    ]
    first, _, second = lives.acts(past(entries))
    assert first.seconds is None
    assert second.seconds == pytest.approx(4.0)


def test_a_drain_that_is_taken_back_has_no_end_and_a_wake_ends_with_serving():
    entries = [
        turns(100.0, states={"a": "ready"}, actions=[act("drain", "a")]),
        turns(101.0, states={"a": "draining"}, actions=[act("cancel_drain", "a")]),
        turns(102.0, states={"a": "standby_paused"}, actions=[act("resume", "a")]),
        turns(102.3, states={"a": "ready"}),
        turns(104.0, states={"a": "ready"}, actions=[act("shutdown", "a")]),
    ]
    drain, _, wake, _ = lives.acts(past(entries))
    assert drain.seconds is None
    assert (wake.seconds, wake.what) == (pytest.approx(0.3), "from call to serving")


def test_a_result_belongs_to_the_newest_action_before_it_and_a_refused_start_is_none():
    entries = [
        turns(100.0, states={"a": "off"}, actions=[act("start", "a")]),
        result(100.4, "start", "a", "failed", "no memory"),
        turns(101.0, states={"a": "off"}, actions=[act("start", "a")]),
        result(101.2, "start", "a", "done"),
        result(99.0, "start", "a", "done"),
    ]
    found = lives.acts(past(entries))
    assert [one.outcome for one in found] == ["failed", "done"]
    assert len(lives.power_ons(found)) == 1


def test_what_was_only_decided_is_no_action():
    entries = [turns(100.0, states={"a": "off"}, actions=[act("start", "a")], dry_run=True)]
    assert lives.acts(past(entries)) == []


def test_a_domain_that_is_gone_from_the_pool_has_ended_and_one_that_comes_back_lives_again():
    entries = [
        turns(100.0, states={"a": "ready", "b": "off"}, workers=[worker("a", 50.0)]),
        turns(101.0, states={"b": "off"}),
        turns(102.0, states={"a": "booting", "b": "off"}),
        turns(107.0, states={"a": "ready", "b": "off"}, workers=[worker("a", 1.0)]),
    ]
    first, second = lives.lives(past(entries))
    assert (first.since, first.until, first.hello_at, first.was_there) == (100, 101, 50.0, True)
    assert (second.since, second.until, second.hello_at, second.was_there) == (
        *(102, None, 106.0, False),
    )
