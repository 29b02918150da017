from dataclasses import replace

from prometheus_client import CollectorRegistry, generate_latest

from collector.telemetry import WebMetrics, WebState

STATE = WebState(
    is_config_current=True,
    config_read_at=1000.5,
    certificate_ends_at=2000.0,
    connections=3,
    scrapes=2,
    refusals={"password": 7, "rate": 0},
    evictions=1,
)


def shown(state):
    registry = CollectorRegistry()
    registry.register(WebMetrics(lambda: state))
    return generate_latest(registry).decode()


def test_the_state_of_the_moment_is_shown():
    text = shown(STATE)
    for line in (
        "virtscale_collector_web_config_current 1.0",
        "virtscale_collector_web_config_read_timestamp_seconds 1000.5",
        "virtscale_collector_web_certificate_end_timestamp_seconds 2000.0",
        "virtscale_collector_web_connections 3.0",
        "virtscale_collector_web_scrapes 2.0",
        'virtscale_collector_web_refused_total{by="password"} 7.0',
        'virtscale_collector_web_refused_total{by="rate"} 0.0',
        "virtscale_collector_web_evictions_total 1.0",
    ):
        assert f"\n{line}\n" in text


def test_a_config_that_is_not_in_force_and_no_certificate():
    text = shown(replace(STATE, is_config_current=False, certificate_ends_at=None))
    assert "virtscale_collector_web_config_current 0.0" in text
    assert "certificate_end" not in text
