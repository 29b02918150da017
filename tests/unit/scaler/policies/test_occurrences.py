"""Examples in Berlin: 2026-03-29 02:00 becomes 03:00, 2026-10-25 03:00 becomes 02:00."""

import datetime
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaler.policies.cron import parse
from scaler.policies.occurrences import latest_start

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
DAY = 86_400


def utc(text):
    return datetime.datetime.fromisoformat(f"{text}+00:00").timestamp()


@pytest.mark.parametrize(
    ("cron", "now", "start"),
    [
        # An ordinary working day: 08:00 is 07:00 UTC in winter, 06:00 in summer.
        ("0 8 * * mon-fri", "2026-01-05T07:00:00", "2026-01-05T07:00:00"),
        ("0 8 * * mon-fri", "2026-07-06T07:30:00", "2026-07-06T06:00:00"),
        ("0 8 * * mon-fri", "2026-01-05T06:59:59", "2026-01-02T07:00:00"),
        ("*/5 * * * *", "2026-01-05T07:04:00", "2026-01-05T07:00:00"),
        # Set forward: 02:30 does not come, the window opens at the jump, 01:00 UTC.
        ("30 2 * * *", "2026-03-29T00:59:59", "2026-03-28T01:30:00"),
        ("30 2 * * *", "2026-03-29T01:00:00", "2026-03-29T01:00:00"),
        ("30 2 * * *", "2026-03-29T01:45:00", "2026-03-29T01:00:00"),
        ("0 3 * * *", "2026-03-29T01:10:00", "2026-03-29T01:00:00"),
        # Set back: 02:30 comes twice and counts once.
        ("30 2 * * *", "2026-10-25T00:30:00", "2026-10-25T00:30:00"),
        ("30 2 * * *", "2026-10-25T01:10:00", "2026-10-25T00:30:00"),
        ("30 2 * * *", "2026-10-25T01:45:00", "2026-10-25T00:30:00"),
        ("30 3 * * *", "2026-10-25T02:30:00", "2026-10-25T02:30:00"),
        # Over the end of the year, and in a leap year.
        ("0 0 31 12 *", "2027-01-01T00:00:00", "2026-12-30T23:00:00"),
        ("0 12 29 2 *", "2028-02-29T11:30:00", "2028-02-29T11:00:00"),
    ],
)
def test_the_last_time_it_came(cron, now, start):
    assert latest_start(parse(cron), BERLIN, utc(now), 7 * DAY) == utc(start)


def test_not_within_reach():
    assert latest_start(parse("0 8 * * *"), BERLIN, utc("2026-01-05T09:00:00"), 7200) is None
    assert latest_start(parse("0 8 * * *"), BERLIN, utc("2026-01-05T08:59:59"), 7200) is not None
    assert latest_start(parse("0 8 1 1 *"), BERLIN, utc("2026-06-05T09:00:00"), 7 * DAY) is None


def by_trying_every_minute(cron, wall, within):
    """Local minutes that come once; the plain definition, for times without a change."""
    moment = wall - wall % 60
    while wall - moment < within:
        local = datetime.datetime.fromtimestamp(moment, BERLIN)
        at = (local.minute in cron.minutes) and (local.hour in cron.hours)
        if at and cron.includes(local.month, local.day, local.isoweekday() % 7):
            return moment
        moment -= 60
    return None


@given(
    st.sampled_from(["7 * * * *", "*/20 5,22 * * *", "0 12 * * sat,sun", "59 23 1-15 * mon"]),
    st.integers(int(utc("2026-04-05T00:00:00")), int(utc("2026-10-18T00:00:00"))),
    st.integers(60, 3 * DAY),
)
def test_agrees_with_trying_every_minute(text, wall, within):
    cron = parse(text)
    assert latest_start(cron, BERLIN, wall, within) == by_trying_every_minute(cron, wall, within)


@given(st.integers(int(utc("2026-01-01T00:00:00")), int(utc("2026-12-31T00:00:00"))))
def test_every_day_has_its_window_of_the_same_length_also_when_clocks_change(wall):
    start = latest_start(parse("30 2 * * *"), BERLIN, wall, 26 * 3600)
    assert start is not None
    assert start <= wall
