"""The decision log in sentences: every reason has words, every moment finds its decision."""

import time

import pytest

from scaler.reasons import Reason
from stack import explanation

NOON = time.mktime((2026, 11, 23, 12, 0, 0, 0, 0, -1))

START = {
    "type": "decision",
    "time": NOON,
    "reason": "demand",
    "current": 1,
    "desired": 2,
    "signals": {},
    "proposals": [{"policy": "backlog", "desired": 2, "reason": "demand"}],
    "actions": [{"action": "start", "domain": "vs-2", "reason": "scale_out"}],
}
RESULT = {"type": "result", "time": NOON + 1, "action": "start", "domain": "vs-2",
          "outcome": "done"}  # fmt: skip


def test_every_reason_of_the_scaler_has_words_and_nothing_else_has():
    assert set(explanation.SENTENCES) == {reason.value for reason in Reason}


def test_an_action_is_told_with_its_reason_and_what_was_wanted():
    assert explanation.history([START, RESULT], limit=10) == [
        "12:00:00  start vs-2: more domains are wanted than run (1 -> 2: so many domains are "
        "needed for the jobs that wait and run)",
        "12:00:01  start vs-2 done",
    ]


def test_a_decision_names_each_policy_and_the_reason_that_logs_use():
    told = "\n".join(explanation.lines(START))
    assert "backlog wants 2" in told
    assert "[demand]" in told
    assert "start vs-2" in told


def test_the_decision_in_force_is_the_newest_not_later():
    later = {**START, "time": NOON + 60}
    assert explanation.at_moment([START, RESULT, later], NOON + 59) is START
    assert explanation.at_moment([START, later], NOON + 60) is later
    assert explanation.at_moment([START], NOON - 1) is None


@pytest.mark.parametrize(
    ("text", "seconds_before_noon"),
    [("-90s", 90), ("-5m", 300), ("-1h", 3600), ("11:00", 3600), ("11:59:30", 30)],
)
def test_a_moment_is_read_as_people_write_it(text, seconds_before_noon):
    assert explanation.moment(text, now=NOON) == pytest.approx(NOON - seconds_before_noon)


def test_a_time_of_day_that_is_still_to_come_was_yesterday():
    assert explanation.moment("13:00", now=NOON) == pytest.approx(NOON + 3600 - 86_400)


@pytest.mark.parametrize("text", ["soon", "-", "25:00", "-3w", ""])
def test_nonsense_is_refused_with_what_is_allowed(text):
    with pytest.raises(ValueError, match="HH:MM"):
        explanation.moment(text, now=NOON)
