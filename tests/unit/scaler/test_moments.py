"""Deadlines of operations on a wall clock that jumps."""

from scaler.moments import date

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
