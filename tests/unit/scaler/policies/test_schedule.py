import datetime
import zoneinfo

from hypothesis import given
from hypothesis import strategies as st

from scaler.policies.cron import parse
from scaler.policies.proposal import PolicyContext
from scaler.policies.schedule import SchedulePolicy, Window
from scaler.pool import PoolView
from scaler.reasons import Reason

WORKING = Window(parse("45 7 * * mon-fri"), 10 * 3600.0, 3)
NOON = Window(parse("0 12 * * *"), 3600.0, 5)
POLICY = SchedulePolicy(windows=(WORKING, NOON), zone=zoneinfo.ZoneInfo("Europe/Berlin"))


def ask(wall, policy=POLICY):
    proposal, memory = policy.propose({}, PolicyContext(PoolView.of([]), None, 0.0, wall), None)
    assert memory is None
    return proposal


def berlin(text):
    return datetime.datetime.fromisoformat(text).replace(tzinfo=POLICY.zone).timestamp()


def test_the_highest_minimum_of_the_open_windows_counts():
    assert ask(berlin("2026-11-27T08:00")).desired == 3
    assert ask(berlin("2026-11-27T12:30")).desired == 5
    assert ask(berlin("2026-11-27T13:00")).desired == 3
    assert ask(berlin("2026-11-28T12:30")).desired == 5
    assert ask(berlin("2026-11-27T12:30")).reason is Reason.SCHEDULE


def test_outside_it_wishes_for_nothing_and_hinders_nobody():
    proposal = ask(berlin("2026-11-28T08:00"))
    assert (proposal.desired, proposal.reason) == (0, Reason.OUTSIDE_SCHEDULE)
    assert proposal.is_complete


def test_a_window_over_a_change_of_the_clocks_is_as_long_as_any_other():
    night = SchedulePolicy(windows=(Window(parse("0 1 * * *"), 7200.0, 2),), zone=POLICY.zone)
    for day in ("2026-03-29", "2026-10-25", "2026-06-01"):
        opens = berlin(f"{day}T01:00")
        assert [ask(opens + late, night).desired for late in (-1, 0, 7199, 7200)] == [0, 2, 2, 0]


def test_without_a_wall_clock_it_does_not_know():
    assert ask(None).desired is None


@given(st.floats(0, 4e9))
def test_never_fails_and_says_the_same_again(wall):
    assert ask(wall) == ask(wall)
    assert ask(wall).desired in (0, 3, 5)
