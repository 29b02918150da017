"""When a cron expression last came, on a calendar with daylight saving time. Time is an argument.

The only pure module that imports `datetime`, for its arithmetic; nothing here asks for the time.
"""

import datetime
from collections.abc import Iterator

from scaler.policies.cron import Cron

Zone = datetime.tzinfo

_DAY = datetime.timedelta(days=1)
_LARGEST_CHANGE = datetime.timedelta(hours=3)
"""No clock is set by more: bounds the search. (That a country skips a day is left out.)"""


def latest_start(cron: Cron, zone: Zone, wall: float, within_seconds: float) -> float | None:
    """The last moment at or before `wall` at which `cron` came, if it is `within_seconds` ago.

    A local time that comes twice when clocks are set back counts the first time only. One that is
    jumped over when clocks are set forward comes at the jump.
    """
    here = datetime.datetime.fromtimestamp(wall, zone).replace(tzinfo=None)
    earliest = here - datetime.timedelta(seconds=within_seconds) - _LARGEST_CHANGE
    latest = here + _LARGEST_CHANGE
    date = latest.date()
    while date >= earliest.date():
        if cron.includes(date.month, date.day, date.isoweekday() % 7):
            for local in _backwards(cron, date, latest):
                start = _moment(local, zone)
                if start <= wall:
                    return start if wall - start < within_seconds else None
        date -= _DAY
    return None


def _backwards(
    cron: Cron, date: datetime.date, latest: datetime.datetime
) -> Iterator[datetime.datetime]:
    """Local times of a date at which it comes, the last one first."""
    last_hour = latest.hour if date == latest.date() else 23
    for hour in reversed(cron.hours):
        if hour > last_hour:
            continue
        for minute in reversed(cron.minutes):
            yield datetime.datetime.combine(date, datetime.time(hour, minute))


def _moment(local: datetime.datetime, zone: Zone) -> float:
    """Unix time of a local time; see `latest_start` for those that come twice or never."""
    moment = local.replace(tzinfo=zone, fold=0).timestamp()
    if datetime.datetime.fromtimestamp(moment, zone).replace(tzinfo=None) == local:
        return moment
    # In the gap: between its readings by the clock after the jump and by the clock before it.
    low, high = local.replace(tzinfo=zone, fold=1).timestamp(), moment
    after = _offset(high, zone)
    while high - low > 1:
        middle = float(int((low + high) / 2))
        low, high = (low, middle) if _offset(middle, zone) == after else (middle, high)
    return high


def _offset(moment: float, zone: Zone) -> datetime.timedelta | None:
    return datetime.datetime.fromtimestamp(moment, zone).utcoffset()
