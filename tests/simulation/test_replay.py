"""What a world recorded, judged again: by the same rules to the same wishes, by others not."""

from dataclasses import replace

import pytest

from scaler import recorded_inputs, replay
from scaler.decision import ActionResult, Outcome, State, decide
from scaler.entries import FAR, Entry
from scaler.feedback import feed
from scaler.pool import ActionKind
from scaler.recommendation import BacklogPolicy, ReferencePolicy
from scaler.stabilization import Limits
from scaler.turns import Sample
from tests.simulation.recording import SETTINGS, lived, recorded_world


@pytest.fixture(params=[1, 2, 3])
async def history(request, tmp_path):
    world, store = recorded_world(request.param, path=tmp_path / "decisions.db")
    await lived(world)
    store.flush()
    yield store
    store.close()
    await world.end()


def compared(store, settings, since=0.0):
    return replay.compare(replay.situations(store.stream(0.0, FAR)), settings, since)


def test_the_same_rules_want_the_same_at_every_turn(history):
    found = compared(history, SETTINGS)
    assert found.differences == []
    assert found.turns == 540
    assert found.recorded == found.replayed
    assert found.recorded.peak > 1
    assert found.starts > 0


def test_other_rules_differ_where_they_should(history):
    lean = replace(SETTINGS, limits=Limits(min=1, max=2))
    found = compared(history, lean)
    assert found.differences
    assert all(one.replayed < one.recorded for one in found.differences)
    assert found.replayed.peak == 2
    assert found.replayed.domain_seconds < found.recorded.domain_seconds
    apart = sum(one.until - one.since for one in found.differences)
    assert apart == pytest.approx(found.seconds_apart)
    assert found.as_data()["turns"] == 540


def test_a_signal_that_was_never_recorded_is_named(history):
    class Other(ReferencePolicy):
        signals = ("queue_age",)

    found = compared(history, replace(SETTINGS, policies=(BacklogPolicy(), Other())))
    assert found.unknown_signals == frozenset({"queue_age"})


def test_only_turns_of_the_range_are_counted_and_earlier_ones_fill_the_windows(history):
    middle = sorted(one.first for one in history.stream(0.0, FAR))[0] + 100.0
    found = compared(history, SETTINGS, since=middle)
    assert found.differences == []
    assert 330 < found.turns < 350


def test_every_recorded_decision_is_made_again_from_its_inputs(history):
    """The whole decision, plan included: actions and their results are fed back as recorded."""
    state, checked = State(), 0
    for entry in history.stream(0.0, FAR):
        body = entry.body
        if entry.kind == "result":
            result = ActionResult(
                ActionKind(body["action"]), body["domain"], Outcome(body["outcome"])
            )
            state = feed(SETTINGS, state, result, body["time"])
            continue
        for sample in entry.samples:
            record = entry.at(sample.time)
            readings = {
                name: recorded_inputs.reading(signal) for name, signal in record["signals"].items()
            }
            observation = recorded_inputs.observation(body, readings)
            state, decision = decide(SETTINGS, state, observation, sample.time)
            assert decision.desired == body["desired"]
            assert decision.reason.value == body["reason"]
            assert [(one.kind.value, one.domain) for one in decision.plan.actions] == [
                (one["action"], one["domain"]) for one in body["actions"]
            ]
            checked += 1
    assert checked == 540


def test_after_a_gap_nothing_is_remembered(history):
    entries = list(history.stream(0.0, FAR))
    pause = 3600.0
    for entry in entries[len(entries) // 2 :]:
        entry.samples = [one._replace(time=one.time + pause) for one in entry.samples]
    found = replay.compare(replay.situations(entries), SETTINGS, 0.0)
    assert found.seconds < 540 + replay.GAP_SECONDS


def test_what_alerts_and_people_demanded_is_left_out_of_the_recorded_wish():
    steps = [
        {"reason": "in_window", "before": 1, "after": 2},
        {"reason": "alert_floor", "before": 2, "after": 3},
        {"reason": "override_ceiling", "before": 3, "after": 1},
    ]
    body = {"time": 1.0, "desired": 1, "signals": {}, "inputs": None, "steps": steps}
    entry = Entry(1, "decision", "override_ceiling", 1.0, 1.0, 1, body, [Sample(1.0, None, {})])
    (found,) = replay.situations([entry])
    assert found.desired == 2
