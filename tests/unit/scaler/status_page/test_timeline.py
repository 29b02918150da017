from scaler.status_page.timeline import events, why
from scaler.status_page.view import Tone
from tests.unit.scaler.status_page.facts import NOW, action, entry


def clock(moment):
    return f"@{moment - NOW:g}"


def told(*records):
    return events(records, clock)


def test_the_newest_is_first_and_says_what_was_done_and_why():
    first, second = told(
        entry(1, actions=[action("start", "vs-2")], current=1, desired=2),
        entry(2, actions=[action("drain", "vs-1", "scale_in")], current=2, desired=1),
    )
    assert (first.kind, first.title, first.change) == ("in", "drain vs-1", "2 \u2192 1")
    assert (second.kind, second.title, second.tone) == ("out", "start vs-2", Tone.GOOD)
    assert second.why.startswith("backlog wanted 2")
    # Values of signals and names of reasons stand in the details alone.
    assert not set("[;") & set(second.why)
    assert "cpu" in second.details[0]
    assert any(line.startswith("policy:") for line in second.details)


def test_stillness_is_folded_and_keeps_its_key_while_it_grows():
    one = told(entry(1, reason="steady"), entry(2, reason="max", count=7))
    assert [(event.kind, event.key, event.title) for event in one] == [("quiet", 1, "8 turns")]
    assert (one[0].time, one[0].until, one[0].change) == ("@1", "@2", "2")
    assert one[0].why == "the pool's maximum; the load fits the domains that run"
    two = told(entry(1, reason="steady"), entry(2, reason="max", count=8), entry(3))
    assert [(event.key, event.title) for event in two] == [(1, "10 turns")]


def test_another_size_or_a_pause_ends_a_stretch():
    hold = {"author": "ann", "reason": ""}
    kinds = told(entry(1), entry(2, current=1), entry(3, current=1, hold=hold))
    assert [event.key for event in kinds] == [3, 2, 1]
    assert kinds[1].change == "1 \u2192 2"


def test_a_result_that_went_well_is_no_news_and_one_that_did_not_is():
    result = {"type": "result", "time": NOW, "id": 2, "action": "cancel_drain", "domain": "vs-1"}
    good = {**result, "outcome": "done", "error": ""}
    assert [event.kind for event in told(entry(1), good, entry(3))] == ["quiet"]
    bad, refused = told(
        {**result, "outcome": "refused", "error": ""},
        {**result, "outcome": "failed", "error": "no memory"},
    )
    assert (bad.title, bad.why, bad.tone) == ("cancel drain vs-1: failed", "no memory", Tone.BAD)
    assert (refused.why, refused.tone) == ("no reason was given", Tone.NOTE)


def test_starts_and_new_rules_are_told():
    config = {"type": "config", "time": NOW, "id": 1, "config": "abc", "settings": {}}
    titles = [
        event.title for event in told({**config, "started": True}, {**config, "started": False})
    ]
    assert titles == ["new rules", "the scaler started"]


def test_kinds():
    kinds = [
        *([action("settle", "a", "boot_finished")], [action("prepare", "a", "standby_refill")]),
        *([action("destroy", "a", "boot_deadline")], [action("start", "a"), action("claim", "b")]),
    ]
    found = told(*(entry(number, actions=one) for number, one in enumerate(kinds)))
    assert [event.kind for event in found] == ["out", "trouble", "standby", "upkeep"]
    assert found[3].why == "its worker has said Hello"
    both = [action("start", "a"), action("destroy", "b", "boot_deadline")]
    (failed,) = told(entry(1, actions=both))
    assert failed.kind == "trouble"
    assert failed.why.endswith("its worker did not say Hello in time")


def test_many_actions_are_counted():
    many = [action("start", f"vs-{number}") for number in range(7)]
    (event,) = told(entry(1, actions=many))
    assert event.title == "start vs-0, start vs-1, start vs-2 and 4 more"
    assert why(entry(1, actions=many), clock).startswith(f"{event.title}: backlog wanted 2")


def test_only_the_newest_are_told():
    found = told(*(entry(number, actions=[action("start", "a")]) for number in range(100)))
    assert [found[0].key, found[-1].key, len(found)] == [99, 40, 60]


def test_incidents_and_errors_are_news_by_themselves():
    lost = [{"domain": "vs-1", "incident": "guest_crashed"}]
    second, first = told(
        entry(1, incidents=lost),
        entry(2, errors=["libvirt is away"], desired=None, reason="hypervisor_unknown"),
    )
    assert (first.title, first.kind) == ("vs-1: guest crashed", "upkeep")
    assert (second.title, second.kind) == ("trouble", "trouble")
    assert second.change == "2 \u2192 unknown"
