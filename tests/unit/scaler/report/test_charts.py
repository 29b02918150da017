"""Charts of a report as values."""

import pytest

from scaler.report import charts
from scaler.report.charts import Axis, Named
from scaler.report.steps import Steps
from scaler.simulator import plot
from scaler.simulator.drawing import Area, Line, Text

AXIS = Axis(0.0, 100.0, ((50.0, "12:00"),))
BOTTOM = plot.HEIGHT - plot.BOTTOM


def words(picture):
    return [mark.words for mark in picture.marks if isinstance(mark, Text)]


@pytest.mark.parametrize(
    ("highest", "end"),
    [(0.0, 1.0), (1.0, 1.0), (1.01, 2.0), (7.0, 8.0), (260.0, 300.0), (9e6, 1e7)],
)
def test_the_end_of_a_scale_is_round(highest, end):
    assert charts.nice(highest) == end


def test_the_end_of_a_scale_of_domains_is_even():
    assert [charts.whole(one) for one in (0, 1, 2, 3, 9)] == [2, 2, 2, 4, 10]


def test_between_pieces_nothing_is_drawn_and_a_lone_point_is_seen():
    pieces = [[(0.0, 1.0), (10.0, 1.0)], [(50.0, 2.0)]]
    picture = charts.curves("x", AXIS, [Named("jobs", "#123456", pieces)], 2.0)
    drawn = [mark for mark in picture.marks if isinstance(mark, Line) and mark.colour == "#123456"]
    assert len(drawn) == 2
    assert drawn[1].points[1][0] - drawn[1].points[0][0] == 3.0
    assert {"x", "jobs", "12:00", "2", "1", "0"} <= set(words(picture))


def test_what_is_not_known_parts_a_course():
    steps = Steps.of([(0.0, 1.0), (10.0, 2.0), (20.0, None), (30.0, 3.0)])
    assert charts.stairs(steps, AXIS) == [
        [(0.0, 1.0), (10.0, 1.0), (10.0, 2.0), (20.0, 2.0)],
        [(30.0, 3.0), (100.0, 3.0)],
    ]


def test_what_changes_too_fast_to_be_seen_is_drawn_as_its_range():
    steps = Steps.of([(number / 100, float(number % 7)) for number in range(10_000)])
    (piece,) = charts.stairs(steps, AXIS)
    assert len(piece) < 4000
    values = [value for _, value in piece]
    assert (min(values), max(values)) == (0, 6)
    assert [at for at, _ in piece] == sorted(at for at, _ in piece)


def test_layers_stand_on_each_other_and_empty_ones_are_left_out():
    one, none = Steps.of([(0.0, 1.0)]), Steps.of([(0.0, 0.0)])
    marks = charts.stack(AXIS, [(one, "#aaaaaa"), (none, "#bbbbbb"), (one, "#cccccc")], 2.0)
    assert [mark.colour for mark in marks if isinstance(mark, Area)] == ["#aaaaaa", "#cccccc"]
    lower, upper = (mark for mark in marks if isinstance(mark, Area))
    assert min(y for _, y in lower.corners) == max(y for _, y in upper.corners)
    assert max(y for _, y in lower.corners) == BOTTOM


def test_only_where_the_first_is_higher_is_it_filled():
    high = Steps.of([(0.0, 3.0), (50.0, 1.0), (75.0, None)])
    (area,) = charts.between(AXIS, high, Steps.of([(0.0, 2.0)]), "#ff0000", 4.0)
    assert isinstance(area, Area)
    assert {x for x, _ in area.corners} == {AXIS.x(0.0), AXIS.x(50.0)}


def test_a_legend_names_as_many_as_there_is_room_for():
    named = [Named(f"domain-{number:030d}", "#123456", ()) for number in range(20)]
    told = words(charts.curves("CPU", AXIS, named, 1.0))
    assert any(one.startswith("and ") and one.endswith(" more") for one in told)
    assert len(told) < 12


def test_many_rows_of_a_histogram_are_not_all_named():
    picture = charts.heat("x", AXIS, [f"{n} s" for n in range(20)], [(0.0, 10.0, 19, 1.0)])
    named = [one for one in words(picture) if one.endswith(" s")]
    assert "19 s" in named
    assert len(named) == 10
    (cell,) = (mark for mark in picture.marks if isinstance(mark, Area))
    assert min(y for _, y in cell.corners) == plot.TOP


def test_moments_outside_are_at_the_edge():
    assert AXIS.across(-5.0) == 0.0
    assert AXIS.across(500.0) == 1.0
