"""Values that hold until they change."""

from scaler.report.steps import Steps, filled, together, unknown_spans


def test_a_value_holds_until_the_next_and_is_not_known_before_the_first():
    steps = Steps.of([(10.0, 1.0), (20.0, 1.0), (30.0, 3.0)])
    assert steps.changes == ((10.0, 1.0), (30.0, 3.0))
    assert [steps.at(moment) for moment in (9.9, 10.0, 29.9, 30.0, 99.0)] == [None, 1, 1, 3, 3]


def test_of_two_values_at_one_moment_the_later_counts():
    assert Steps.of([(0.0, 1.0), (5.0, 2.0), (5.0, 1.0)]).changes == ((0.0, 1.0),)


def test_integrals_leave_out_what_is_not_known():
    steps = Steps.of([(0.0, 2.0), (10.0, None), (15.0, 4.0)])
    assert steps.integral(0.0, 20.0) == 2 * 10 + 4 * 5
    assert steps.integral(5.0, 12.0) == 2 * 5
    assert steps.known_seconds(0.0, 20.0) == 15
    assert steps.extremes(0.0, 20.0) == (2, 4)
    assert Steps(()).extremes(0.0, 1.0) is None


def test_together_they_change_whenever_one_does():
    one, other = Steps.of([(0.0, 1.0), (4.0, 2.0)]), Steps.of([(2.0, 7.0)])
    assert list(together([one, other], 0.0, 6.0)) == [
        ((0.0, 2.0), (1.0, None)),
        ((2.0, 4.0), (1.0, 7.0)),
        ((4.0, 6.0), (2.0, 7.0)),
    ]
    assert not list(together([one], 3.0, 3.0))


def test_where_the_first_does_not_know_the_second_is_asked():
    first = Steps.of([(10.0, 1.0), (20.0, None), (30.0, 2.0)])
    second = Steps.of([(0.0, 5.0), (25.0, 6.0)])
    both = filled(first, second)
    assert [both.at(moment) for moment in (5.0, 15.0, 22.0, 26.0, 31.0)] == [5, 1, 5, 6, 2]
    assert unknown_spans(first, 0.0, 40.0) == [(0.0, 10.0), (20.0, 30.0)]
