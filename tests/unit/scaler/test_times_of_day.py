"""Times as people write them."""

import time

import pytest

from scaler.times_of_day import LocalTimes, clock_text, duration, moment, span

NOON = time.mktime((2026, 11, 23, 12, 0, 0, 0, 0, -1))


@pytest.mark.parametrize(
    ("text", "seconds_before_noon"),
    [
        *(("-90s", 90), ("-5m", 300), ("-1h", 3600), ("-1d", 86_400), ("-30", 30)),
        *(
            ("11:00", 3600),
            ("11:59:30", 30),
            ("2026-11-23T11:00", 3600),
            ("2026-11-23 11:00", 3600),
        ),
    ],
)
def test_a_moment_is_read_as_people_write_it(text, seconds_before_noon):
    assert moment(text, now=NOON) == pytest.approx(NOON - seconds_before_noon, rel=0, abs=1e-3)


def test_a_moment_may_name_its_zone_or_be_unix_seconds():
    assert moment("2026-11-23T11:00:00Z", now=NOON) == 1_795_431_600.0
    assert moment("2026-11-23T12:00:00+01:00", now=NOON) == 1_795_431_600.0
    assert moment("123.5", now=NOON) == 123.5


def test_a_time_of_day_that_is_still_to_come_was_yesterday():
    assert moment("13:00", now=NOON) == pytest.approx(NOON + 3600 - 86_400, rel=0, abs=1e-3)


@pytest.mark.parametrize("text", ["soon", "-", "25:00", "-3w", "", "nan", "inf", "1e400", "1" * 99])
def test_nonsense_is_refused_with_what_is_allowed(text):
    with pytest.raises(ValueError, match="HH:MM"):
        moment(text, now=NOON)


def test_durations():
    assert [duration(text) for text in ("90s", "15m", "1.5h", "2d")] == [90, 900, 5400, 172_800]
    with pytest.raises(ValueError, match=r"'hour'.*1h"):
        duration("hour")


def test_the_date_is_told_only_when_it_is_needed():
    assert clock_text(NOON - 60, now=NOON) == "11:59:00"
    assert clock_text(NOON - 3 * 86_400, now=NOON) == "2026-11-20 12:00:00"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("10:42", 60), ("10:42:07", 1), ("2026-11-23T10:42", 60), ("2026-11-23 10:42:07", 1)),
        *(("-5m", 0), ("1795431600", 0), ("", 0), ("2026-11-23T10:42:07Z", 0)),
    ],
)
def test_a_time_of_day_stands_for_its_minute_or_second(text, seconds):
    assert span(text) == seconds


def test_the_clock_of_a_stretch_has_days_only_when_it_has_several():
    assert LocalTimes(NOON, NOON + 3600).clock(NOON) == "12:00:00"
    assert LocalTimes(NOON - 86_400, NOON).clock(NOON) == "2026-11-23 12:00:00"
    assert LocalTimes(NOON, NOON + 9).full(NOON).startswith("Monday, 23 November 2026, 12:00:00")


@pytest.mark.parametrize(
    ("seconds", "first", "second"),
    [
        (100, "12:00:00", "12:00:15"),
        (3600, "12:00", "12:10"),
        (86_400, "23 Nov 12:00", "23 Nov 18:00"),
        (7 * 86_400, "24 Nov", "25 Nov"),
        (100 * 86_400, "30 Nov", "13 Dec"),
        (0.5, "12:00:00", None),
    ],
)
def test_an_axis_has_marks_at_round_times_of_the_clock(seconds, first, second):
    marks = LocalTimes(NOON, NOON + seconds).marks(8)
    assert len(marks) <= 9
    assert marks[0][1] == first
    assert second is None or marks[1][1] == second
    assert all(NOON <= at <= NOON + seconds for at, _ in marks)
