from dataclasses import replace

import pytest

from scaler.decision import Settings
from scaler.pool import ActionKind
from scaler.recommendation import BacklogPolicy, ReferencePolicy
from scaler.simulator.scenario import SCENARIOS, Faults, Scenario, Span
from scaler.simulator.simulation import NAMES, Bounds, simulate, workload_of
from scaler.simulator.spreads import Spread, SpreadKind
from scaler.simulator.traces import Trace
from scaler.tracking import Timing

LENGTH = Spread(SpreadKind.EXPONENTIAL, 20.0)
STEP = Trace("step", (0.0, 300.0, 900.0), (0.05, 0.2, 0.05), 1500.0, (300.0,))
OURS = Settings(
    policies=(ReferencePolicy(is_fallback=True), BacklogPolicy()),
    timing=Timing(boot_deadline_seconds=400.0, drain_deadline_seconds=3600.0),
)


def run(policy=OURS, scenario=SCENARIOS["boot5"], trace=STEP, seed=1, bounds=None, **more):
    workload = workload_of(trace, LENGTH, seed)
    return simulate(workload, scenario, bounds or Bounds(1, 10), policy, seed=seed, **more)


def decided(**arguments):
    decisions = []
    run(watch=decisions.append, **arguments)
    return decisions


@pytest.mark.parametrize("policy", [OURS, *NAMES])
def test_the_same_seed_gives_the_same_run(policy):
    first, again = run(policy), run(policy)
    assert first == again
    assert run(policy, seed=2).scorecard != first.scorecard


@pytest.mark.parametrize("policy", [OURS, *NAMES])
def test_every_job_is_done_once(policy):
    card = run(policy).scorecard
    assert card.jobs == len(workload_of(STEP, LENGTH, 1).arrivals)
    assert card.unfinished == 0


@pytest.mark.parametrize("name", SCENARIOS)
def test_ours_loses_no_job_to_scale_in_whatever_goes_wrong(name):
    card = run(scenario=replace(SCENARIOS[name], boot=Spread(SpreadKind.NORMAL, 5.0, 0.3)))
    assert card.scorecard.jobs_cut_by_scale_in == 0
    assert card.scorecard.peak_active <= 10
    assert card.scorecard.unfinished == 0


def test_a_blind_victim_loses_jobs():
    assert run("reference_5s").scorecard.jobs_cut_by_scale_in > 0


def test_nobody_waits_when_everything_always_runs():
    card = run("static_max").scorecard
    assert card.wait_p99 == 0
    assert card.machine_hours == pytest.approx(10 * 1500 / 3600)
    assert card.starts == 0


def test_the_oracle_waits_less_than_any_for_less_than_the_maximum():
    oracle, most = run("oracle").scorecard, run("static_max").scorecard
    assert oracle.wait_p95 < 1
    assert oracle.machine_hours < 0.7 * most.machine_hours


def test_a_slower_boot_is_a_longer_wait():
    fast, slow = run().scorecard, run(scenario=SCENARIOS["boot120"]).scorecard
    assert slow.wait_p95 > fast.wait_p95


@pytest.mark.timeout(300)
@pytest.mark.parametrize("tick_seconds", [10.0, pytest.param(1.0, marks=pytest.mark.full)])
def test_boots_that_fail_for_a_day_start_few_domains_and_never_more_than_the_maximum(tick_seconds):
    scenario = Scenario("dead", faults=Faults(boot_failure_ratio=1.0))
    trace = Trace("day", (0.0,), (0.001,), 86_400.0)
    bounds = Bounds(2, 4, defined=12)
    card = run(scenario=scenario, trace=trace, bounds=bounds, tick_seconds=tick_seconds).scorecard
    assert card.peak_active <= 4
    # One probe each 30 minutes and its boot deadline.
    assert card.starts <= 24 * 2 + 10
    assert card.unfinished == card.jobs


def test_no_answer_from_prometheus_never_scales_in():
    scenario = replace(SCENARIOS["boot5"], faults=Faults(outages=(Span(0.4, 900.0),)))
    begin = None
    for decision in decided(scenario=scenario):
        blind = all(type(one).__name__ == "Failed" for one in decision.readings.values())
        begin = begin if begin is not None or not blind else decision.at
        if blind and decision.at > begin:
            drains = [one for one in decision.plan.actions if one.kind is ActionKind.DRAIN]
            assert not [one for one in drains if one.max_leases is not None]


def test_a_killed_scaler_goes_on():
    scenario = replace(
        SCENARIOS["boot5"],
        faults=Faults(scaler_away=tuple(Span(share / 20, 5.0) for share in range(1, 20))),
    )
    card = run(scenario=scenario).scorecard
    assert card.unfinished == 0
    assert card.jobs_cut_by_scale_in == 0


def test_a_clock_that_jumps_changes_nothing():
    usual = replace(SCENARIOS["boot30"], boot=LENGTH)
    jumps = tuple((0.05 * step, 3600.0 * (-1) ** step) for step in range(1, 20))
    jumping = replace(usual, faults=Faults(clock_steps=jumps))
    assert run(scenario=jumping).scorecard == run(scenario=usual).scorecard


def test_a_clock_that_jumps_costs_no_job():
    card = run(scenario=replace(SCENARIOS["clock_step"], boot=LENGTH)).scorecard
    assert card.unfinished == 0
    assert card.peak_active <= 10


def test_lost_domains_are_replaced_and_their_jobs_done_again():
    scenario = replace(SCENARIOS["boot5"], faults=Faults(losses_per_domain_hour=30.0))
    card = run(scenario=scenario).scorecard
    assert card.jobs_cut_by_faults > 0
    assert card.unfinished == 0


def test_an_unknown_policy_is_an_error():
    with pytest.raises(KeyError):
        run("nobody")
