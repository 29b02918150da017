from dataclasses import replace

import pytest

from scaler import overrides
from scaler.alerts import AlertRule, Base, Firing, Matcher, Sight
from scaler.breaker import BreakerSettings
from scaler.decision import (
    ActionResult,
    Hold,
    Observation,
    Outcome,
    Settings,
    State,
    decide,
)
from scaler.feedback import feed
from scaler.host_room import HostRoom
from scaler.overrides import Override, OverrideKind
from scaler.pool import ActionKind, DomainState
from scaler.readings import Empty, Known
from scaler.reasons import Reason
from scaler.recommendation import BacklogPolicy, ReferencePolicy
from scaler.saturation import SaturationSettings
from scaler.stabilization import Limits
from scaler.standby import StandbyPolicy

SETTINGS = Settings(
    limits=Limits(min=1, max=3, out_window_seconds=0.0, in_window_seconds=30.0),
    policies=(ReferencePolicy(), BacklogPolicy()),
)


def signals(demand=0.0, cpu=0.1):
    return {
        "cpu": Known(cpu, 1.0),
        "demand": Known(demand, 1.0),
        "demand_average": Known(demand, 1.0),
    }


def seen(records, workers=(), readings=None, **fields):
    return Observation(tuple(records), tuple(workers), readings or signals(), **fields)


def acts(decision):
    return [(one.kind.value, one.domain, one.reason.value) for one in decision.plan.actions]


@pytest.fixture
def off(make):
    return [make.record(name) for name in "abcd"]


def test_starts_from_nothing_and_says_why(off):
    state, decision = decide(SETTINGS, State(), seen(off), 0.0)
    assert acts(decision) == [("start", "a", "scale_out")]
    assert decision.reason is Reason.NONE_ACTIVE
    assert state.token == 1
    assert state.tracks["a"].in_flight is ActionKind.START


def test_the_token_is_newer_than_any_that_was_seen(make):
    state, _ = decide(SETTINGS, State(), seen([make.record("a", token=41)]), 0.0)
    assert state.token == 42


def test_a_newer_scaler_ends_this_ones_actions(make, off):
    state, _ = decide(SETTINGS, State(), seen(off), 0.0)
    _, decision = decide(SETTINGS, state, seen([make.record("b", token=2), *off[2:]]), 1.0)
    assert decision.plan.actions == ()
    assert decision.reason is Reason.FENCED


def test_does_not_start_twice_what_is_being_started(off):
    state, _ = decide(SETTINGS, State(), seen(off), 0.0)
    _, decision = decide(SETTINGS, state, seen(off), 1.0)
    assert decision.plan.actions == ()
    assert decision.pool.count(DomainState.STARTING) == 1


def test_demand_is_met_in_one_step_up_to_the_ceiling(off):
    _, decision = decide(SETTINGS, State(), seen(off, readings=signals(demand=9)), 0.0)
    assert [domain for _, domain, _ in acts(decision)] == ["a", "b", "c"]
    assert decision.reason is Reason.DEMAND
    assert Reason.MAX in [step.reason for step in decision.stabilised.steps]


def test_nothing_happens_while_the_hypervisor_does_not_answer():
    observation = Observation(None, (), signals(demand=9), errors=("no libvirt",))
    _, decision = decide(SETTINGS, State(), observation, 0.0)
    assert decision.plan.actions == ()
    assert decision.reason is Reason.HYPERVISOR_UNKNOWN
    assert decision.desired is None
    assert decision.errors == ("no libvirt",)


def test_a_hold_keeps_the_recommendation_but_stops_the_actions(off):
    observation = seen(off, readings=signals(demand=9), hold=Hold("me"))
    state, decision = decide(SETTINGS, State(), observation, 0.0)
    assert (decision.desired, decision.reason) == (3, Reason.PAUSED)
    assert decision.plan.actions == ()
    _, decision = decide(SETTINGS, state, seen(off, readings=signals(demand=9)), 1.0)
    assert len(decision.plan.actions) == 3


def test_the_minimum_needs_no_signal(off):
    unknown = dict.fromkeys(("cpu", "demand", "demand_average"), Empty())
    only_backlog = Settings(limits=Limits(min=2, max=3), policies=(BacklogPolicy(),))
    _, decision = decide(only_backlog, State(), seen(off, readings=unknown), 0.0)
    assert len(decision.plan.actions) == 2
    assert decision.reason is Reason.MIN


def test_a_start_that_failed_counts_and_a_busy_hypervisor_does_not(off):
    settings = Settings(limits=Limits(max=3), breaker=BreakerSettings(threshold=1))
    state, _ = decide(settings, State(), seen(off), 0.0)
    busy = ActionResult(ActionKind.START, "a", Outcome.RETRYABLE, "busy")
    assert feed(settings, state, busy, 1.0).breaker.failures == 0
    failed = ActionResult(ActionKind.START, "a", Outcome.FAILED, "no memory")
    state = feed(settings, state, failed, 1.0)
    assert state.tracks["a"].failures == 1
    _, decision = decide(settings, state, seen(off), 2.0)
    assert decision.reason is Reason.BREAKER_OPEN
    assert decision.plan.wake_at == 31.0
    _, decision = decide(settings, state, seen(off), 31.0)
    assert acts(decision) == [("start", "b", "scale_out")]


def test_after_the_back_off_one_probe_at_a_time(make, off):
    settings = Settings(limits=Limits(min=3, max=3), breaker=BreakerSettings(threshold=1))
    state, _ = decide(settings, State(), seen(off), 0.0)
    for name in "abc":
        result = ActionResult(ActionKind.START, name, Outcome.FAILED)
        state = feed(settings, state, result, 0.0)
    state, decision = decide(settings, state, seen(off), 1000.0)
    assert acts(decision) == [("start", "d", "scale_out")]
    _, decision = decide(settings, state, seen(off), 1001.0)
    assert decision.plan.actions == ()
    assert Reason.BREAKER_PROBE in decision.plan.reasons


def test_a_report_of_a_drain_that_was_cancelled_changes_nothing(make, off):
    state, _ = decide(SETTINGS, State(), seen(off), 0.0)
    late = ActionResult(ActionKind.DRAIN, "a", Outcome.CANCELLED)
    assert feed(SETTINGS, state, late, 1.0) is state
    assert feed(SETTINGS, state, ActionResult(ActionKind.START, "x", Outcome.DONE), 1.0) is state


def test_last_known_workers_stand_in_while_the_dispatcher_is_away(make):
    running = [make.record("a", "running")]
    state, decision = decide(SETTINGS, State(), seen(running, [make.worker("a")]), 0.0)
    assert decision.pool.ready == 1
    away = Observation(tuple(running), None, signals())
    _, decision = decide(SETTINGS, state, away, 100.0)
    assert decision.pool.ready == 1


def test_a_restart_in_a_drain_leads_to_the_same_next_action(make):
    records = [
        make.record("a", "running"),
        make.record("b", "running", "drain", since=95.0, token=3),
    ]
    workers = [make.worker("a"), make.worker("b", "draining", leases=1)]
    idle = seen(records, workers)
    _, decision = decide(SETTINGS, State(), idle, 100.0)
    assert acts(decision) == [("drain", "b", "drain_resumed")]
    busy = seen(records, workers, readings=signals(demand=5))
    _, decision = decide(SETTINGS, State(), busy, 100.0)
    assert acts(decision) == [("cancel_drain", "b", "demand_returned")]


def test_scale_in_is_explained_by_the_policy_that_allows_it(make):
    records = [make.record("a", "running"), make.record("b", "running")]
    workers = [make.worker("a", leases=1), make.worker("b")]
    state = State()
    for now in range(32):
        state, decision = decide(SETTINGS, state, seen(records, workers), float(now))
        if decision.plan.actions:
            break
        assert decision.reason is Reason.IN_WINDOW_FILLING
    assert now == 30
    assert acts(decision) == [("drain", "b", "scale_in")]
    assert decision.reason is Reason.CPU_FITS_ONE_FEWER


def test_a_guest_that_dies_before_it_is_seen_running_has_failed_to_boot(off):
    state = State()
    for turn in range(2):
        state, decision = decide(SETTINGS, state, seen(off), float(turn))
        (start,) = decision.plan.actions
        started = ActionResult(ActionKind.START, start.domain, Outcome.DONE)
        state = feed(SETTINGS, state, started, turn + 0.5)
    state, decision = decide(SETTINGS, state, seen(off), 2.0)
    assert [incident.value for _, incident in decision.incidents] == ["boot_failed"]
    assert state.breaker.failures == 2
    assert decision.reason is Reason.BREAKER_OPEN


@pytest.mark.parametrize(("outcome", "again"), [(Outcome.RETRYABLE, "a"), (Outcome.FAILED, "b")])
def test_a_start_without_an_answer_is_repeated_and_a_refused_one_is_not(make, outcome, again):
    domains = [make.record("a"), make.record("b")]
    state, _ = decide(SETTINGS, State(), seen(domains), 0.0)
    state = feed(SETTINGS, state, ActionResult(ActionKind.START, "a", outcome), 20.0)
    domains[0] = make.record("a", op="start", since=0.0)
    _, decision = decide(SETTINGS, state, seen(domains), 20.0)
    assert acts(decision)[0] == ("start", again, "scale_out")


def test_a_scale_out_that_did_not_help_a_saturated_host_is_not_repeated(make):
    """Two domains on one core: twice the domains, the same throughput, half of the time waiting."""
    settings = Settings(
        limits=Limits(max=4, out_window_seconds=0.0),
        policies=(BacklogPolicy(),),
        saturation=SaturationSettings(settle_seconds=10.0),
    )
    records = [make.record(name, "running") for name in "ab"] + [make.record("c"), make.record("d")]
    state = State()
    decision = None
    for now in range(40):
        ready = 1 if now < 5 else 2
        workers = [make.worker(name, leases=1) for name in "ab"[:ready]]
        readings = signals(demand=1.5 if now < 15 else 4.0)
        readings["host_pressure"] = Known(0.5, 1.0)
        readings["throughput"] = Known(10.0, 1.0)
        state, decision = decide(settings, state, seen(records, workers, readings), float(now))
    assert decision.reason is Reason.HOST_SATURATED
    assert acts(decision) == []
    readings["host_pressure"] = Empty()
    state, decision = decide(settings, state, seen(records, workers, readings), 40.0)
    assert [one[:2] for one in acts(decision)] == [("start", "c"), ("start", "d")]


STANDBY = replace(SETTINGS, standby=StandbyPolicy(paused=1, refill_seconds=30.0))
ROOM = HostRoom(1 << 40, 1 << 40, 1 << 40)


def paused_pool(make):
    return [make.record("a", "running"), make.record("b", "paused", "suspend"), make.record("c")]


def test_a_wake_is_a_scale_out(make):
    domains, workers = paused_pool(make), [make.worker("a")]
    state, decision = decide(STANDBY, State(), seen(domains, workers, signals(1.5)), 100.0)
    assert acts(decision) == [("resume", "b", "scale_out")]
    assert decision.pool.active == 2
    assert state.memory.last_out_at == 100.0
    done = ActionResult(ActionKind.RESUME, "b", Outcome.DONE)
    assert feed(STANDBY, state, done, 100.1).tracks["b"].failures == 0


def test_a_wake_that_fails_counts_once_and_costs_the_domain(make):
    domains, workers = paused_pool(make), [make.worker("a")]
    observed = seen(domains, workers, signals(1.5))
    state, _ = decide(STANDBY, State(), observed, 100.0)
    failed = ActionResult(ActionKind.RESUME, "b", Outcome.FAILED, "no")
    state = feed(STANDBY, state, failed, 100.1)
    assert (state.wakes.failures, state.breaker.failures) == (1, 0)
    state, decision = decide(STANDBY, state, observed, 101.0)
    assert acts(decision) == [("start", "c", "scale_out"), ("destroy", "b", "wake_failed")]
    assert (state.wakes.failures, state.breaker.failures) == (1, 0)
    assert decision.incidents == ()


def test_starts_that_a_full_host_refuses_at_once_raise_the_back_off_once(make):
    settings = Settings(limits=Limits(min=4, max=8), policies=(BacklogPolicy(),))
    domains = [make.record(name) for name in "abcd"]
    state, decision = decide(settings, State(), seen(domains), 0.0)
    assert [kind for kind, _, _ in acts(decision)] == ["start"] * 4
    for number, name in enumerate("abcd"):
        refused = ActionResult(ActionKind.START, name, Outcome.FAILED, "no memory")
        state = feed(settings, state, refused, 0.1 * (number + 1))
    assert (state.breaker.failures, state.breaker.open_until) == (4, pytest.approx(30.4))
    state, decision = decide(settings, state, seen(domains), 31.0)
    ((_, probe, _),) = acts(decision)
    state = feed(settings, state, ActionResult(ActionKind.START, probe, Outcome.FAILED), 31.5)
    assert state.breaker.open_until == pytest.approx(91.5)


def test_boots_that_fail_together_raise_the_back_off_once_also_over_a_restart(make):
    settings = Settings(limits=Limits(min=4, max=4), policies=(BacklogPolicy(),))
    booting = [make.record(name, "running", "start", since=10.0) for name in "abcd"]
    state, _ = decide(settings, State(), seen(booting), 20.0)
    state, decision = decide(settings, state, seen(booting), 70.0)
    assert [one.value for _, one in decision.incidents] == ["boot_failed"] * 4
    assert (state.breaker.failures, state.breaker.open_until) == (4, 100.0)


def test_a_wake_that_finishes_or_fails_says_nothing_of_boots(make):
    domains, workers = paused_pool(make), [make.worker("a")]
    state, _ = decide(STANDBY, State(), seen(domains, workers, signals(1.5)), 100.0)
    state = replace(state, breaker=state.breaker.failed(STANDBY.breaker, 99.0, 90.0))
    state = feed(STANDBY, state, ActionResult(ActionKind.RESUME, "b", Outcome.DONE), 100.1)
    domains[1] = make.record("b", "running", "resume", since=100.0)
    woken = [*workers, make.worker("b")]
    good, decision = decide(STANDBY, state, seen(domains, woken, signals(1.5)), 101.0)
    assert [one.value for _, one in decision.incidents] == ["wake_finished"]
    assert (good.breaker.failures, good.wakes.failures) == (1, 0)
    bad, decision = decide(STANDBY, state, seen(domains, workers, signals(1.5)), 116.0)
    assert [one.value for _, one in decision.incidents] == ["wake_failed"]
    assert (bad.breaker.failures, bad.wakes.failures) == (1, 1)
    assert bad.trials.failures == {}


def test_a_wake_without_an_answer_is_tried_twice(make):
    domains, workers = paused_pool(make), [make.worker("a")]
    observed = seen(domains, workers, signals(1.5))
    state, now = State(), 100.0
    for _ in range(2):
        state, decision = decide(STANDBY, state, observed, now)
        assert acts(decision) == [("resume", "b", "scale_out")]
        lost = ActionResult(ActionKind.RESUME, "b", Outcome.RETRYABLE, "no answer")
        state = feed(STANDBY, state, lost, now + 20.0)
        now += 21.0
    _, decision = decide(STANDBY, state, observed, now)
    assert acts(decision) == [("start", "c", "scale_out"), ("destroy", "b", "wake_failed")]
    assert state.wakes.failures == 1


def test_a_refill_waits_for_its_turn(make):
    domains = [make.record("a", "running"), make.record("b"), make.record("c")]
    observed = seen(domains, [make.worker("a")], room=ROOM)
    state, decision = decide(STANDBY, State(), observed, 100.0)
    assert acts(decision) == [("prepare", "b", "standby_refill")]
    refused = ActionResult(ActionKind.PREPARE, "b", Outcome.RETRYABLE, "away")
    state = feed(STANDBY, state, refused, 100.1)
    state, decision = decide(STANDBY, state, observed, 101.0)
    assert (acts(decision), decision.plan.wake_at) == ([], 130.0)
    _, decision = decide(STANDBY, state, observed, 131.0)
    assert acts(decision) == [("prepare", "b", "standby_refill")]


def test_nothing_spare_is_started_on_a_host_that_does_not_tell(make):
    domains = [make.record("a", "running"), make.record("b")]
    _, decision = decide(STANDBY, State(), seen(domains, [make.worker("a")]), 100.0)
    assert (acts(decision), decision.reason) == ([], Reason.HOST_MEMORY)


RULES = (
    AlertRule("more", (Matcher("alertname", "Busy"),), raise_by=2),
    AlertRule("stay", (Matcher("alertname", "Stay"),), blocks_in=True),
)
ALERTED = replace(SETTINGS, limits=replace(SETTINGS.limits, max=4), alert_rules=RULES)


def fires(*names, **bases):
    return Sight(tuple(Firing(name, {"alertname": name}) for name in names), bases)


def told(kind, domains=None, domain=""):
    return Override("1", OverrideKind(kind), "ann", "", 0.0, None, domains, domain)


def test_an_alert_starts_domains_and_is_named_as_the_reason(make, off):
    records = [make.record("a", "running"), *off[1:]]
    observation = seen(records, [make.worker("a")], alerts=fires("Busy"))
    _, decision = decide(ALERTED, State(), observation, 0.0)
    assert (decision.desired, decision.reason) == (3, Reason.ALERT_RAISE)
    assert [domain for _, domain, _ in acts(decision)] == ["b", "c"]
    (effect,) = decision.effects
    assert (effect.rule, effect.alerts, effect.least) == ("more", ("Busy",), 3)
    assert decision.bases == {"more": Base(1)}


def test_the_base_is_not_below_the_minimum(off):
    _, decision = decide(ALERTED, State(), seen(off, alerts=fires("Busy")), 0.0)
    assert decision.desired == 3


def test_an_alert_raises_without_any_signal_and_not_above_the_maximum(off):
    unknown = dict.fromkeys(("cpu", "demand", "demand_average"), Empty())
    observation = seen(off, readings=unknown, alerts=fires("Busy", more=Base(9)))
    _, decision = decide(ALERTED, State(), observation, 0.0)
    assert decision.desired == 4
    assert [step.reason for step in decision.stabilised.steps][-2:] == [
        Reason.ALERT_RAISE,
        Reason.MAX,
    ]


def test_what_is_remembered_of_alerts_is_kept_while_libvirt_does_not_answer():
    observation = Observation(None, (), signals(), alerts=fires("Busy", more=Base(2)))
    _, decision = decide(ALERTED, State(), observation, 0.0)
    assert decision.bases == {"more": Base(2)}


def test_a_cordoned_domain_is_left_alone_while_scaling_in_is_blocked(make):
    records = [make.record("a", "running"), make.record("b", "running")]
    workers = [make.worker("a"), make.worker("b", "cordoned")]
    plain = seen(records, workers)
    _, decision = decide(ALERTED, State(), plain, 0.0)
    assert acts(decision) == [("drain", "b", "cordoned_surplus")]
    blocked = overrides.orders([told("block_in")])
    for observation in (replace(plain, orders=blocked), replace(plain, alerts=fires("Stay"))):
        _, decision = decide(ALERTED, State(), observation, 0.0)
        assert acts(decision) == []


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (told("hold", 3), Reason.OVERRIDE_HOLD),
        (told("floor", 3), Reason.OVERRIDE_FLOOR),
    ],
)
def test_an_order_is_named_as_the_reason(off, order, reason):
    _, decision = decide(ALERTED, State(), seen(off, orders=overrides.orders([order])), 0.0)
    assert (decision.desired, decision.reason) == (3, reason)


def test_a_ceiling_drains_at_once_and_without_any_signal(make):
    records = [make.record(name, "running") for name in "abc"]
    workers = [make.worker(name) for name in "abc"]
    unknown = dict.fromkeys(("cpu", "demand", "demand_average"), Empty())
    orders = overrides.orders([told("ceiling", 1)])
    observation = seen(records, workers, readings=unknown, orders=orders)
    _, decision = decide(ALERTED, State(), observation, 0.0)
    assert [kind for kind, _, _ in acts(decision)] == ["drain", "drain"]
    assert decision.reason is Reason.OVERRIDE_CEILING


def test_a_standby_guest_that_dies_before_it_is_seen_running_has_failed_to_boot(make):
    domains = [make.record("a", "running"), make.record("b")]
    workers = [make.worker("a")]
    state, decision = decide(STANDBY, State(), seen(domains, workers, room=ROOM), 100.0)
    assert acts(decision) == [("prepare", "b", "standby_refill")]
    state = feed(STANDBY, state, ActionResult(ActionKind.PREPARE, "b", Outcome.DONE), 100.5)
    domains[1] = make.record("b", op="prepare", since=100.0)
    state, decision = decide(STANDBY, state, seen(domains, workers, room=ROOM), 101.0)
    assert [(name, one.value) for name, one in decision.incidents] == [("b", "boot_failed")]
    assert acts(decision) == [("settle", "b", "off_reached")]


def test_another_scalers_tokens_fence_nobody_off(make):
    theirs = replace(make.record("a", "running", token=9), foreign_scaler="another")
    domains = [theirs, make.record("b", token=2)]
    state, decision = decide(SETTINGS, State(), seen(domains), 0.0)
    assert state.token == 3
    assert acts(decision) == [("start", "b", "scale_out")]
    _, decision = decide(SETTINGS, state, seen(domains), 1.0)
    assert Reason.FENCED not in decision.plan.reasons
