import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaler.policies.queueing import mean_wait, slots_for_wait


@pytest.mark.parametrize(
    ("slots", "busy", "wait"),
    [
        # One server: rho / (1 - rho). Two: rho^2 / (1 - rho^2), as in every textbook.
        (1, 0.5, 1.0),
        (1, 0.8, 4.0),
        (2, 1.0, 1 / 3),
        (2, 1.6, 0.64 / 0.36),
        # Three servers at two: the wait is certain with probability 4/9.
        (3, 2.0, 4 / 9),
        (2, 2.0, math.inf),
        (3, 0.0, 0.0),
    ],
)
def test_textbook_examples(slots, busy, wait):
    assert mean_wait(slots, busy, 1.0) == pytest.approx(wait)


@pytest.mark.parametrize(
    ("busy", "service", "goal", "slots"),
    [
        (0.0, 1.0, 1.0, 0),
        (0.5, 1.0, 1.0, 1),
        (0.8, 1.0, 1.0, 2),
        (2.0, 1.0, 0.5, 3),
        (2.0, 1.0, 0.4, 4),
        (2.0, 0.0, 0.4, 3),
    ],
)
def test_fewest_slots_for_a_goal(busy, service, goal, slots):
    assert slots_for_wait(busy, service, goal) == slots


@settings(deadline=None)
@given(st.floats(0, 60), st.floats(0, 10), st.floats(0.01, 20), st.floats(0.01, 30))
def test_the_fewest_and_never_fewer_for_more(busy, more, service, goal):
    slots = slots_for_wait(busy, service, goal)
    assert slots == 0 or mean_wait(slots, busy, service) <= goal + 1e-6
    assert slots <= 1 or mean_wait(slots - 1, busy, service) >= goal - 1e-6
    assert slots_for_wait(busy + more, service, goal) >= slots
    assert slots_for_wait(busy, service + more, goal) >= slots
