import itertools
import random

import pytest

from stack import arrivals
from stack.arrivals import Arrivals


def times(stream: Arrivals, until: float, seed: int = 1) -> list[float]:
    draw = random.Random(seed).random
    made = []
    at = stream.start
    while (at := stream.next_after(at, draw)) < until:
        made.append(at)
    return made


def test_steady_arrivals_have_the_mean_gap_asked_for() -> None:
    made = times(Arrivals(0.5, "steady", 100.0), 10_100.0)
    assert len(made) == pytest.approx(20_000, rel=0.03)
    assert made == sorted(made)


def test_a_wave_has_the_same_mean_and_a_high_and_a_low_phase() -> None:
    period = arrivals.WAVE_PERIOD_SECONDS
    made = times(Arrivals(0.1, "wave", 0.0), 100 * period)
    assert len(made) == pytest.approx(1_000 * period, rel=0.03)
    high = sum(at % period < arrivals.WAVE_HIGH_SECONDS for at in made)
    low_begin = arrivals.WAVE_HIGH_SECONDS + arrivals.WAVE_SLOPE_SECONDS
    low_end = low_begin + arrivals.WAVE_LOW_SECONDS
    low = sum(low_begin <= at % period < low_end for at in made)
    ratio = (high / arrivals.WAVE_HIGH_SECONDS) / (low / arrivals.WAVE_LOW_SECONDS)
    assert ratio == pytest.approx(arrivals.WAVE_HIGH / arrivals.WAVE_LOW, rel=0.05)


def test_the_wave_is_continuous_and_begins_high() -> None:
    values = [
        arrivals.multiplier("wave", step / 100)
        for step in range(int(200 * arrivals.WAVE_PERIOD_SECONDS))
    ]
    assert values[0] == arrivals.WAVE_HIGH
    assert max(abs(a - b) for a, b in itertools.pairwise(values)) < 0.01
    assert max(values) == arrivals.highest_multiplier("wave")
    assert min(values) == pytest.approx(arrivals.WAVE_LOW)


def test_the_same_seed_gives_the_same_arrivals() -> None:
    stream = Arrivals(1.0, "wave", 5.0)
    assert times(stream, 200.0, seed=3) == times(stream, 200.0, seed=3)


@pytest.mark.parametrize("delta", [0.0, -1.0, float("nan"), float("inf")])
def test_a_delta_that_is_no_time_is_refused(delta: float) -> None:
    with pytest.raises(ValueError, match="delta"):
        Arrivals(delta, "steady", 0.0)
