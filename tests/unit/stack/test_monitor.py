import asyncio

import pytest
from virtscale.client.errors import DispatcherError
from virtscale.client.values import JobSpec

from stack import pool_view
from stack.monitor import Monitor
from stack.pool_view import Away

NOBODY = "127.0.0.1:1"


@pytest.fixture
def domains(make_domains):
    return make_domains("vs-1", "vs-2")


@pytest.fixture
def seen():
    return []


@pytest.fixture
def monitor(dispatcher, domains, clock, seen):
    return Monitor(
        dispatcher=dispatcher,
        domains=domains,
        scaler=NOBODY,
        prometheus=NOBODY,
        pool="default",
        clock=clock,
        on_domains=lambda found, at: seen.append(([each.name for each in found], at)),
    )


async def test_a_look_shows_domains_and_backlog(monitor, seen):
    await monitor.observe_pool()
    shown = monitor.snapshot()
    assert [(row.name, row.state) for row in shown.rows] == [
        ("vs-1", "booting"),
        ("vs-2", "booting"),
    ]
    assert shown.backlog is not None
    assert shown.troubles == ()
    assert seen == [(["vs-1", "vs-2"], 1_000.0)]


async def test_what_was_seen_last_stays_while_a_source_is_away(monitor, dispatcher, domains):
    await monitor.observe_pool()
    domains.failures = 1
    dispatcher.failures = [DispatcherError("UNAVAILABLE", "the dispatcher does not answer")]
    await monitor.observe_pool()
    shown = monitor.snapshot()
    assert len(shown.rows) == 2
    assert shown.backlog is not None
    assert set(shown.troubles) == {"libvirt is away", "the dispatcher does not answer"}
    await monitor.observe_pool()
    assert monitor.snapshot().troubles == ()


async def test_the_rate_is_that_of_the_last_ten_seconds(monitor, dispatcher, clock):
    await monitor.observe_pool()
    assert monitor.snapshot().results_per_second is None
    await dispatcher.submit([JobSpec("A")] * 20)
    await clock.sleep(5.0)
    await monitor.observe_pool()
    assert monitor.snapshot().results_per_second == 4.0
    await clock.sleep(11.0)
    await monitor.observe_pool()
    await clock.sleep(5.0)
    await monitor.observe_pool()
    assert monitor.snapshot().results_per_second == 0.0


async def test_without_prometheus_and_scaler_there_is_no_cpu_and_no_error(monitor):
    await monitor.observe_pool()
    await monitor.observe_signals()
    shown = monitor.snapshot()
    assert shown.pool_cpu_ratio is None
    assert shown.decisions == ()
    assert all(row.cpu_ratio is None for row in shown.rows)


async def test_a_domain_that_was_switched_off_boots_anew(monitor, domains, clock):
    await monitor.observe_pool()
    await clock.sleep(500.0)
    assert {row.state for row in monitor.snapshot().rows} == {"error"}, "it never said hello"
    domains.states["vs-1"] = "off"
    await monitor.observe_pool()
    assert monitor.snapshot().rows[0].state == "off"
    domains.states["vs-1"] = "running"
    await monitor.observe_pool()
    assert monitor.snapshot().rows[0].state == "booting"


async def test_since_when_a_source_is_away_is_kept_while_its_reason_changes(
    monitor, dispatcher, clock
):
    dispatcher.failures = [DispatcherError("UNAVAILABLE", "first")]
    await monitor.observe_pool()
    await clock.sleep(5.0)
    dispatcher.failures = [DispatcherError("UNAVAILABLE", "second")]
    await monitor.observe_pool()
    assert monitor.snapshot().away == (Away("dispatcher", 1_000.0, "second"),)
    await monitor.observe_pool()
    assert monitor.snapshot().away == ()


async def test_scaler_and_prometheus_that_are_away_are_told_too(monitor):
    await monitor.observe_signals()
    assert {part.name for part in monitor.snapshot().away} == {"scaler", "prometheus"}


async def test_a_missing_reading_is_a_gap_in_the_curve(monitor):
    await monitor.observe_pool()
    await monitor.observe_signals()
    await monitor.observe_signals()
    assert monitor.snapshot().curves == {"vs-1": (None, None), "vs-2": (None, None)}


async def test_following_asks_every_source(monitor):
    following = asyncio.create_task(monitor.follow(seconds=1.0))
    await asyncio.wait_for(monitor.wait_for_all(), 20.0)
    following.cancel()
    assert len(monitor.snapshot().rows) == 2
    assert {part.name for part in monitor.snapshot().away} == {"scaler", "prometheus"}


def test_alerts_are_counted_by_name_and_severity():
    labels = [
        {"alertname": "JobsLate", "severity": "page"},
        {"alertname": "JobsLate", "severity": "page"},
        {},
    ]
    assert pool_view.alert_names(labels) == ("JobsLate (page) x2", "unnamed")
