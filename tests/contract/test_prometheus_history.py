"""Situations out of the history of a real Prometheus."""

import shutil
import time

import pytest

from scaler import replay
from scaler.decision import Settings
from scaler.pool import DomainState
from scaler.ports import SignalQuery
from scaler.prometheus_history import PrometheusHistory
from scaler.readings import Empty, Known
from scaler.recommendation import BacklogPolicy
from scaler.stabilization import Limits
from servicekit.lifecycle import StartError
from tests.contract.metrics_source_prometheus import RealPrometheus
from tests.free_ports import free_ports

QUERIES = (
    SignalQuery("demand", "sum(demand)"),
    SignalQuery("demand_average", "sum(demand)"),
    SignalQuery("cpu", "sum(nowhere)"),
)
EXPOSITION = """
virtscale_scaler_domains{pool="web",state="ready"} 2
virtscale_scaler_domains{pool="web",state="off"} 3
virtscale_scaler_domains{pool="web",state="dreaming"} 1
virtscale_scaler_domains{pool="other",state="ready"} 9
virtscale_scaler_desired_domains{pool="web"} 2
demand 4
"""


@pytest.fixture(scope="module")
def server():
    if shutil.which("prometheus") is None:
        pytest.skip("needs prometheus")
    server = RealPrometheus()
    server.exposition.text = lambda: EXPOSITION
    history = PrometheusHistory(server.url, "web")
    begin = time.time()
    server.until(lambda: len(list(history.situations((), begin, time.time()))) >= 3)
    history.close()
    yield server, begin
    server.close()


def test_every_second_is_a_situation_with_pool_signals_and_desired(server):
    prometheus, begin = server
    history = PrometheusHistory(prometheus.url, "web")
    found = list(history.situations(QUERIES, begin, time.time()))[-1]
    history.close()
    assert found.desired == 2
    assert found.pool.counts == {DomainState.READY: 2, DomainState.OFF: 3}
    assert found.readings == {
        "demand": Known(4.0, 0.0),
        "demand_average": Known(4.0, 0.0),
        "cpu": Empty(),
    }


def test_a_policy_judges_them(server):
    prometheus, begin = server
    history = PrometheusHistory(prometheus.url, "web")
    rules = Settings(limits=Limits(max=9, out_window_seconds=0.0), policies=(BacklogPolicy(),))
    found = replay.compare(history.situations(QUERIES, begin, time.time()), rules, 0.0)
    history.close()
    assert found.replayed.peak == 5
    assert found.recorded.peak == 2
    assert found.differences


@pytest.mark.parametrize(
    ("query", "text"),
    [("sum(", "Prometheus refuses sum("), ("virtscale_scaler_domains", "expected 1 series, got")],
)
def test_a_query_that_cannot_be_used_is_named(server, query, text):
    prometheus, begin = server
    history = PrometheusHistory(prometheus.url, "web")
    with pytest.raises(StartError) as caught:
        list(history.situations((SignalQuery("x", query),), begin, time.time()))
    history.close()
    assert text in str(caught.value)


def test_a_server_that_is_not_there_is_named():
    history = PrometheusHistory(f"http://127.0.0.1:{free_ports()}", "web")
    with pytest.raises(StartError, match="does not answer"):
        list(history.situations(QUERIES, 0.0, 10.0))
    history.close()
