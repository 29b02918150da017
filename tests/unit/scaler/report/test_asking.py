"""Where the counters of a dispatcher began that was started within the time of a report."""

import pytest

from scaler.report import asking, figures
from scaler.report.asking import Measured
from scaler.report.samples import Series


def dispatcher(opened, *, found=None, since=100.0):
    """First scraped at 110, 9 s after it opened its store; killed, and back at 112."""
    measured = Measured(1, since)
    times = (110.0, 111.0, 112.0)

    def add(name, label, **values):
        measured.series[name] = [
            Series({label: key.removeprefix("_")}, tuple(zip(times, one, strict=True)))
            for key, one in values.items()
        ]

    add(asking.ACCEPTED, "", _=(24, 26, 30))
    add(asking.JOBS, "state", ready=(3, 2, 1), leased=(1, 1, 2), done=(20, 23, 27))
    add(asking.REQUEUED, "reason", expired=(2, 2, 2))
    add(asking.SERVICE_SUM, "", _=(10, 11, 11))
    add(asking.SERVICE_COUNT, "", _=(9, 11, 12))
    add(asking.WAITS, "le", _1=(6, 7, 7), **{"+Inf": (8, 9, 9)})
    if opened is not None:
        add(asking.OPENED, "", _=opened)
    if found is not None:
        add(asking.FOUND, "state", **{state: (jobs,) * 3 for state, jobs in found.items()})
    return measured


FOUND = {"ready": 1, "leased": 0, "done": 11}
SAME, BACK = (101.0, 101.0, 101.0), (101.0, 101.0, 111.5)


def test_what_came_before_the_first_scrape_counts():
    measured = dispatcher(SAME, found=FOUND)
    jobs, waits = figures.jobs(measured), figures.waits(measured)
    assert jobs is not None
    assert waits is not None
    assert (jobs.accepted, jobs.open_before, jobs.done, jobs.open_at_end) == (18, 1, 16, 3)
    assert jobs.requeued == {"expired": 2}
    assert (waits.jobs, waits.buckets[0]) == (9, (1.0, 7))
    assert jobs.seconds == pytest.approx(11 / 12)


def test_a_count_that_has_caught_up_after_a_restart_counts_whole():
    measured = dispatcher(BACK, found=FOUND)
    waits = measured.waits().whole()
    assert waits is not None
    assert waits.total == 9 + 9
    assert measured.increase(asking.SERVICE_COUNT) == 11 + 12
    jobs = figures.jobs(measured)
    assert jobs is not None
    assert jobs.requeued == {"expired": 4}
    assert jobs.accepted == 18, "the store goes on where it was"


@pytest.mark.parametrize(
    ("opened", "found", "since"),
    [
        (None, None, 100.0),
        (SAME, FOUND, 105.0),
        # A clock that is ahead of Prometheus'.
        ((110.5,) * 3, FOUND, 100.0),
    ],
)
def test_where_the_begin_is_not_known_it_counts_from_the_first_sample(opened, found, since):
    measured = dispatcher(opened, found=found, since=since)
    jobs = figures.jobs(measured)
    assert jobs is not None
    assert (jobs.accepted, jobs.open_before, jobs.done) == (6, 4, 7)
    assert measured.increase(asking.SERVICE_COUNT) == 3


def test_without_what_was_found_only_what_the_process_counts_begins_at_nothing():
    measured = dispatcher(SAME)
    assert measured.increase(asking.ACCEPTED) == 6
    assert measured.increase(asking.SERVICE_COUNT) == 12
