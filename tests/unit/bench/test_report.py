import math

import pytest

from bench.report import Figure, Goal, print_bars, print_figures, quantile

RATE = Goal("jobs", "1/s", 25_000, 60_000, is_more_better=True)
DELAY = Goal("delay", "ms", 10, 5)


@pytest.mark.parametrize(
    ("goal", "measured", "verdict"),
    [
        (RATE, 60_000, "aim"),
        (RATE, 59_999, "floor"),
        (RATE, 24_999, "MISSED"),
        (DELAY, 5, "aim"),
        (DELAY, 5.1, "floor"),
        (DELAY, 10.1, "MISSED"),
        (DELAY, math.nan, "MISSED"),
        (Goal("floor only", "s", 2, None), 1, "floor"),
        (Goal("nothing asked", "s", None, None), 9, "shown"),
    ],
)
def test_a_figure_is_judged_by_floor_and_aim(goal, measured, verdict):
    assert goal.verdict(measured) == verdict


def test_the_table_shows_floor_aim_and_peer(capsys):
    assert print_figures([Figure(RATE, 30_000, "12.0x somebody")])
    assert not print_figures([Figure(RATE, 30_000), Figure(DELAY, 11)])
    text = capsys.readouterr().out
    for part in ("25,000", "60,000", "30,000", "12.0x somebody", "MISSED"):
        assert part in text


def test_quantiles_are_exact():
    ordered = [float(each) for each in range(1, 101)]
    assert [quantile(ordered, share) for share in (0, 0.5, 0.99, 1)] == [1, 50, 99, 100]
    assert quantile(list(range(1, 21)), 0.95) == 19
    assert math.isnan(quantile([], 0.5))


def test_the_longest_bar_is_the_largest_value(capsys):
    print_bars("time", [("10", 2.0), ("100", 4.0)], "us")
    short, long = capsys.readouterr().out.splitlines()[-2:]
    assert long.count("#") == 2 * short.count("#")
