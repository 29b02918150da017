"""Answers become lines: stacked, mirrored, with gaps where nothing is known."""

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from grafana.lines import cells, curves, extent
from grafana.series import Series
from grafana.written import Look, Panel, Target


def panel(**what):
    return Panel("title", "timeseries", "none", (), 0, 0, 12, 8, **what)


def series(points, **labels):
    return Series(labels, tuple(points))


def target(legend):
    return Target("up", legend, False)


def test_names_colours_and_looks_come_from_the_panel():
    shown = panel(looks={"b": Look(colour="red", is_dashed=True)})
    answer = [series([(0, 1)], state="b"), series([(0, 2)], state="a")]
    first, second = curves(shown, [(target("{{state}}"), answer)])
    assert (first.name, first.is_dashed) == ("a", False)
    assert (second.name, second.is_dashed) == ("b", True)
    assert first.colour != second.colour


@given(
    st.lists(st.lists(st.floats(0, 100), min_size=3, max_size=3), min_size=1, max_size=4),
)
def test_stacked_curves_stand_on_each_other_and_end_at_the_sum(rows):
    answers = [(target(f"{n}"), [series(enumerate(row))]) for n, row in enumerate(rows)]
    found = curves(panel(is_stacked=True), answers)
    for below, above in itertools.pairwise(found):
        assert above.floor == tuple(value for _, value in below.points)
    top = [value for _, value in found[-1].points]
    assert all(math.isclose(one, sum(column)) for one, *column in zip(top, *rows, strict=True))


def test_what_is_drawn_below_does_not_stand_on_what_is_above():
    shown = panel(is_stacked=True, looks={"down": Look(is_below=True)})
    answers = [(target("up"), [series([(0, 2)])]), (target("down"), [series([(0, 3)])])]
    up, down = curves(shown, answers)
    assert (up.points, down.points) == (((0, 2),), ((0, -3),))
    assert extent(shown, [up, down]) == (-3, 2)


def test_a_gap_is_not_bridged_and_nan_is_one():
    (curve,) = curves(panel(), [(target("a"), [series([(0, 1), (5, 1), (10, math.nan), (15, 2)])])])
    assert curve.parts(7) == [[(0, 1, 0), (5, 1, 0)], [(15, 2, 0)]]


def test_an_axis_reaches_zero_and_its_soft_maximum():
    assert extent(panel(soft_max=1), []) == (0, 1)
    (curve,) = curves(panel(), [(target("a"), [series([(0, 7)])])])
    assert extent(panel(soft_max=1), [curve]) == (0, 7)


def test_cumulative_buckets_become_cells():
    buckets = [
        series([(0, 5)], le="+Inf"),
        series([(0, 2)], le="0.5"),
        series([(0, 2)], le="1"),
    ]
    found = {(one.low, one.high): one.count for one in cells(buckets)}
    assert found == {(0, 0.5): 2, (1, math.inf): 3}
