"""Why this domain and not another."""

from scaler.choices import NotChosen, choices, why_not
from scaler.decision import Decision
from scaler.planner import Action, Plan
from scaler.pool import ActionKind
from scaler.reasons import Reason


def decided(pool, desired, *actions):
    return Decision(0.0, Reason.DEMAND, desired, pool, Plan(tuple(actions)))


def groups(found):
    return {group["why"]: group["domains"] for group in found["others"]}


def test_every_domain_that_is_not_started_is_in_a_group(make):
    pool = make.pool(
        make.view("a", "ready"),
        make.view("b", "draining"),
        make.view("c", "off"),
        make.view("d", "off", failures=2),
        make.view("e", "off"),
        make.view("f", "off", operation=make.operation("shutdown")),
        make.view("g", "off", in_flight=ActionKind.SETTLE),
        make.view("h", "failed"),
        make.view("i", "cordoned"),
        make.view("j", "paused"),
        make.view("k", "quarantined"),
    )
    start = Action(ActionKind.START, "c", Reason.SCALE_OUT)
    found = choices(decided(pool, 2, start))
    assert found["direction"] == "out"
    assert found["chosen"] == ["c"]
    assert groups(found) == {
        "serving": ["a"],
        "leaving": ["b"],
        "more_failures": ["d"],
        "name_order": ["e"],
        "unsettled": ["f"],
        "busy_with_action": ["g"],
        "failed": ["h"],
        "cordoned": ["i"],
        "paused": ["j"],
        "quarantined": ["k"],
    }
    assert why_not(pool, found, "d") is NotChosen.MORE_FAILURES
    assert why_not(pool, found, "c") is None
    assert why_not(pool, found, "z") is None


def test_a_wish_that_was_not_followed_leaves_its_candidates_withheld(make):
    pool = make.pool(make.view("a", "ready"), make.view("b", "off"))
    found = choices(decided(pool, 2))
    assert found["chosen"] == []
    assert groups(found) == {"serving": ["a"], "withheld": ["b"]}


def test_those_that_stay_hold_more_or_older_leases_or_come_later_by_name(make):
    pool = make.pool(
        make.view("a", "ready", leases=1, oldest=50.0),
        make.view("b", "ready", leases=1, oldest=50.0),
        make.view("c", "ready", leases=1, oldest=20.0),
        make.view("d", "ready", leases=3, oldest=60.0),
        make.view("e", "booting"),
    )
    drain = Action(ActionKind.DRAIN, "a", Reason.SCALE_IN)
    found = choices(decided(pool, 4, drain))
    assert found["direction"] == "in"
    assert groups(found) == {
        "name_order": ["b"],
        "older_lease": ["c"],
        "more_leases": ["d"],
        "not_ready": ["e"],
    }


def test_names_are_cut_off_and_counted(make):
    pool = make.pool(*(make.view(f"d{number:03}", "off") for number in range(100)))
    start = Action(ActionKind.START, "d000", Reason.SCALE_OUT)
    (group,) = choices(decided(pool, 1, start))["others"]
    assert group["count"] == 99
    assert len(group["domains"]) == 5


def test_with_nothing_to_choose_nothing_is_told(make):
    assert choices(decided(make.pool(make.view("a", "ready")), 1)) is None
