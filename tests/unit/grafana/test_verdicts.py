"""An answer that is not what its panel says is found out."""

import math

import pytest

from grafana.filling import Window
from grafana.series import Series
from grafana.verdicts import RIGHTLY_EMPTY, excuse, faults, mark_faults
from grafana.written import Mark, Panel, Target, boards

WINDOW = Window(0, 100, 5)


def panel(unit, kind="timeseries"):
    return Panel("title", kind, unit, (), 0, 0, 12, 8)


def series(*values, **labels):
    return Series(labels, tuple((float(at), value) for at, value in enumerate(values)))


def found(unit, *answer, legend="a", kind="timeseries"):
    return list(faults(panel(unit, kind), Target("up", legend, False), answer, WINDOW))


@pytest.mark.parametrize(
    ("unit", "value"),
    [("percentunit", 0.97), ("s", 3600), ("bytes", 0), ("bytes", 5e9), ("none", 12), ("h", 0.2)],
)
def test_plausible_values_are_no_fault(unit, value):
    assert found(unit, series(value)) == []


@pytest.mark.parametrize(
    ("unit", "value"),
    # Per cent for a share, Unix time for a duration, a share for bytes, an hour in seconds.
    [("percentunit", 55), ("s", 1.7e9), ("s", -1), ("bytes", 0.5), ("h", 1e9), ("none", -3)],
)
def test_values_of_another_unit_are_one(unit, value):
    assert len(found(unit, series(value))) == 1


def test_nothing_and_nothing_but_nan_are_empty():
    assert found("none") == ["empty"]
    assert found("none", series(math.nan, math.inf)) == ["empty"]
    assert found("none", series(math.nan, 1)) == []


def test_every_series_needs_the_labels_of_the_legend():
    legend = "{{state}} of {{pool}}"
    answer = (series(1, state="x", pool="p"), series(1, state="y"))
    (fault,) = found("none", *answer, legend=legend)
    assert "pool" in fault


def test_two_series_of_one_name_are_a_fault():
    assert found("none", series(1, a="x"), series(1, a="y"), legend="plain") == [
        "2 series of one name, 'plain'"
    ]


def test_a_heatmap_needs_a_histogram():
    assert found("s", series(3, le="+Inf"), legend="{{le}}", kind="heatmap") == []
    assert "no label le, so that it is no histogram" in found("s", series(3), kind="heatmap")


def test_a_mark_needs_its_labels_too():
    mark = Mark("n", "up", "red", "{{reason}}", "text", ("reason",), True)
    assert list(mark_faults(mark, [])) == ["empty"]
    assert list(mark_faults(mark, [series(1, reason="x")])) == []
    assert list(mark_faults(mark, [series(1)])) == ["no label reason, which its text names"]


def test_only_what_is_listed_may_be_empty_and_every_entry_is_for_something():
    places = [
        f"{name} / {one.title} / {target.legend}"
        for name, board in boards().items()
        for one in board.panels
        for target in one.targets
    ]
    places += [
        f"{name} / mark / {mark.name}" for name, board in boards().items() for mark in board.marks
    ]
    assert excuse("fleet / Size of the pool / ready") is None
    assert excuse("fleet / mark / More wanted") is None
    excused = [place for place in places if excuse(place)]
    assert 0 < len(excused) < len(places) / 5
    for pattern in RIGHTLY_EMPTY:
        others = {one: why for one, why in RIGHTLY_EMPTY.items() if one != pattern}
        assert any(excuse(place) and not excuse(place, others) for place in places), pattern
