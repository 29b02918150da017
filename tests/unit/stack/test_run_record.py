import pytest
from virtscale.client.values import Worker

from stack.ports import DomainView
from stack.run_record import RunRecord


def domain(name: str, state="off", operation="", since=None) -> DomainView:
    return DomainView(name, state, operation, since)


def worker(name: str, *, connected=None, lease=None, leases=0, completed=0) -> Worker:
    return Worker(
        worker_id=name,
        state="ready",
        slots=1,
        busy_slots=leases,
        leases=leases,
        completed=completed,
        connected_at=connected,
        oldest_lease_at=lease,
        boot_seconds=None,
    )


def test_filling_the_pool_to_its_minimum_is_no_scale_out_but_one_more_is() -> None:
    record = RunRecord(least=1)
    record.observe_domains([domain("vs-1"), domain("vs-2")], now=0.0)
    record.observe_domains([domain("vs-1", "running"), domain("vs-2")], now=1.0)
    assert record.scale_outs == 0
    record.observe_domains([domain("vs-1", "running"), domain("vs-2", "running")], now=2.0)
    assert (record.scale_outs, record.peak_domains) == (1, 2)


def test_a_replaced_domain_is_no_scale_out_and_its_loss_no_scale_in() -> None:
    record = RunRecord(least=1)
    record.observe_domains([domain("vs-1"), domain("vs-2")], now=0.0)
    record.observe_domains([domain("vs-1", "running"), domain("vs-2")], now=1.0)
    record.observe_domains([domain("vs-1"), domain("vs-2")], now=2.0)
    record.observe_domains([domain("vs-1"), domain("vs-2", "running")], now=3.0)
    assert (record.scale_outs, record.scale_ins, record.lost_domains) == (0, 0, 1)


def test_a_domain_that_was_lost_and_started_again_between_two_looks_is_lost() -> None:
    record = RunRecord(least=1)
    record.observe_domains([domain("vs-1", "running"), domain("vs-2")], now=0.0)
    record.observe_domains([domain("vs-1", "running", "start", 0.7), domain("vs-2")], now=1.0)
    assert (record.scale_outs, record.scale_ins, record.lost_domains) == (0, 0, 1)
    assert [start.called_at for start in record.starts] == [0.7]
    record.observe_domains([domain("vs-1", "running", "start", 0.7), domain("vs-2")], now=2.0)
    assert (len(record.starts), record.lost_domains) == (1, 1)


def test_a_domain_that_booted_for_standby_and_is_to_serve_was_never_away() -> None:
    record = RunRecord(least=1)
    record.observe_domains([domain("vs-1", "running", "prepare", 0.2)], now=1.0)
    record.observe_domains([domain("vs-1", "running", "start", 1.5)], now=2.0)
    assert (record.lost_domains, record.starts) == (0, [])


def test_an_ordered_leave_is_a_scale_in() -> None:
    record = RunRecord(least=1)
    record.observe_domains([domain("vs-1", "running"), domain("vs-2", "running")], now=0.0)
    record.observe_domains(
        [domain("vs-1", "running"), domain("vs-2", "running", "shutdown", 0.5)], now=1.0
    )
    record.observe_domains([domain("vs-1", "running"), domain("vs-2")], now=2.0)
    assert (record.scale_ins, record.lost_domains) == (1, 0)


def test_a_leave_between_two_looks_is_known_by_how_the_guest_went_down() -> None:
    record = RunRecord(least=1)
    record.observe_domains([domain("vs-1", "running"), domain("vs-2", "running")], now=0.0)
    in_order = DomainView("vs-2", "off", powered_off_in_order=True)
    record.observe_domains([domain("vs-1", "running"), in_order], now=1.0)
    assert (record.scale_ins, record.lost_domains) == (1, 0)


def test_a_leave_is_known_by_the_operation_that_is_not_settled_yet() -> None:
    record = RunRecord(least=1)
    record.observe_domains([domain("vs-1", "running")], now=0.0)
    record.observe_domains([domain("vs-1", "off", "destroy", 0.5)], now=1.0)
    assert (record.scale_ins, record.lost_domains) == (1, 0)


def test_time_from_start_call_to_hello_uses_the_scalers_own_stamp() -> None:
    record = RunRecord(least=1)
    record.observe_domains([domain("vs-1")], now=10.0)
    record.observe_domains([domain("vs-1", "running", "start", 10.2)], now=10.7)
    record.observe_workers([worker("vs-1", connected=15.0)], now=15.3)
    record.observe_workers([worker("vs-1", connected=19.0)], now=19.3)
    assert record.starts[0].hello_seconds == pytest.approx(4.8)


def test_a_session_from_before_the_start_is_not_its_hello() -> None:
    record = RunRecord(least=1)
    record.observe_domains([domain("vs-1")], now=10.0)
    record.observe_domains([domain("vs-1", "running")], now=11.0)
    record.observe_workers([worker("vs-1", connected=3.0)], now=11.1)
    assert record.starts[0].hello_seconds is None


def test_the_first_scale_out_ends_with_the_second_domains_first_lease() -> None:
    record = RunRecord(least=1)
    record.observe_workers([worker("vs-1", lease=101.0, leases=1)], now=101.5)
    assert record.first_scale_out_seconds(100.0) is None
    record.observe_workers(
        [worker("vs-1", lease=109.0, leases=1), worker("vs-2", lease=112.0, leases=1)], now=112.4
    )
    assert record.first_scale_out_seconds(100.0) == 12.0
    assert record.first_scale_out_seconds(None) is None


def test_cpu_is_shared_out_only_over_the_time_in_which_two_guests_were_busy() -> None:
    record = RunRecord(least=1)
    assert record.two_busy_cpu_ratio is None
    for now, cpu, busy in [(0, 0.0, 1), (10, 5.0, 2), (20, 6.0, 2), (30, 9.0, 1)]:
        record.observe_cpu(cpu, busy_workers=busy, now=float(now))
    assert record.two_busy_cpu_ratio == pytest.approx(0.1)
