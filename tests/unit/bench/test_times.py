import pytest

from bench.recording import Served
from bench.times import measured_times
from tests.unit.bench.recordings import action, recording


def jobs(*times, worker="vs-1"):
    return tuple(Served(arrived, done, worker, 1.0, 0) for arrived, done in times)


def test_a_job_begins_when_it_and_its_worker_are_there():
    behind = jobs((0.0, 5.0), (1.0, 8.0), (20.0, 22.0))
    times = measured_times(recording(jobs=behind))
    assert times.lengths == (5.0, 3.0, 2.0)
    assert times.waits == (0.0, 4.0, 0.0)


def test_a_job_that_waited_for_a_boot_begins_with_its_workers_hello():
    waited = jobs((9.0, 16.0), worker="vs-2")
    assert measured_times(recording(jobs=waited)).lengths == (2.0,)


def test_a_boot_is_counted_from_its_decision():
    times = measured_times(recording(jobs=()))
    assert times.boots == (4.0,)
    assert times.boot_work == (3.5,)


def test_a_boot_beside_busy_domains_got_a_part_of_the_cpus():
    # Two domains at work and a boot on two cores: two thirds of one for it.
    busy = (*jobs((0.0, 30.0)), *jobs((0.0, 30.0), worker="vs-3"))
    times = measured_times(recording(jobs=busy))
    assert times.boot_work == pytest.approx((3.5 * 2 / 3,))


def test_a_start_without_hello_before_the_next_is_no_boot():
    entries = (action(10.0, "start", "vs-2"), action(12.0, "start", "vs-2"))
    assert measured_times(recording(entries=entries)).boots == (2.0,)


def test_a_shutdown_ends_when_the_scaler_has_settled_it():
    assert measured_times(recording()).shutdowns == (2.0,)
