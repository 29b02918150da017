import pytest

from scaler.simulator.scorecard import Ledger, quantile


def ledger():
    return Ledger(trace_start=100.0, trace_end=200.0, demand=((0.0, 1), (50.0, 3)), jumps=(50.0,))


def test_integrals_are_exact():
    book = ledger()
    book.started(40.0)
    book.connected(60.0, 1, is_supply=True)
    book.started(160.0)
    book.connected(170.0, 1, is_supply=True)
    card = book.scorecard(500.0)
    # Demand 1 until 150, then 3; supply 1 until 170, then 2.
    assert card.accuracy_under == pytest.approx((2 * 20 + 1 * 30) / 100)
    assert card.timeshare_under == pytest.approx(0.5)
    assert card.accuracy_over == 0
    assert card.machine_hours == pytest.approx((100 + 40) / 3600)
    assert card.starts == 1
    assert card.seconds_to_first_ready == pytest.approx(20)
    assert card.peak_active == 2


def test_a_domain_that_goes_off_unused_is_a_wasted_boot():
    book = ledger()
    book.started(110.0)
    book.stopped(120.0, 0, is_supply=False, was_wasted=True)
    card = book.scorecard(200.0)
    assert card.wasted_boots == 1
    assert card.machine_hours == pytest.approx(10 / 3600)
    assert card.seconds_to_first_ready is None


def test_too_much_is_counted_beside_too_little():
    book = ledger()
    for _ in range(4):
        book.started(50.0)
        book.connected(50.0, 2, is_supply=True)
    card = book.scorecard(200.0)
    assert card.accuracy_over == pytest.approx((3 * 50 + 1 * 50) / 100)
    assert card.timeshare_over == pytest.approx(1.0)


def test_who_leaves_jobs_for_later_pays_later():
    book = ledger()
    book.arrived = 2
    book.started(150.0)
    book.finished(180.0, 1.0)
    book.started(220.0)
    book.finished(260.0, 70.0)
    card = book.scorecard(500.0)
    assert card.machine_hours == pytest.approx(50 / 3600)
    assert card.machine_hours_until_done == pytest.approx((110 + 40) / 3600)
    assert (card.starts, card.starts_until_done) == (1, 2)


def test_what_is_never_done_costs_to_the_end():
    book = ledger()
    book.arrived = 1
    book.started(190.0)
    assert book.scorecard(300.0).machine_hours_until_done == pytest.approx(110 / 3600)


def test_a_load_that_is_done_in_time_costs_no_more():
    book = ledger()
    book.arrived = 1
    book.started(100.0)
    book.finished(150.0, 0.0)
    card = book.scorecard(300.0)
    assert card.machine_hours_until_done == card.machine_hours == pytest.approx(100 / 3600)


def test_waits_are_exact_quantiles():
    book = ledger()
    for number in range(100):
        book.arrived += 1
        book.finished(150.0, float(number))
    card = book.scorecard(200.0)
    assert (card.wait_p50, card.wait_p95, card.wait_p99) == (50, 95, 99)
    assert quantile([], 0.5) == 0
