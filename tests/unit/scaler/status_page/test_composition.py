import math
from dataclasses import replace

import pytest

from scaler.status_page.composition import compose
from scaler.status_page.load import Figures, Load
from scaler.status_page.outages import Outage, Outages
from scaler.status_page.view import Settings, Tone
from tests.unit.scaler.status_page.facts import (
    NOW,
    alert,
    decision,
    domain,
    entry,
    facts,
    load,
    override,
    status,
)


def texts(view):
    return [one.text for one in view.notices]


def figures(view):
    return {one.name: one for one in view.queue}


def test_before_the_first_turn_it_says_so_and_knows_no_capacity():
    view = compose(facts(status=None))
    assert (view.headline, view.capacity, view.domains) == ("Starting", None, ())
    assert "no turn is finished yet" in view.summary


def test_a_steady_pool():
    view = compose(facts())
    assert (view.headline, view.tone) == ("Steady", Tone.GOOD)
    capacity = view.capacity
    assert (capacity.desired, capacity.current, capacity.least, capacity.most) == (2, 2, 1, 4)
    assert "backlog wanted 2" in view.why
    assert view.summary == "Steady. 2 of 2 wanted domains serve."
    assert view.notices == ()
    assert [one.name for one in view.domains] == ["vs-1", "vs-2"]
    assert [one.cpu_ratio for one in view.domains] == [0.25, None]


@pytest.mark.parametrize(
    ("fields", "headline"),
    [
        ({"states": {"ready": 1, "booting": 1}}, "Scaling out"),
        ({"states": {"ready": 2}, "desired": 3}, "Scaling out"),
        ({"states": {"ready": 2, "draining": 1}}, "Scaling in"),
        ({"states": {"ready": 2}, "desired": 1}, "Scaling in"),
        ({"desired": None, "states": {}}, "Blind"),
        ({"signals": {"cpu": {"kind": "stale", "age_seconds": 9.0}}}, "Load unknown"),
        ({"signals": {}}, "Steady"),
    ],
)
def test_the_headline_says_where_it_goes(fields, headline):
    assert compose(facts(status=status([domain("vs-1")], **fields))).headline == headline


def test_what_holds_it_comes_from_the_record_of_the_turn():
    held = [{"reason": "max", "until": None}]
    wish = {**decision()["proposals"][0], "desired": 9}
    fields = {"reason": "max", "proposals": [wish]}
    told = facts(status=status([], **fields), entries=[entry(1, **fields, held=held)])
    assert compose(told).why == (
        "No domain was started: backlog wanted 9 (so many domains are needed for the jobs that "
        "wait and run), 2 served; held by: the pool's maximum"
    )
    old = facts(status=status([], **fields), entries=[entry(-5, **fields, held=held)])
    assert compose(old).why.endswith("held by: nothing")


def test_the_queue_is_told_in_numbers():
    found = figures(compose(facts()))
    assert [one.value for one in found.values()] == ["3", "4 s", "2", "40", "under 2 s", "1.5/s"]
    assert all(one.is_known for one in found.values())


def test_an_unknown_queue_is_unknown_and_not_zero():
    nothing = Load(dispatcher_fault="UNAVAILABLE", prometheus_fault="cannot connect")
    found = figures(compose(facts(load=nothing)))
    assert {one.value for one in found.values()} == {"unknown"}
    assert not any(one.is_known for one in found.values())
    assert found["Waiting"].note == "the dispatcher: UNAVAILABLE"
    assert found["Wait, 95 %"].note == "Prometheus: cannot connect"


def test_what_prometheus_does_not_have_is_told_apart_from_what_has_not_happened():
    def wait(seconds):
        return figures(
            compose(facts(load=replace(load(), figures=Figures(wait_p95_seconds=seconds))))
        )["Wait, 95 %"]

    assert (wait(None).value, wait(None).is_known) == ("unknown", False)
    assert (wait(math.nan).value, wait(math.nan).is_known) == ("none", True)
    assert wait(math.inf).value == "very long"


def test_prometheus_away_is_told_with_its_time():
    outages = Outages(prometheus=Outage(NOW - 30, "cannot connect", is_older=False))
    (text,) = texts(compose(facts(outages=outages)))
    assert text.startswith("Prometheus does not answer since @970 (cannot connect): ")
    assert text in compose(facts(outages=outages)).summary


def test_an_outage_that_the_scaler_began_with_may_be_older():
    outages = Outages(dispatcher=Outage(NOW - 30, "", is_older=True))
    (text,) = texts(compose(facts(outages=outages)))
    assert "since @970 or before (this scaler's first turn): " in text


def test_cpu_that_is_not_known_has_its_reason():
    assert compose(facts()).cpu_note == ""
    away = Load(prometheus_fault="cannot connect")
    assert compose(facts(load=away)).cpu_note == ("CPU is not known: Prometheus: cannot connect.")
    without_rules = replace(load(), figures=Figures(), history=None)
    assert "prometheus/rules/virtscale.yml" in compose(facts(load=without_rules)).cpu_note


def test_a_scaler_that_makes_no_turns_is_late():
    (text,) = texts(compose(facts(now=NOW + 60)))
    assert text == "The last turn was at @1000: all of this is old."


def test_a_pause_is_told_with_who_and_why():
    view = compose(facts(overrides=[override("pause"), override("pause", reason="", id="b")]))
    assert (view.headline, view.is_paused) == ("Paused", True)
    assert texts(view) == [
        "Paused by ann since @1000: fair. Nothing is started or drained.",
        "Paused by ann since @1000. Nothing is started or drained.",
    ]


def test_other_things_to_know():
    broken = {**status([domain("a")]), "breaker": {"failures": 3, "retry_in_seconds": 42.0}}
    view = compose(
        facts(
            status=broken,
            settings=Settings(least=1, most=4, is_dry_run=True, policy_faults=["max: many"]),
            is_store_failing=True,
            contradictions=["floor 3 is above ceiling 2: the ceiling wins"],
        )
    )
    told = "\n".join(texts(view))
    for part in (
        "Dry run",
        "3 boots in a row",
        "until @1042",
        "max: many",
        "gaps",
        "the ceiling wins",
    ):
        assert part in told
    assert "Dry run" in texts(compose(facts(overrides=[override("dry_run")])))[0]


def test_orders_in_force():
    given = [
        override("floor", domains=3, expires_at=NOW + 60),
        override("drain", domain="vs-2", id="b2"),
    ]
    view = compose(facts(overrides=given))
    assert [(one.text, one.until) for one in view.overrides] == [
        ("floor 3", "until @1060"),
        ("drain vs-2", "until removed"),
    ]
    assert [one.may_drain for one in view.domains] == [True, False]
    assert view.domains[1].note == "ordered drained"


def test_alerts_with_what_they_do():
    effect = {"rule": "behind", "reason": "alert_raise", "least": 3, "alerts": ["Behind"]}
    told = status([domain("a")], alerts=[effect])
    labels = {f"label{number}": "x" * 500 for number in range(12)}
    view = compose(facts(status=told, alerts=[alert(**labels), alert("Other")]))
    first, second = view.alerts
    assert first.effect.endswith("at least 3 (behind)")
    assert first.labels.endswith("and 4 more")
    assert len(first.labels) < 2000
    assert (first.since, second.effect) == ("@940", "has no effect on the pool now")


def test_signals_with_the_age_that_they_have_by_now():
    signals = {
        "cpu": {"kind": "known", "value": 0.5, "age_seconds": 1.0},
        "demand": {"kind": "stale", "age_seconds": 30.0},
        "other": {"kind": "failed", "detail": "cannot connect"},
        "share": {"kind": "nan"},
        "some": {"kind": "partial", "value": 2.0, "age_seconds": 0.0, "detail": "half"},
    }
    view = compose(facts(status=status([], signals=signals), now=NOW + 4))
    told = [(one.name, one.value, one.label, one.age, one.tone) for one in view.signals]
    assert told == [
        ("cpu", "0.5", "known", "5 s", Tone.GOOD),
        ("demand", "unknown", "stale", "34 s", Tone.BAD),
        ("other", "unknown", "failed", "", Tone.BAD),
        ("share", "unknown", "not a number", "", Tone.BAD),
        ("some", "2", "partial", "4 s", Tone.WARN),
    ]
    assert view.signals[2].detail == "cannot connect"


def test_policies_with_their_wishes():
    proposals = [
        {**decision()["proposals"][0], "policy": "reference", "reason": "stands_by", "desired": 0},
        {**decision()["proposals"][0], "reason": "signal_unknown", "desired": None},
    ]
    view = compose(facts(status=status([], proposals=proposals)))
    assert [one.wish for one in view.policies] == ["no wish", "unknown"]
