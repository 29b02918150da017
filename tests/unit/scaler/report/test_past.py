"""What is read out of a decision store."""

from scaler.report.past import Past, gather
from scaler.report.steps import Steps
from tests.unit.scaler.report.recorded import GAP, HELD, act, config, turns, up_and_down

READY = {"vs-1": "ready"}


def past(entries, since=90.0, until=140.0) -> Past:
    return gather(entries, since, until, gap_seconds=GAP, held_seconds=HELD)


def test_courses_are_exact_and_end_with_the_last_turn():
    found = past(up_and_down(), until=200.0)
    assert found.counts["ready"] == Steps(((100.0, 0.0), (105.0, 1.0), (132.0, 0.0), (139.0, None)))
    assert found.counts["booting"].integral(0.0, 200.0) == 4
    assert (found.first, found.last, found.turns) == (100.0, 139.0, 39)
    assert found.config == {"min": 1}
    assert found.slots == 1.0
    assert found.gaps == [(139.0, 200.0)]


def test_turns_that_say_the_same_are_one_decision_and_actions_stand_alone():
    entries = [
        turns(100.0, 5, states=READY),
        turns(105.0, 5, states={"vs-1": "ready", "vs-2": "off"}),
        turns(110.0, states=READY, actions=[act("drain", "vs-1")]),
        turns(111.0, states=READY),
        turns(112.0, states=READY, desired=2),
    ]
    found = past(entries)
    assert [(one.first, one.last, one.turns) for one in found.stretches] == [
        (100.0, 109.0, 10),
        (110.0, 110.0, 1),
        (111.0, 111.0, 1),
        (112.0, 112.0, 1),
    ]


def test_a_run_that_began_before_is_cut():
    found = past([turns(80.0, 30, states=READY)], since=100.0, until=105.0)
    (stretch,) = found.stretches
    assert (stretch.first, stretch.last, stretch.turns) == (100.0, 105.0, 6)
    assert stretch.record["time"] == 100.0
    assert found.counts["ready"].integral(100.0, 105.0) == 5


def test_a_silence_is_not_known_and_told():
    found = past([turns(90.0, 10, states=READY), turns(180.0, 10, states=READY)], until=189.0)
    assert found.gaps == [(99.0, 180.0)]
    assert found.counts["ready"].integral(90.0, 189.0) == 9 + 9
    assert len(found.stretches) == 2


def test_while_libvirt_does_not_answer_the_pool_is_not_known():
    blind = turns(100.0, 5, states={}, reason="hypervisor_unknown", current=None, inputs=None)
    found = past([turns(95.0, 5, states=READY), blind, turns(105.0, 5, states=READY)], until=109.0)
    assert found.counts["ready"].known_seconds(95.0, 109.0) == 9


def test_orders_and_alerts_are_intervals():
    entries = [
        turns(100.0, 3, states=READY),
        turns(
            103.0,
            3,
            states=READY,
            hold={"author": "eve", "reason": "<i>test</i>"},
            overrides=["pause", "floor"],
            inputs={"domains": [], "workers": [], "orders": {"floor": 3, "kinds": ["floor"]}},
            alerts=[
                {"rule": "queue", "alerts": ["QueueLong"], "least": 2, "reason": "alert_floor"}
            ],
        ),
        turns(106.0, 3, states=READY, dry_run=True),
    ]
    found = past(entries, until=109.0).intervals
    told = [(one.kind, one.what, one.since, one.until) for one in found]
    assert told == [
        ("pause", "paused by eve: <i>test</i>", 103.0, 106.0),
        ("override", "floor 3", 103.0, 106.0),
        ("alert", "QueueLong (queue) demands 2", 103.0, 106.0),
        ("dry run", "actions were only decided, none was carried out", 106.0, None),
    ]


def test_events_are_starts_other_rules_incidents_and_new_troubles():
    entries = [
        config(100.0),
        turns(101.0, states=READY, errors=["libvirt: no"]),
        turns(102.0, states=READY, errors=["libvirt: no"]),
        config(103.0, started=False),
        turns(104.0, states=READY, incidents=[{"domain": "vs-1", "incident": "crashed"}]),
    ]
    told = [(one.at, one.kind, one.what, one.domain) for one in past(entries).events]
    assert told == [
        (100.0, "start", "0123456789ab", ""),
        (101.0, "trouble", "libvirt: no", ""),
        (103.0, "config", "0123456789ab", ""),
        (104.0, "incident", "crashed", "vs-1"),
    ]


def test_the_cpu_is_that_of_every_turn():
    found = past([turns(100.0, 3, states=READY, signals={"cpu": 0.5})])
    assert found.cpu == ((100.0, 0.5), (101.0, 0.5), (102.0, 0.5))


def test_of_nothing_nothing_is_known():
    found = past([])
    assert (found.turns, found.first, found.stretches, found.counts) == (0, None, [], {})
