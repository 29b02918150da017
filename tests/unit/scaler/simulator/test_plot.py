"""Charts as values: what is drawn where, and that charts side by side share a scale."""

from xml.etree import ElementTree

from scaler.simulator import plot
from scaler.simulator.drawing import Disc, Line, Paragraphs, Picture, Table, Text
from scaler.simulator.scenario import SCENARIOS
from scaler.simulator.simulation import Bounds, Run, simulate, workload_of
from scaler.simulator.spreads import Spread, SpreadKind
from scaler.simulator.traces import Trace

TRACE = Trace("hump", (0.0, 200.0, 400.0), (0.05, 0.5, 0.05), 600.0)


def a_run(most: int) -> Run:
    workload = workload_of(TRACE, Spread(SpreadKind.EXPONENTIAL, 10.0), 1)
    return simulate(workload, SCENARIOS["boot30"], Bounds(1, most), "static_max", seed=1)


def ready_line(picture: Picture) -> Line:
    *_, line = (mark for mark in picture.marks if isinstance(mark, Line))
    return line


def words(picture: Picture) -> list[str]:
    return [mark.words for mark in picture.marks if isinstance(mark, Text)]


def test_with_one_scale_what_is_twice_as_much_is_twice_as_high() -> None:
    runs = {most: a_run(most) for most in (4, 8)}
    highest = max(plot.peak(run, TRACE.length_seconds) for run in runs.values())
    assert highest >= 8
    drawn = {
        most: plot.course("x", run, TRACE.length_seconds, highest) for most, run in runs.items()
    }
    assert words(drawn[4]) == words(drawn[8])
    (base,) = {mark.up for mark in drawn[4].marks if isinstance(mark, Text) and mark.words == "0"}
    four, eight = (base - ready_line(drawn[most]).points[-1][1] for most in (4, 8))
    assert eight == 2 * four > 0


def test_a_chart_of_steps_keeps_its_value_until_the_next_and_to_the_end() -> None:
    series = (("jobs", "#123456", [(0.0, 0), (50.0, 10)]),)
    picture = plot.steps("jobs", series, 100.0, 10)
    xs, ys = zip(*ready_line(picture).points, strict=True)
    assert xs[1] == xs[2] == (xs[0] + xs[-1]) / 2
    assert (ys[0], ys[2]) == (ys[1], ys[3])
    assert ys[2] < ys[0]


def test_a_page_is_well_formed_and_nothing_in_it_is_markup_by_mistake() -> None:
    points = [plot.Point("<a>", 1.0, 2.0, 1.0), plot.Point("b", 2.0, 1.0, 4.0)]
    scattered = plot.scatter("p95 & more", "hours", points)
    assert len([mark for mark in scattered.marks if isinstance(mark, Disc)]) == 2
    slope = Picture(10, 10, (Line(((0.0, 0.0), (5.0, 5.0)), "black"),))
    sections = [Table((("policy", "x"), ("<b>", "1"))), scattered, slope, Paragraphs(("1 < 2",))]
    text = plot.page("A & B", sections)
    root = ElementTree.fromstring(
        text.split("<!DOCTYPE html>")[1].replace('<meta charset="utf-8">', "")
    )
    assert [one.text for one in root.iter("td")] == ["<b>", "1"]
    assert [one.text for one in root.iter("p")] == ["1 < 2"]
    assert root.findtext("body/h1") == "A & B"
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 2
    (path,) = (one for one in root.iter("{http://www.w3.org/2000/svg}path")
               if one.get("d") == "M0.0 0.0L5.0 5.0")  # fmt: skip
    assert path.get("stroke") == "black"
