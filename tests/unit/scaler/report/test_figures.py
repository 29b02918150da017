"""Figures of small runs, computed by hand."""

import json
import math

import pytest

from scaler.report import asking, figures
from scaler.report.asking import Measured
from scaler.report.lives import Life, acts, lives
from scaler.report.past import Past, gather
from scaler.report.samples import Series
from scaler.report.steps import Steps
from tests.unit.scaler.report.recorded import GAP, HELD, turns, up_and_down


def measured(**series):
    """Series by name: one as its points, several as points by a label's value."""
    found = Measured(1, 0.0)
    labels = {asking.JOBS: "state", asking.STATES: "state", asking.WAITS: "le",
              asking.COMPLETED: "worker", asking.REQUEUED: "reason"}  # fmt: skip
    for name, points in series.items():
        of = points if isinstance(points, dict) else {"": points}
        found.series[name] = [
            Series({labels.get(name, ""): value}, tuple(one)) for value, one in of.items()
        ]
    return found


def every_second(since, until, value):
    return [(float(at), float(value(at))) for at in range(since, until + 1)]


def test_supply_against_demand_by_hand():
    demand = Steps.of([(0.0, 1.0), (10.0, 3.0), (20.0, 1.0), (30.0, None)])
    supply = Steps.of([(0.0, 1.0), (15.0, 3.0), (40.0, 1.0)])
    queue = Steps.of([(0.0, 0.0), (26.0, 5.0), (28.0, 0.0), (40.0, None)])
    found = figures.elasticity(demand, supply, 0.0, 50.0, queue)
    assert found is not None
    assert found.seconds == 30
    assert found.timeshare_under == pytest.approx(5 / 30)
    assert found.timeshare_over == pytest.approx(10 / 30)
    assert found.timeshare_over_waiting == pytest.approx(2 / 30)
    assert (found.under_machine_seconds, found.over_machine_seconds) == (10, 20)
    assert found.accuracy_under == pytest.approx(10 / 30)
    assert found.rmse == pytest.approx(math.sqrt((4 * 5 + 4 * 10) / 30))
    assert figures.elasticity(Steps(()), supply, 0.0, 50.0, queue) is None


def test_demand_is_the_fewest_domains_that_carry_the_arrivals_at_80_percent():
    # Two jobs a second of one second each on one slot: 2 / 0.8 = 2.5 domains.
    given = measured(
        accepted=every_second(0, 100, lambda at: 2 * at),
        service_sum=every_second(0, 100, lambda at: 10 * at),
        service_count=every_second(0, 100, lambda at: 10 * at),
    )
    demand = figures.demand(given, least=1, slots=1.0)
    assert demand.at(50.0) == 3
    assert demand.extremes(1.0, 99.0) == (3, 3)
    assert figures.demand(given, least=1, slots=4.0).at(50.0) == 1
    assert figures.demand(given, least=5, slots=4.0).at(50.0) == 5


def test_without_the_length_of_jobs_demand_is_not_known_unless_there_are_no_jobs():
    some = measured(accepted=every_second(0, 60, lambda at: at))
    assert figures.demand(some, least=1, slots=1.0) == Steps(())
    none = measured(accepted=every_second(0, 60, lambda at: 0))
    assert figures.demand(none, least=2, slots=1.0).at(30.0) == 2
    assert figures.demand(measured(), least=2, slots=1.0) == Steps(())


def past(entries, since=90.0, until=140.0) -> Past:
    return gather(entries, since, until, gap_seconds=GAP, held_seconds=HELD)


def test_the_pool_is_known_from_the_record_and_else_from_prometheus():
    given = measured(
        states={
            "ready": every_second(90, 140, lambda at: at < 120),
            "off": every_second(90, 140, lambda at: 1),
            "quarantined": every_second(90, 140, lambda at: 9),
        },
        wanted=every_second(90, 140, lambda at: 2),
    )
    entries = [
        turns(100.0, 10, states={"vs-1": "booting"}),
        turns(110.0, 5, states={"vs-1": "off"}),
    ]
    course = figures.courses(past(entries), given, least=1, slots=1.0)
    assert [course.supply.at(moment) for moment in (95.0, 105.0, 112.0, 119.0, 130.0)] == [
        *(1, 0, 0, 1, 0),
    ]
    assert [course.on.at(moment) for moment in (95.0, 105.0, 112.0, 119.0)] == [1, 1, 0, 1]
    assert (course.desired.at(95.0), course.desired.at(105.0)) == (2, 1)


def test_machine_seconds_by_what_the_domains_did():
    found_past = past(up_and_down())
    course = figures.courses(found_past, measured(), least=1, slots=1.0)
    found = figures.figures(
        found_past, measured(), course, lives(found_past), acts(found_past), price_per_hour=36.0
    )
    # 31 s of booting would be 101 to 105; serving 105 to 132; leaving 132 to 133.
    assert found.machine_seconds == {
        **{"serving": 27, "leaving": 1, "booting": 4},
        **{"standby": 0, "in trouble": 0},
    }
    assert found.machine_hours == pytest.approx(32 / 3600)
    assert found.cost == pytest.approx(32 * 36.0 / 3600)
    assert found.known_seconds == 40
    assert (found.domains, found.starts, found.failed_boots) == ((0, 1), 1, 0)
    assert found.jobs is found.waits is found.elasticity is None
    assert found.wasted_boots is None, "whether it did a job was not scraped"
    assert found.durations[0].what == "Start, from call to Hello"
    json.dumps(found.as_data(), allow_nan=False)


def test_jobs_add_up_and_those_in_no_state_are_lost():
    states = {
        "ready": [(0.0, 5.0), (10.0, 2.0)],
        "leased": [(0.0, 0.0), (10.0, 1.0)],
        "done": [(0.0, 100.0), (10.0, 117.0)],
        "failed": [(0.0, 0.0), (10.0, 1.0)],
        "cancelled": [(0.0, 0.0), (10.0, 0.0)],
    }
    given = measured(
        jobs=states,
        accepted=[(0.0, 105.0), (10.0, 123.0)],
        requeued={"expired": [(0.0, 0.0), (10.0, 4.0)], "drained": [(0.0, 0.0), (10.0, 0.0)]},
        service_sum=[(0.0, 0.0), (10.0, 9.0)],
        service_count=[(0.0, 0.0), (10.0, 18.0)],
    )
    found = figures.jobs(given)
    assert found is not None
    assert (found.accepted, found.done, found.failed, found.cancelled) == (18, 17, 1, 0)
    assert (found.open_before, found.open_at_end, found.lost) == (5, 3, 2)
    assert found.requeued == {"expired": 4}
    assert found.seconds == 0.5
    assert figures.jobs(measured()) is None


def test_waits_are_told_with_their_buckets():
    given = measured(
        waits={
            "1": [(0.0, 0.0), (9.0, 10.0)],
            "+Inf": [(0.0, 0.0), (9.0, 20.0)],
            "4": [(0.0, 0.0), (9.0, 20.0)],
        }
    )
    found = figures.waits(given)
    assert found is not None
    assert (found.jobs, found.p50) == (20, 1.0)
    assert found.p95 == pytest.approx(1 + 3 * 0.9)
    assert found.buckets == [(1.0, 10), (4.0, 10), (math.inf, 0)]
    assert figures.waits(measured()) is None
    nothing = {"1": [(0.0, 7.0), (9.0, 7.0)], "+Inf": [(0.0, 7.0), (9.0, 7.0)]}
    assert figures.waits(measured(waits=nothing)) is None


@pytest.mark.parametrize(("counted", "unknown"), [(20, 10), (30, 0), (31, 0)])
def test_jobs_that_got_a_worker_and_were_not_counted_are_told(counted, unknown):
    given = measured(
        waits={"1": [(0.0, 0.0), (9.0, counted)], "+Inf": [(0.0, 0.0), (9.0, counted)]},
        jobs={
            "ready": [(0.0, 2.0), (9.0, 7.0)],
            "leased": [(0.0, 0.0), (9.0, 1.0)],
            "done": [(0.0, 100.0), (9.0, 128.0)],
            "failed": [(0.0, 0.0), (9.0, 1.0)],
        },
    )
    found = figures.waits(given)
    assert found is not None
    assert (found.jobs, found.unknown) == (counted, unknown)


@pytest.mark.parametrize(
    ("life", "expected"),
    [
        (Life("a", 10.0, 20.0, hello_at=12.0), 0),
        (Life("b", 10.0, 20.0, hello_at=12.0), 1),
        (Life("a", 50.0, 60.0, hello_at=52.0), None),
        (Life("c", 10.0, 20.0), 1),
        (Life("b", 10.0, None, hello_at=12.0), 0),
        (Life("b", 10.0, 20.0, hello_at=12.0, was_there=True), 0),
    ],
)
def test_a_boot_is_wasted_that_did_no_job(life, expected):
    given = measured(completed={"a": [(12.0, 0.0), (19.0, 3.0)], "b": [(12.0, 0.0), (19.0, 0.0)]})
    assert figures.wasted([life], given) == expected


def test_a_state_of_another_version_is_not_left_out():
    assert figures.group_of("dreaming") == figures.TROUBLED
