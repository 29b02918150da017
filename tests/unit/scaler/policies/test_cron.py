import re

import pytest

from scaler.policies.cron import parse


@pytest.mark.parametrize(
    ("text", "minutes", "hours"),
    [
        ("0 8 * * *", (0,), (8,)),
        ("*/15 9-17/4 * * *", (0, 15, 30, 45), (9, 13, 17)),
        ("5,35 22,23,0 * * *", (5, 35), (0, 22, 23)),
        ("50/5 1 * * *", (50, 55), (1,)),
    ],
)
def test_minutes_and_hours(text, minutes, hours):
    cron = parse(text)
    assert (cron.minutes, cron.hours) == (minutes, hours)


def test_names_and_both_sundays():
    cron = parse("0 0 * JAN,dec Mon-FRI,7")
    assert cron.months == {1, 12}
    assert cron.weekdays == {0, 1, 2, 3, 4, 5}
    assert parse("0 0 * * 0-7").weekdays == set(range(7))


def test_either_day_is_enough_when_both_are_restricted():
    either = parse("0 0 13 * fri")
    assert either.includes(5, 13, 1)
    assert either.includes(5, 14, 5)
    assert not either.includes(5, 14, 4)
    only = parse("0 0 */2 * fri")
    assert only.includes(5, 13, 5)
    assert not only.includes(5, 14, 5)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "has 0 fields, must have five"),
        ("@daily", "has 1 fields, must have five"),
        ("0 8 * * * *", "has 6 fields"),
        ("60 8 * * *", "minute '60': must be 0-59"),
        ("0 24 * * *", "hour '24': must be 0-23"),
        ("0 8 0 * *", "day of the month '0': must be 1-31"),
        ("0 8 * 13 *", "month '13': must be 1-12 or jan-dec"),
        ("0 8 * * funday", "day of the week 'funday': must be 0-7 or sun-sat"),
        ("0 8 * * fri-mon", "the range runs backwards"),
        ("*/0 8 * * *", "a step must be 1 or more"),
        ("*-5 8 * * *", "a range has a number on both sides"),
        ("1-2-3 8 * * *", "minute '1-2-3': must be *, a number"),
        ("1, 8 * * *", "minute '1,': must be"),
        ("1,,2 8 * * *", "minute '1,,2'"),
        ("0 0 31 feb,apr *", "never comes: none of the months has a day 31"),
        ("\u0661 8 * * *", "minute"),
    ],
)
def test_a_wrong_expression_says_what_is_wrong(text, fault):
    with pytest.raises(ValueError, match=re.escape(fault)):
        parse(text)
