import pytest

from collector.records import Control, Group
from collector.samples import (
    State,
    has_extras,
    is_active,
    is_complete,
    lacks_bulk_statistics,
    numbers,
    state_words,
)
from tests.unit.collector import records
from tests.unit.collector.readings import domain


@pytest.mark.parametrize("state", State)
def test_active_is_what_has_a_process(state):
    inactive = {State.NO_STATE, State.SHUTOFF, State.CRASHED}
    assert is_active({"state.state": int(state)}) is (state not in inactive)


@pytest.mark.parametrize("statistics", [{}, {"state.state": None}, {"state.state": "1"}])
def test_a_domain_of_unknown_state_is_not_active(statistics):
    assert not is_active(statistics)


@pytest.mark.parametrize(
    ("statistics", "expected"),
    [
        (records.RUNNING, True),
        (records.FULL, True),
        (records.PAUSED, True),
        (records.INACTIVE, True),
        (records.FROZEN, False),
        (records.STATE_ONLY, False),
    ],
)
def test_knows_an_incomplete_record(statistics, expected):
    assert is_complete(statistics) is expected


def test_a_domain_without_disks_can_be_incomplete_too():
    without = {key: value for key, value in records.RUNNING.items() if "block" not in key}
    assert is_complete(without)
    del without["balloon.rss"]
    assert not is_complete(without)


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ({Group.STATE, Group.INTERFACE}, True),
        ({Group.STATE, Group.CPU}, True),
        ({Group.STATE, Group.BALLOON}, False),
        ({Group.STATE, Group.BLOCK}, False),
        (set(Group), False),
    ],
)
def test_what_was_not_asked_for_is_not_missing(groups, expected):
    assert is_complete(records.FROZEN, frozenset(groups)) is expected


def test_knows_a_driver_without_bulk_statistics():
    assert lacks_bulk_statistics(records.STATE_ONLY)
    assert not lacks_bulk_statistics(records.FROZEN)


def test_a_state_that_is_not_known_is_its_number():
    assert state_words(5) == "the domain is shut off"
    assert state_words(12) == "state 12"


def test_numbers_of_all_sources_have_keys_of_their_own():
    record = domain(
        "d",
        {"state.state": 1},
        control=Control(2, 0.0015),
        job={"type": 1, "time_elapsed": 5},
        io_limits={"vda": {"read_iops_sec": 7}, "a.b": {"read_iops_sec": 8}},
    )
    assert has_extras(record)
    assert numbers(record) == {
        "state.state": 1,
        "job.type": 1,
        "job.time_elapsed": 5,
        "limit.vda.read_iops_sec": 7,
        "limit.a.b.read_iops_sec": 8,
        "control.state": 2,
        "control.milliseconds": 2,
    }


def test_a_job_of_type_none_is_no_job():
    idle = domain("d", {"state.state": 1}, job={"type": 0, "time_elapsed": 5})
    assert numbers(idle) == {"state.state": 1}
    assert not has_extras(domain("d", {"state.state": 1}))
