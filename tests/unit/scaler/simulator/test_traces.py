from random import Random

import pytest

from scaler.simulator import recorded, trace_file
from scaler.simulator.spreads import Spread, SpreadKind, parse_spread
from scaler.simulator.trace_file import TraceError, parse
from scaler.simulator.traces import SHAPES, Trace, joined, rescaled, shaped
from scaler.simulator.workload import demand_course, draw_workload


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_is_a_trace(name):
    trace = shaped(name, length_seconds=3600, peak=2.0, random=Random(1))
    assert trace.moments[0] == 0
    assert len(trace.moments) == len(trace.rates)
    assert 0 < max(trace.rates) < 2.0 * 2
    assert min(trace.rates) >= 0
    assert trace == shaped(name, length_seconds=3600, peak=2.0, random=Random(1))


def test_a_rate_holds_until_the_next_point():
    trace = Trace("t", (0.0, 10.0), (1.0, 3.0), 20.0)
    assert [trace.rate_at(second) for second in (0, 9.9, 10, 19)] == [1, 1, 3, 3]
    assert trace.expected_jobs == 40


def test_a_trace_can_be_made_shorter_and_higher():
    trace = rescaled(Trace("t", (0.0, 10.0), (1.0, 3.0), 20.0), peak=6.0, length_seconds=10.0)
    assert trace.moments == (0.0, 5.0)
    assert trace.rates == (2.0, 6.0)


def test_traces_follow_one_another():
    step = Trace("step", (0.0, 5.0), (1.0, 3.0), 10.0, (5.0,))
    both = joined("both", [step, step])
    assert both.length_seconds == 20.0
    assert both.jumps == (5.0, 15.0)
    assert [both.rate_at(moment) for moment in (4.9, 5.0, 10.0, 15.0)] == [1.0, 3.0, 1.0, 3.0]
    assert both.expected_jobs == 2 * step.expected_jobs


def test_arrivals_follow_the_rate():
    trace = Trace("t", (0.0, 1000.0), (0.5, 2.0), 2000.0)
    workload = draw_workload(trace, Spread(SpreadKind.FIXED, 3.0), Random(7))
    early = sum(moment < 1000 for moment in workload.arrivals)
    assert early == pytest.approx(500, rel=0.2)
    assert len(workload.arrivals) - early == pytest.approx(2000, rel=0.1)
    assert list(workload.arrivals) == sorted(workload.arrivals)
    assert set(workload.lengths) == {3.0}


def test_the_demand_is_the_fewest_domains_at_eighty_percent():
    trace = Trace("t", (0.0, 10.0, 20.0), (0.0, 0.8, 0.81), 30.0)
    course = demand_course(trace, mean_seconds=10.0, slots=2, least=1)
    assert course == ((0.0, 1), (10.0, 5), (20.0, 6))


@pytest.mark.parametrize("kind", SpreadKind)
def test_lengths_have_the_mean_they_say(kind):
    spread = parse_spread(f"{kind}:10")
    source = Random(3)
    drawn = [spread.draw(source) for _ in range(40_000)]
    assert min(drawn) >= 0
    assert sum(drawn) / len(drawn) == pytest.approx(10, rel=0.15)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("x", "numbers"),
        ("normal:-1", "above 0"),
        ("pareto:10:1", "above 1"),
        ("normal:5:-1", "negative"),
        ("weird:5", "KIND"),
        ("normal:nan", "finite"),
        ("normal:1:2:3", "KIND"),
    ],
)
def test_a_bad_spread_is_explained(text, word):
    with pytest.raises(ValueError, match=word):
        parse_spread(text)


def test_a_trace_file_is_read():
    trace = parse("f", ["seconds,jobs_per_second\n", "10,1\n", "\n", "20,2.5\n"])
    assert trace.moments == (0.0, 10.0)
    assert trace.rates == (1.0, 2.5)
    assert trace.length_seconds == 20.0


def test_all_faults_of_a_trace_file_are_listed_with_their_lines():
    lines = ["seconds,jobs_per_second", "0,1", "-1,x", "5,1,2", "3,nan", "0,2"]
    with pytest.raises(TraceError) as caught:
        parse("f.csv", lines)
    places = [fault.split(": ")[0] for fault in caught.value.faults]
    assert places == ["f.csv:3", "f.csv:3", "f.csv:4", "f.csv:5", "f.csv:6"]


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        ([], "empty"),
        (["time,rate"], "columns are"),
        (["seconds,jobs_per_second", "0,1"], "at least two"),
        (["seconds,jobs_per_second", "0,0", "1,0"], "no rate"),
        (["seconds,jobs_per_second", '0,"1'], "must be a number|at least two"),
    ],
)
def test_an_unusable_trace_file_is_refused(lines, word):
    with pytest.raises(TraceError, match=word):
        parse("f.csv", lines)


def test_of_very_many_faults_only_the_first_are_listed():
    lines = ["seconds,jobs_per_second", *["x,1"] * 500]
    with pytest.raises(TraceError) as caught:
        trace_file.parse("f.csv", lines)
    assert len(caught.value.faults) == 51
    assert "450 more" in caught.value.faults[-1]


def test_a_recorded_day_is_a_trace():
    text = "DateTime,Calls\n2003-03-03T07:00:00Z,300\n2003-03-03T07:05:00Z,600\n"
    text += "2003-03-04T07:00:00Z,150\n"
    assert recorded.bank_day(text, 0).rates == (1.0, 2.0)
    assert recorded.bank_day(text, 3).rates == (0.5,)
    for bad in ("DateTime,Calls\nx", "DateTime,Calls\n"):
        with pytest.raises(TraceError, match="bank_calls"):
            recorded.bank_day(bad, 0)


def test_recorded_arrivals_are_there_when_the_package_is():
    text = recorded.bank_calls_text()
    if text is None:
        pytest.skip(recorded.HINT)
    assert len(recorded.bank_day(text, 0).rates) > 100
