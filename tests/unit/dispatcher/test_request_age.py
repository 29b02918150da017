"""Request ids outlive a clock that somebody sets."""

from dispatcher.request_age import RequestAge

HOUR, DAY = 3600.0, 86400.0


def test_a_clock_set_forward_forgets_nothing_of_the_last_days():
    age = RequestAge(wall=100 * DAY, monotonic=5.0)
    assert age.forget_before(wall=100 * DAY, monotonic=5.0) == 93 * DAY
    assert age.forget_before(wall=103 * DAY + HOUR, monotonic=5.0 + HOUR) == 96 * DAY + HOUR


def test_a_clock_that_ran_evenly_for_a_day_is_believed():
    age = RequestAge(wall=100 * DAY, monotonic=0.0)
    assert age.forget_before(wall=101 * DAY + 3.0, monotonic=DAY) == 100 * DAY + 3.0


def test_after_a_step_it_takes_another_day():
    age = RequestAge(wall=100 * DAY, monotonic=0.0)
    age.forget_before(wall=100 * DAY + HOUR, monotonic=2 * HOUR)
    assert age.forget_before(wall=101 * DAY, monotonic=DAY + HOUR) == 94 * DAY
    assert age.forget_before(wall=102 * DAY, monotonic=2 * DAY + HOUR) == 101 * DAY
