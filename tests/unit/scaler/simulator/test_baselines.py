from dataclasses import replace

import pytest

from scaler.simulator.baselines import BASELINES, Sight
from scaler.simulator.oracle import Oracle
from scaler.simulator.scenario import Scenario
from scaler.simulator.spreads import Spread, SpreadKind
from scaler.simulator.traces import Trace
from scaler.simulator.workload import Workload

CALM = Sight(now=1000.0, ready=4, booting=0, cpu=0.7, demand=3.0, slots=1)


def wanted(name, *sights):
    rule = BASELINES[name]()
    return [rule.desired(sight, 1, 12) for sight in sights]


def after(seconds, **changes):
    return replace(CALM, now=CALM.now + seconds, **changes)


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_keeps_its_bounds(name):
    rule = BASELINES[name]()
    for step in range(60):
        for cpu in (None, 0.0, 0.3, 1.0):
            sight = after(60 * step, cpu=cpu, ready=step % 13, demand=100.0 * step)
            count = rule.desired(sight, 2, 9)
            assert count is None or (sight.ready == 0 and count == 1) or 2 <= count <= 9


def test_the_reference_rule_goes_by_one():
    assert wanted("reference_5s", after(0, cpu=0.81), after(5, cpu=0.61), after(9, cpu=0.59)) == [
        5,
        None,
        3,
    ]
    assert wanted("reference_5s", after(0, ready=0)) == [1]


def test_the_pod_autoscaler_tolerates_a_tenth_and_waits_five_minutes_to_shrink():
    assert wanted("hpa_v2", after(0, cpu=0.85)) == [4]
    assert wanted("hpa_v2", after(0, cpu=1.0)) == [5]
    assert wanted("hpa_v2", after(0), after(15, cpu=0.2), after(310, cpu=0.2)) == [4, 4, 1]


def test_the_pod_autoscaler_counts_booting_ones_as_idle_on_the_way_up():
    assert wanted("hpa_v2", after(0, cpu=1.0, booting=1)) == [5]


def test_nomad_cools_down_for_five_minutes_in_both_directions():
    high, low = after(0, cpu=1.0), after(60, cpu=0.2, ready=5)
    assert wanted("nomad_target", high, low, replace(low, now=CALM.now + 301)) == [5, None, 2]
    assert wanted("nomad_target", after(0, cpu=1.0, booting=1)) == [None]


def test_keda_takes_nothing_for_zero():
    assert wanted("keda_default", after(0, demand=9.0)) == [8]
    sights = [after(30 * step, demand=0.0) for step in range(12)]
    assert wanted("keda_default", *sights)[-1] == 1


def test_the_peak_of_ten_minutes_holds():
    found = wanted("gcp_peak", after(0, cpu=1.0), after(590, cpu=0.1), after(610, cpu=0.1))
    assert found == [5, 5, 1]


def test_steps_grow_with_the_breach_and_shrink_after_five_periods():
    assert wanted("aws_step", after(0, cpu=0.95, ready=10)) == [12]
    assert wanted("aws_step", after(0, cpu=0.85, ready=10)) == [11]
    low = [after(60 * step, cpu=0.2, ready=10) for step in range(5)]
    assert wanted("aws_step", *low) == [None, None, None, None, 7]


def test_the_oracle_starts_a_boot_before_the_need():
    trace = Trace("t", (0.0,), (1.0,), 1000.0)
    workload = Workload(trace, (500.0, 500.0, 500.0), (100.0,) * 3, 100.0)
    scenario = Scenario(boot=Spread(SpreadKind.FIXED, 30.0))
    oracle = Oracle(workload, scenario, 0.0)

    def desired(now):
        return oracle.desired(replace(CALM, now=now, ready=1, demand=0.0), 1, 12)

    assert [desired(now) for now in (400.0, 449.0, 451.0, 550.0, 700.0)] == [1, 1, 3, 3, 1]
