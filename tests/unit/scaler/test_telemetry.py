from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from scaler import overrides
from scaler.alerts import AlertRule, Firing, Matcher, Sight
from scaler.decision import ActionResult, Observation, Outcome, Settings, State, decide
from scaler.entries import StoreState
from scaler.history_metrics import HistoryMetrics
from scaler.overrides import Override, OverrideKind
from scaler.pool import ActionKind
from scaler.readings import Empty, Known
from scaler.reasons import Reason
from scaler.recommendation import BacklogPolicy
from scaler.shadows import Verdict
from scaler.stabilization import Limits
from scaler.telemetry import Telemetry

SETTINGS = Settings(limits=Limits(max=3, out_window_seconds=0.0), policies=(BacklogPolicy(),))


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def telemetry(registry):
    return Telemetry("web", registry)


def decided(make, telemetry, domains=("a", "b"), average=None):
    readings = {"demand": Known(2.0, 1.0), "demand_average": average or Empty()}
    records = None if domains is None else tuple(make.record(name) for name in domains)
    observation = Observation(records, (), readings)
    state, decision = decide(SETTINGS, State(), observation, 5.0)
    telemetry.decided(decision, state, 1_700_000_000.0)


def test_exports_the_newest_turn(make, registry, telemetry):
    decided(make, telemetry)
    text = generate_latest(registry).decode()
    for line in [
        'virtscale_scaler_desired_domains{pool="web"} 2.0',
        'virtscale_scaler_domains{pool="web",state="off"} 2.0',
        'virtscale_scaler_domains{pool="web",state="ready"} 0.0',
        'virtscale_scaler_recommendation_domains{policy="backlog",pool="web"} 2.0',
        'virtscale_scaler_signal_value{pool="web",signal="demand"} 2.0',
        'virtscale_scaler_signal_known{pool="web",signal="demand"} 1.0',
        'virtscale_scaler_signal_known{pool="web",signal="demand_average"} 0.0',
        'virtscale_scaler_decisions_total{pool="web",reason="demand"} 1.0',
        'virtscale_scaler_decisions_total{pool="web",reason="paused"} 0.0',
        "virtscale_scaler_last_tick_timestamp_seconds 1.7e+09",
        'virtscale_scaler_paused{pool="web"} 0.0',
        'virtscale_scaler_standby_missing_domains{pool="web",tier="paused"} 0.0',
    ]:
        assert line in text
    assert 'signal_value{pool="web",signal="demand_average"}' not in text


def test_exports_orders_and_what_alerts_demand(make, registry, telemetry):
    order = Override("1", OverrideKind.FLOOR, "ann", "", 0.0, domains=1)
    rule = AlertRule("more", (Matcher("alertname", "Busy"),), raise_by=1, floor=3)
    observation = Observation(
        (make.record("a"),),
        (),
        {},
        orders=overrides.orders([order]),
        alerts=Sight((Firing("f", {"alertname": "Busy"}),)),
    )
    settings = replace(SETTINGS, alert_rules=(rule,))
    state, decision = decide(settings, State(), observation, 5.0)
    telemetry.decided(decision, state, 1.0)
    text = generate_latest(registry).decode()
    for line in [
        'virtscale_scaler_override_active{kind="floor",pool="web"} 1.0',
        'virtscale_scaler_override_active{kind="pause",pool="web"} 0.0',
        'virtscale_scaler_alert_demand_domains{pool="web",rule="more"} 3.0',
    ]:
        assert line in text
    record = telemetry.status()["decision"]
    assert record["overrides"] == ["floor"]
    assert [(one["reason"], one["least"]) for one in record["alerts"]] == [
        ("alert_floor", 3),
        ("alert_raise", 2),
    ]


def test_what_is_not_known_is_absent_not_zero(make, registry, telemetry):
    decided(make, telemetry, domains=None)
    text = generate_latest(registry).decode()
    assert "virtscale_scaler_desired_domains" not in text
    assert "virtscale_scaler_domains{" not in text


def test_counts_how_actions_ended(registry, telemetry):
    telemetry.resulted(ActionResult(ActionKind.START, "a", Outcome.FAILED))
    text = generate_latest(registry).decode()
    line = 'virtscale_scaler_actions_total{action="start",pool="web",result="failed"} 1.0'
    assert line in text


def test_the_status_tells_of_every_domain(make, telemetry):
    assert telemetry.status() is None
    decided(make, telemetry)
    status = telemetry.status()
    assert (status["pool"], status["desired"]) == ("web", 2)
    assert [one["name"] for one in status["domains"]] == ["a", "b"]
    assert status["decision"]["signals"]["demand"] == {
        "kind": "known",
        "value": 2.0,
        "age_seconds": 1.0,
    }
    assert status["decision"]["signals"]["demand_average"] == {"kind": "empty"}


def test_a_wish_that_is_not_followed_is_counted_by_what_withheld_it(make, registry, telemetry):
    decided(make, telemetry, domains=())
    labels = {"pool": "web", "direction": "out", "reason": "no_domain_left"}
    assert registry.get_sample_value("virtscale_scaler_withheld_total", labels) == 1


def test_the_age_of_the_last_good_turn_grows_while_libvirt_is_away(make, registry):
    now = [100.0]
    telemetry = Telemetry("web", registry, monotonic=lambda: now[0])
    name = "virtscale_scaler_last_successful_turn_age_seconds"
    decided(make, telemetry)
    now[0] = 107.0
    decided(make, telemetry, domains=None)
    assert registry.get_sample_value(name, {"pool": "web"}) == 7.0
    decided(make, telemetry)
    assert registry.get_sample_value(name, {"pool": "web"}) == 0.0


def test_shadows_show_what_they_would_want_and_whether_they_fail(make, registry, telemetry):
    decided(make, telemetry)
    telemetry.judged(
        (Verdict("lean", 1, Reason.MAX), Verdict("bad", None, Reason.NO_SIGNAL, "ValueError()"))
    )
    name = "virtscale_scaler_shadow_desired_domains"
    assert registry.get_sample_value(name, {"pool": "web", "shadow": "lean"}) == 1
    assert registry.get_sample_value(name, {"pool": "web", "shadow": "bad"}) is None
    name = "virtscale_scaler_shadow_failures_total"
    assert registry.get_sample_value(name, {"pool": "web", "shadow": "lean"}) == 0
    assert registry.get_sample_value(name, {"pool": "web", "shadow": "bad"}) == 1


def test_the_decision_store_is_asked_at_each_scrape(registry):
    states = iter([StoreState(0, 0, 4096, False), StoreState(2, 1, 8192, True)])
    HistoryMetrics(registry, lambda: next(states))
    assert "virtscale_scaler_decision_store_bytes 4096.0" in generate_latest(registry).decode()
    text = generate_latest(registry).decode()
    assert "virtscale_scaler_decision_store_failures_total 2.0" in text
    assert "virtscale_scaler_decision_store_lost_total 1.0" in text
