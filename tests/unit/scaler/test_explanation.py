"""Why, in one line: who wanted what, what held it back, until when."""

import json
from dataclasses import replace

import pytest

from scaler import explanation, turns
from scaler.breaker import Breaker
from scaler.decision import Hold, Observation, Settings, State, decide
from scaler.explanation import UnknownDomainError, explain
from scaler.readings import Failed, Known
from scaler.reasons import Reason
from scaler.recommendation import CPU, BacklogPolicy, ReferencePolicy
from scaler.shadows import Verdict
from scaler.stabilization import Limits
from scaler.turns import Turn
from tests.unit.scaler.test_holding import seen

SETTINGS = Settings(
    limits=Limits(min=1, max=2, out_window_seconds=0.0, in_window_seconds=20.0),
    policies=(BacklogPolicy(),),
    digest="0123456789ab",
)
WALL = 1000.0


def clock(at):
    return f"T{at:g}"


def record(make, *moments, settings=SETTINGS, state=None, is_dry_run=False, verdicts=()):
    state = state or State()
    for now, observation in moments:
        state, decision = decide(settings, state, observation, now)
    turn = Turn(decision, state, observation, settings, WALL, verdicts, is_dry_run)
    return json.loads(json.dumps(turns.record(turn)))


def headline(make, *moments, **arguments):
    return explain(record(make, *moments, **arguments), clock).headline


def test_a_start_names_the_domain_and_who_wanted_it(make):
    assert headline(make, (100.0, seen(make, 1.5))) == (
        "T1000  start d1: backlog wanted 2 (so many domains are needed for the jobs that wait and "
        "run), 1 served (demand 1.50; demand_average 1.50)"
    )


def test_fewer_than_wanted_says_what_kept_the_rest(make):
    told = headline(make, (100.0, seen(make, 4.0)))
    assert told.startswith("T1000  start d1: backlog wanted 5")
    assert told.endswith("; no more at once: the pool's maximum [max]")


def test_a_wish_that_was_held_back_says_by_what_and_until_when(make):
    told = headline(make, (100.0, seen(make, 1.5)), state=State(breaker=Breaker(3, 160.0)))
    assert told.startswith("T1000  no domain was started: backlog wanted 2 (")
    assert told.endswith(
        "; held by: domains failed to boot; starts wait for the back-off to end until T1060 "
        "[breaker_open]"
    )


def test_a_pool_at_its_maximum(make):
    told = headline(make, (100.0, seen(make, 4.0, on=2)))
    assert told.startswith("T1000  no domain was started: backlog wanted 5")
    assert told.endswith("held by: the pool's maximum [max]")


def test_a_scale_in_that_waits_for_its_window(make):
    told = headline(make, (100.0, seen(make, 0.5, on=2)))
    assert told.startswith("T1000  no domain was drained: backlog wanted 1")
    assert told.endswith("is not full yet until T1020 [in_window_filling]")


def test_a_scale_in_that_happens(make):
    told = headline(make, (100.0, seen(make, 0.5, on=2)), (121.0, seen(make, 0.5, on=2)))
    assert told.startswith("T1000  drain d0: backlog wanted 1")


def test_nothing_to_do(make):
    told = headline(make, (100.0, seen(make, 0.5)))
    assert told.startswith("T1000  nothing was to be done: backlog wanted 1")


def test_a_pause_names_who_paused(make):
    told = headline(make, (100.0, seen(make, 4.0, hold=Hold("ann", "upgrade"))))
    assert told.startswith("T1000  nothing was done: paused by ann: upgrade; backlog wanted 5")


def test_a_pool_that_cannot_be_seen_and_a_load_that_is_not_known(make):
    blind = Observation(None, None, {}, errors=("cannot connect",))
    assert headline(make, (100.0, blind)) == (
        "T1000  nothing was done: libvirt does not answer [hypervisor_unknown]"
    )
    assert headline(make, (100.0, seen(make, None))) == (
        "T1000  nothing was done: no policy knew the load (demand empty; demand_average empty)"
    )


def test_policies_that_say_the_same_are_told_together(make):
    policies = tuple(BacklogPolicy(name) for name in ("one", "two", "three"))
    told = headline(make, (100.0, seen(make, 0.5)), settings=replace(SETTINGS, policies=policies))
    assert told.startswith("T1000  nothing was to be done: one, two and three wanted 1 (so many")


def test_who_stands_by_is_not_named_among_those_who_wanted(make):
    policies = (ReferencePolicy(is_fallback=True), BacklogPolicy())
    settings = replace(SETTINGS, policies=policies)
    observation = seen(make, 1.5)
    observation = replace(observation, readings={**observation.readings, CPU: Known(0.9, 1.0)})
    answer = explain(record(make, (100.0, observation), settings=settings), clock)
    assert answer.headline.startswith("T1000  start d1: backlog wanted 2 (so many")
    assert "reference" not in answer.headline
    assert (
        "  policy:   reference has no wish: it stands by while the other policies know the load "
        "[stands_by]"
    ) in answer.details
    # Without the backlog's signals it is a policy like any other.
    blind = replace(observation, readings={CPU: Known(0.9, 1.0)})
    moments = [(100.0 + 30.0 * turn, blind) for turn in range(2)]
    told = headline(make, *moments, settings=settings)
    assert told.startswith("T1000  start d1: reference wanted 2 (the mean CPU was above")


def test_a_turn_in_which_no_policy_has_a_wish(make):
    found = record(make, (100.0, seen(make, 0.5)))
    found["proposals"] = [{"policy": "hours", "reason": "outside_schedule", "desired": 0}]
    told = explain(found, clock).headline
    assert "no policy had a wish, 1 served" in told


def test_a_signal_that_failed_says_why(make):
    readings = {"demand": Failed("refused: parse error"), "demand_average": Known(1.0, 1.0)}
    observation = replace(seen(make, 1.0), readings=readings)
    details = explain(record(make, (100.0, observation)), clock).details
    assert "  trouble:  signal demand: refused: parse error" in details


def test_a_dry_run_says_would(make):
    told = headline(make, (100.0, seen(make, 1.5)), is_dry_run=True)
    assert told.startswith("T1000  would start d1")


def test_the_details_have_everything(make):
    verdicts = (Verdict("lean", 1, Reason.STEADY),)
    found = record(
        make,
        (100.0, seen(make, 4.0, off=3, hold=Hold("ann", "upgrade"))),
        settings=SETTINGS,
        verdicts=verdicts,
    )
    text = "\n".join(explain(found, clock).details)
    for words in (
        "pool:     current 1, desired 2",
        "seen:     demand 4.00",
        "policy:   backlog wants 5",
        "changed:  5 -> 2: the pool's maximum [max]",
        "held by:  scaling is paused [paused]",
        "not d1, d2, d3: could be taken, but nothing was done [withheld]",
        "shadow:   lean would want 1",
        "paused by ann: upgrade",
        "config:   0123456789ab",
    ):
        assert words in text


def test_why_this_domain(make):
    found = record(make, (100.0, seen(make, 1.5)))
    assert explain(found, clock, "d1").headline == (
        "T1000  d1: start, because more domains are wanted than run [scale_out]"
    )
    assert explain(found, clock, "d2").headline == (
        "T1000  d2 was off and not started (chosen: d1): it is of those that are alike and come "
        "later by name [name_order]"
    )
    quiet = record(make, (100.0, seen(make, 0.5)))
    assert explain(quiet, clock, "d2").headline == (
        "T1000  d2 was off; no domain was to be started or drained"
    )
    with pytest.raises(UnknownDomainError, match=r"d9.*there were: d0, d1, d2"):
        explain(found, clock, "d9")


def test_history_tells_actions_with_their_results(make):
    found = [
        record(make, (100.0, seen(make, 1.5))),
        {"type": "result", "time": 1001.0, "action": "start", "domain": "d1", "outcome": "failed",
         "error": "no room"},
    ]  # fmt: skip
    assert explanation.history(found, clock, limit=10) == [
        "T1000  start d1: more domains are wanted than run (1 -> 2: so many domains are needed "
        "for the jobs that wait and run)",
        "T1001  start d1 failed: no room",
    ]
    assert len(explanation.history(found, clock, limit=1)) == 1
    assert explanation.history(found, clock, limit=0) == []


def test_a_period_joins_runs_that_say_the_same(make):
    quiet = record(make, (100.0, seen(make, 0.5)))
    runs = [
        {**quiet, "time": 10.0, "last": 19.0, "count": 10},
        {**quiet, "time": 20.0, "last": 29.0, "count": 10},
        {**record(make, (100.0, seen(make, 1.5))), "time": 30.0, "last": 30.0, "count": 1},
    ]
    told = explanation.period(runs, clock)
    assert told[0].startswith("T10 - T29  current 1, desired 1 (20 turns)")
    assert told[1].startswith("T30  current 1, desired 2 (1 turn)")
    assert told[2].startswith("  T30  start d1")


def test_an_old_record_without_the_newer_fields_is_still_told():
    old = {
        "type": "decision",
        "time": 500.0,
        "reason": "demand",
        "current": 1,
        "desired": 2,
        "signals": {"cpu": {"kind": "stale"}, "demand": {"kind": "known", "value": 4.0}},
        "proposals": [{"policy": "backlog", "reason": "demand", "desired": 5}],
        "steps": [{"reason": "max", "before": 5, "after": 2}],
        "actions": [{"action": "start", "domain": "vs-2", "reason": "scale_out"}],
        "limits": ["breaker_open"],
        "hold": {"author": "me", "reason": "lunch"},
        "errors": ["libvirt is away"],
    }
    answer = explain(old, clock)
    text = "\n".join([answer.headline, *answer.details])
    for words in ("cpu stale", "demand 4.00", "backlog wants 5", "5 -> 2", "start vs-2"):
        assert words in text
    for words in ("back-off", "paused by me: lunch", "libvirt is away"):
        assert words in text
