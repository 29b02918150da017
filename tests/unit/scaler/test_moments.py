"""Deadlines of operations on a wall clock that jumps."""

from dataclasses import replace

from scaler.moments import date, date_workers
from scaler.pool import WorkerRecord, WorkerState

WALL = 1_700_000_000.0


def since(records):
    return [one.operation.since for one in records]


def test_an_operation_is_dated_by_its_wall_time(make):
    records, _ = date(
        [make.record("a", "running", "drain", WALL - 5.0)], {}, {}, 100.0 - WALL, 100.0
    )
    assert since(records) == [95.0]


def test_a_jump_of_the_clock_changes_no_date(make):
    record = make.record("a", "running", "start", WALL)
    _, moments = date([record], {}, {}, 100.0 - WALL, 100.0)
    for jump in (-90_000.0, 3_600.0):
        records, kept = date([record], moments, {}, 130.0 - WALL - 30.0 - jump, 130.0)
        assert since(records) == [100.0]
        assert kept == moments


def test_a_date_in_the_future_is_now_and_then_ages(make):
    record = make.record("a", "running", "start", WALL + 5_000.0)
    first, moments = date([record], {}, {}, 100.0 - WALL, 100.0)
    later, _ = date([record], moments, {}, 100.0 - WALL, 160.0)
    assert since(first) == since(later) == [100.0]


def test_another_operation_is_dated_anew_and_a_settled_one_forgotten(make):
    _, moments = date([make.record("a", "running", "drain", WALL)], {}, {}, 100.0 - WALL, 100.0)
    records, moments = date(
        [make.record("a", "running", "shutdown", WALL + 7.0)], moments, {}, 100.0 - WALL, 110.0
    )
    assert since(records) == [107.0]
    records, moments = date([make.record("a", "running")], moments, {}, 100.0 - WALL, 111.0)
    assert records[0].operation is None
    assert moments == {}


def test_what_was_written_here_is_dated_by_that_though_the_clock_has_jumped_since(make):
    record = make.record("a", "running", "start", WALL)
    written = {"a": (record.operation, 99.5)}
    records, moments = date([record], {}, written, 100.0 - WALL - 3_600.0, 100.0)
    assert since(records) == [99.5]
    records, _ = date([record], moments, {}, 130.0 - WALL - 3_600.0, 130.0)
    assert since(records) == [99.5]


def test_a_worker_told_as_before_is_the_same_object_though_clocks_drift():
    worker = WorkerRecord("a", WorkerState.READY, connected_since=WALL, silent_seconds=0.1)
    (first,), known = date_workers([worker], {}, 100.0 - WALL, ())
    assert first.connected_since == 100.0
    again = replace(worker, silent_seconds=0.7)
    (same,), known = date_workers([again], known, 100.001 - WALL, ())
    assert same is first
    # Its domain is being woken: when it was heard of last decides whether it is back.
    (other,), _ = date_workers([again], known, 100.001 - WALL, {"a"})
    assert other.silent_seconds == 0.7
    (busy,), _ = date_workers([replace(worker, leases=1)], known, 100.0 - WALL, ())
    assert busy.leases == 1


def test_a_worker_that_is_gone_is_forgotten():
    worker = WorkerRecord("a", WorkerState.READY)
    _, known = date_workers([worker], {}, 0.0, ())
    assert date_workers([], known, 0.0, ()) == ((), {})
