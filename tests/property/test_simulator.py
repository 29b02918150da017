"""What must hold of every simulated day, and of the shortcut that makes days cheap."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from scaler.breaker import BreakerSettings
from scaler.decision import ActionResult, Outcome, Settings, State, decide
from scaler.feedback import feed
from scaler.recommendation import BacklogPolicy, ReferencePolicy
from scaler.simulator.scenario import Faults, Scenario, Span
from scaler.simulator.simulation import NAMES, Bounds, simulate, workload_of
from scaler.simulator.spreads import Spread, SpreadKind
from scaler.simulator.traces import Trace
from scaler.stabilization import Limits
from scaler.tracking import Timing
from tests.property.test_scaler import SETTINGS, histories, observations

FEW = settings(max_examples=12, deadline=None)

rates = st.lists(st.floats(0, 0.6), min_size=2, max_size=6).filter(any)
ratios = st.sampled_from([0.0, 0.1, 0.5])
spans = st.lists(st.builds(Span, st.floats(0, 0.9), st.floats(1, 200)), max_size=2).map(tuple)
faults = st.builds(
    Faults,
    boot_failure_ratio=ratios,
    scrape_loss_ratio=ratios,
    losses_per_domain_hour=st.sampled_from([0.0, 10.0]),
    outages=spans,
    not_a_number=spans,
    empty=spans,
    hypervisor_away=spans,
    scaler_away=spans,
    host_full=spans,
)
scenarios = st.builds(
    Scenario,
    name=st.just("drawn"),
    boot=st.builds(Spread, st.just(SpreadKind.NORMAL), st.floats(1, 40), st.just(0.3)),
    slots=st.integers(1, 3),
    faults=faults,
)
BOUNDS = Bounds(1, 4, defined=7)


def lived(rates, scenario, policy, seed):
    trace = Trace(
        "drawn",
        tuple(200.0 * place for place in range(len(rates))),
        tuple(rates),
        200.0 * len(rates),
    )
    workload = workload_of(trace, Spread(SpreadKind.EXPONENTIAL, 8.0), seed)
    return workload, simulate(workload, scenario, BOUNDS, policy, seed=seed)


OURS = Settings(
    limits=Limits(max=4),
    timing=Timing(boot_deadline_seconds=120.0, drain_deadline_seconds=7200.0),
    # A full host refuses several starts at once, and the pause after that may be longer than what
    # a simulation waits for at its end.
    breaker=BreakerSettings(max_backoff_seconds=60.0),
    policies=(ReferencePolicy(is_fallback=True), BacklogPolicy()),
)


@FEW
@given(rates, scenarios, st.integers(0, 99))
def test_ours_keeps_the_ceiling_and_every_job(rates, scenario, seed):
    workload, run = lived(rates, scenario, OURS, seed)
    card = run.scorecard
    assert card.peak_active <= BOUNDS.most
    assert card.jobs == len(workload.arrivals)
    assert card.unfinished == 0
    assert card.jobs_cut_by_scale_in == 0


@FEW
@given(rates, scenarios, st.sampled_from(NAMES), st.integers(0, 99))
def test_jobs_are_neither_lost_nor_doubled_whoever_scales(rates, scenario, name, seed):
    workload, run = lived(rates, scenario, name, seed)
    card = run.scorecard
    assert card.jobs == len(workload.arrivals)
    assert 0 <= card.unfinished <= card.jobs
    assert 0 <= card.wait_p50 <= card.wait_p95 <= card.wait_p99
    assert card.timeshare_under + card.timeshare_over <= 1.000001


@settings(max_examples=60, deadline=None)
@given(histories, observations())
def test_remembering_the_last_turn_changes_no_decision(history, last):
    """What `State.tracked` spares must not show: each turn is decided with and without it."""
    state, now = State(), 100.0
    repeated = [one for one in history for _ in range(2)]
    for seconds, observation, outcome in [*repeated, (1.0, last, Outcome.DONE)]:
        now += seconds
        bare = replace(state, tracked=None)
        state, decision = decide(SETTINGS, state, observation, now)
        other, same = decide(SETTINGS, bare, observation, now)
        assert decision == same
        assert state == other
        for action in decision.plan.actions:
            state = feed(SETTINGS, state, ActionResult(action.kind, action.domain, outcome), now)
