import math

import pytest

from bench.courses import mean, rmse, within


def test_holds_a_value_until_the_next():
    assert mean([(0.0, 1), (5.0, 3)], 10.0) == 2.0


def test_the_error_is_that_of_the_difference_over_time():
    assert rmse([(0.0, 1)], [(0.0, 1)], 10.0) == 0.0
    # One domain too many for half of the time.
    assert rmse([(0.0, 1)], [(0.0, 1), (5.0, 2)], 10.0) == pytest.approx(math.sqrt(0.5))
    # Two for a quarter of it weigh as much as one for all of it.
    assert rmse([(0.0, 1), (2.5, 3), (5.0, 1)], [(0.0, 1)], 10.0) == pytest.approx(1.0)


def test_the_error_is_the_same_from_both_sides():
    one, other = [(0.0, 2), (3.0, 4)], [(0.0, 1), (2.0, 4), (9.0, 1)]
    assert rmse(one, other, 12.0) == rmse(other, one, 12.0)


def test_keeps_what_held_at_the_begin_and_leaves_the_rest_out():
    course = [(-9.0, 1), (-1.0, 2), (3.0, 4), (10.0, 1), (12.0, 2)]
    assert within(course, 10.0) == [(0.0, 2), (3.0, 4)]
