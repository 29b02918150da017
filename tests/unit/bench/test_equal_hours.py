import pytest

from bench.equal_hours import EQUAL_RATIO, Figures, Knobs, Start, choose, crossing, equalise, rung

KNOBS = Knobs(2.0, 0.0, None, 12)


def knobs(window, goal=None):
    return Knobs(2.0, window, goal, 12)


def test_finds_where_hours_reach_the_goal():
    line = [(0.0, Figures(1.0, 9.0, 60.0)), (100.0, Figures(3.0, 5.0, 20.0))]
    assert crossing(line, 2.0) == (50.0, Figures(2.0, 7.0, 40.0))
    assert crossing(line, 0.5) == line[0]
    assert crossing(line, 9.0) == line[1]


def test_chooses_the_line_that_loses_least_at_equal_hours():
    grid = {
        knobs(0.0): Figures(1.0, 10.0, 60.0),
        knobs(100.0): Figures(3.0, 2.0, 40.0),
        knobs(0.0, 90.0): Figures(1.0, 40.0, 20.0),
        knobs(100.0, 90.0): Figures(3.0, 20.0, 10.0),
    }
    # The first waits less, the second starts less.
    assert choose(Figures(2.0, 35.0, 30.0), grid)[0] == Start(knobs(rung(50.0), 90.0))
    assert choose(Figures(2.0, 12.0, 60.0), grid)[0] == Start(knobs(rung(50.0)))
    # Nothing costs so little: the cheapest of what there is.
    assert choose(Figures(0.1, 12.0, 60.0), grid)[0].knobs.in_window_seconds == 0.0
    # The window for scaling out may reach what is a little cheaper.
    grid[knobs(0.0, 20.0)] = grid[knobs(100.0, 20.0)] = Figures(0.8, 50.0, 50.0)
    assert choose(Figures(0.7, 60.0, 60.0), grid)[0] == Start(knobs(0.0, 20.0))


@pytest.mark.parametrize("seconds", [0.0, 0.4, 3.0, 19.0, 77.0, 1234.5, 1e6])
def test_windows_in_use_are_near_every_window(seconds):
    found = rung(seconds)
    assert found == pytest.approx(min(seconds, 7200.0), rel=0.06, abs=0.5)
    assert rung(found) == found


@pytest.mark.parametrize("goal", [0.9, 1.1, 2.5])
def test_turns_the_window_until_the_hours_are_equal(goal):
    def hours(turned, seed):
        return 0.5 + ((turned.in_window_seconds + 5) / 100) ** 0.4 + seed * 0.001

    found = equalise(Start(KNOBS), [goal] * 30, hours)
    mean = sum(hours(found, seed) for seed in range(30)) / 30
    assert abs(mean / goal - 1) <= EQUAL_RATIO


def test_turns_the_window_for_scaling_out_where_the_other_one_does_not_reach():
    found = equalise(
        Start(KNOBS), [1.0] * 3, lambda turned, seed: 2 - turned.out_window_seconds / 90
    )
    assert found.out_window_seconds == pytest.approx(90, rel=0.02)


def test_ends_at_what_can_be_reached():
    assert equalise(Start(KNOBS), [1.0, 1.0], lambda turned, seed: 5.0).in_window_seconds == 0.0


def test_who_is_to_start_few_grows_later():
    late = Knobs(300.0, 100.0, None, 12)
    grid = {
        knobs(0.0): Figures(1.0, 30.0, 60.0),
        knobs(100.0): Figures(3.0, 20.0, 40.0),
        late: Figures(1.0, 30.0, 2.0),
    }
    first = choose(Figures(2.0, 35.0, 30.0), grid)[0]
    assert first.turns_out
    assert 2.0 < first.knobs.out_window_seconds < 300.0
    assert first.knobs.in_window_seconds == 100.0

    def hours(turned, seed):
        return 3 - turned.out_window_seconds / 150

    found = equalise(first, [2.0] * 3, hours)
    assert hours(found, 0) == pytest.approx(2.0, rel=EQUAL_RATIO)
    assert found.in_window_seconds == 100.0
