"""Turns of one run may differ in nothing but what their samples keep."""

from hypothesis import given

from scaler import turns
from scaler.decision import State, decide
from scaler.shadows import Shadow, Shadows
from scaler.turns import Turn
from tests.property.test_scaler import RELAXED, SETTINGS, histories

OWN = ("time", "signals", "held", "windows", "inputs")
"""What the sample has, or what the first turn's stands for."""


def lived(history):
    state, now = State(), 100.0
    shadows = Shadows((Shadow("same", SETTINGS),))
    for seconds, observation, _ in history:
        # Each is seen twice: runs need turns that resemble each other.
        for _ in range(2):
            now += min(seconds, 2.0)
            before = state
            state, decision = decide(SETTINGS, before, observation, now)
            verdicts = shadows.judge(before, state, decision, observation)
            yield Turn(decision, state, observation, SETTINGS, 1e9 + now, verdicts)


def told(record):
    """Everything but numbers that move within a run."""
    return {
        **{name: value for name, value in record.items() if name not in OWN},
        "proposals": [
            {name: one[name] for name in ("policy", "reason", "desired")}
            for one in record["proposals"]
        ],
        "choices": None
        if record["choices"] is None
        else (record["choices"]["direction"], record["choices"]["chosen"]),
        "held": [one["reason"] for one in record["held"]],
    }


@RELAXED
@given(histories)
def test_equal_keys_mean_that_the_first_turn_stands_for_the_second(history):
    first = None
    for turn in lived(history):
        key = turns.key(turn)
        if first is not None and key is not None and key == turns.key(first):
            record, second = turns.record(first), turns.record(turn)
            again = turns.at_sample(record, turns.sample(turn))
            assert told(again) == told(second)
            assert again["time"] == second["time"]
            assert again["signals"] == second["signals"]
            continue
        first = turn


@RELAXED
@given(histories)
def test_no_turn_ends_later_than_it_is_held_by_something(history):
    for turn in lived(history):
        sample = turns.sample(turn)
        assert sample.until is None or sample.until >= turn.wall - 0.1
