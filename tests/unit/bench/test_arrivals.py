import pytest

from bench.arrivals import Load, Seen, judge
from bench.generator import instants


def row(due, *, code="OK", job_id="", late=0.0, took=0.002, has_retry_info=False):
    sent = due + late
    found = {"due": due, "sent": sent, "answered": sent + took, "code": code}
    return found | ({"job_id": job_id} if code == "OK" else {"has_retry_info": has_retry_info})


def seen(rows, arrived=None, rate=100.0) -> Seen:
    return judge(Load(rate, 1.0), rows, arrived or {}, {}, None)


def test_arrivals_are_a_repeatable_poisson_process():
    due = instants(1_000, 50.0, 20.0, seed=3)
    assert due == instants(1_000, 50.0, 20.0, seed=3)
    assert due != instants(1_000, 50.0, 20.0, seed=4)
    assert due == sorted(due)
    assert 50.0 < due[0] < due[-1] < 70.0
    assert len(due) == pytest.approx(20_000, rel=0.05)


def test_latency_counts_from_the_intended_instant():
    found = seen([row(1.0, job_id="a", late=0.5, took=0.25)], {"a": 2.0})
    assert found.acks == [pytest.approx(750)]
    assert found.acks_from_send == [pytest.approx(250)]
    assert found.results == [pytest.approx(1_000)]
    assert found.is_void


def test_codes_and_missing_results_are_counted():
    rows = [
        row(1.0, job_id="a"),
        row(1.1, job_id="b"),
        row(1.2, code="RESOURCE_EXHAUSTED", has_retry_info=True),
        row(1.3, code="RESOURCE_EXHAUSTED"),
        row(1.4, code="CANCELLED"),
    ]
    found = seen(rows, {"a": 1.1})
    assert found.codes == {"OK": 2, "RESOURCE_EXHAUSTED": 2, "CANCELLED": 1}
    assert found.refused_without_retry_info == 1
    assert found.missing_results == 1
    assert not found.is_sustained


def test_a_rate_is_sustained_when_everything_came_in_time():
    rows = [row(number / 100, job_id=str(number)) for number in range(100)]
    arrived = {each["job_id"]: each["answered"] for each in rows}
    assert seen(rows, arrived).is_sustained
    assert not seen(rows, arrived, rate=200.0).is_sustained
    assert not seen([*rows, row(0.5, job_id="slow", took=9)], arrived | {"slow": 1}).is_sustained


def test_a_run_without_calls_is_void():
    assert seen([]).is_void
