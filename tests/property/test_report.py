"""The figures of any course and any record keep their promises."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaler.report import charts, figures, samples
from scaler.report.charts import Axis
from scaler.report.samples import Buckets
from scaler.report.steps import Steps, filled, together

VALUES = st.none() | st.integers(0, 9).map(float)
COURSES = st.lists(st.tuples(st.integers(0, 100).map(float), VALUES), max_size=12).map(
    lambda changes: Steps.of(sorted(changes, key=lambda one: one[0]))
)


@given(COURSES, COURSES)
def test_stretches_together_are_all_of_the_time(one, other):
    spans = [span for span, _ in together([one, other], 10.0, 90.0)]
    assert spans[0][0] == 10.0
    assert spans[-1][1] == 90.0
    assert all(before[1] == after[0] for before, after in pairwise(spans))


@given(COURSES, st.integers(11, 89).map(float))
def test_an_integral_is_that_of_its_parts(course, cut):
    whole = course.integral(10.0, 90.0)
    assert whole == pytest.approx(course.integral(10.0, cut) + course.integral(cut, 90.0))


@given(COURSES, COURSES, COURSES)
def test_shares_are_shares_and_seconds_add_up(demand, supply, queue):
    found = figures.elasticity(demand, supply, 0.0, 100.0, queue)
    if found is None:
        return
    assert 0 <= found.timeshare_under <= 1
    assert 0 <= found.timeshare_over <= 1
    assert 0 <= found.timeshare_over_waiting <= found.timeshare_over + 1e-9
    assert found.timeshare_under + found.timeshare_over <= 1 + 1e-9
    both = [
        (end - begin, wanted, there)
        for (begin, end), (wanted, there) in together([demand, supply], 0.0, 100.0)
        if wanted is not None and there is not None
    ]
    assert found.seconds == pytest.approx(sum(seconds for seconds, _, _ in both))
    # What was there is what was wanted, and more, and less what was missing.
    there = sum(seconds * there for seconds, _, there in both)
    wanted = sum(seconds * wanted for seconds, wanted, _ in both)
    assert there == pytest.approx(wanted + found.over_machine_seconds - found.under_machine_seconds)
    assert found.rmse + 1e-9 >= max(
        abs(found.accuracy_over - found.accuracy_under), found.accuracy_under
    )


@given(COURSES, COURSES)
def test_what_is_filled_is_known_where_either_is(one, other):
    both = filled(one, other)
    for (begin, _), (first, second) in together([one, other], 0.0, 100.0):
        assert both.at(begin) == (second if first is None else first)


@given(st.lists(COURSES, min_size=1, max_size=4))
def test_supply_seconds_add_up(courses):
    total = figures.summed(courses, None)
    spans = [
        (end - begin) * sum(value or 0.0 for value in values)
        for (begin, end), values in together(courses, 0.0, 100.0)
        if None not in values
    ]
    assert total.integral(0.0, 100.0) == pytest.approx(sum(spans))


@given(st.lists(st.integers(0, 1000).map(float), min_size=2, max_size=30))
def test_a_counter_never_shrinks_and_its_parts_add_up(values):
    points = [(float(at), value) for at, value in enumerate(values)]
    growth = samples.grown(points)
    assert all(after[1] >= before[1] for before, after in pairwise(growth))
    middle = (len(values) - 1) / 3
    parts = [
        samples.grown_between(growth, 0.0, middle),
        samples.grown_between(growth, middle, len(values) - 1.0),
    ]
    assert sum(part or 0.0 for part in parts) == pytest.approx(growth[-1][1])


@given(st.lists(st.integers(0, 9).map(float), min_size=2, max_size=8), st.floats(0.0, 1.0))
def test_quantiles_rise_and_stay_within_the_bounds(counts, share):
    bounds = (*(float(2**place) for place in range(len(counts) - 1)), math.inf)
    found = Buckets(bounds, tuple(counts))
    value = found.quantile(share)
    if sum(counts) == 0:
        assert value is None
        return
    assert value is not None
    assert 0 <= value <= bounds[-2]
    assert value <= (found.quantile(1.0) or 0.0)


@given(COURSES, st.integers(1, 5000))
def test_a_course_is_drawn_within_its_range_however_fast_it_changes(course, times):
    changes = [
        (at + 100.0 * n / 5000, value) for n in range(times % 3) for at, value in course.changes
    ]
    steps = Steps.of(sorted(changes, key=lambda one: one[0]))
    axis = Axis(0.0, 100.0, ())
    extremes = steps.extremes(0.0, 100.0)
    drawn = [value for piece in charts.stairs(steps, axis) for _, value in piece]
    assert (extremes is None) == (not drawn)
    if extremes is not None:
        assert (min(drawn), max(drawn)) == extremes
