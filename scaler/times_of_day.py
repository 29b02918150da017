"""Moments and durations as people write and read them, in the local time of this host."""

import datetime
import math
import re
import time
from collections.abc import Sequence

_RELATIVE = re.compile(r"-(\d+(?:\.\d+)?)(s|m|h|d)?")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_ALLOWED = "10:42, HH:MM:SS, -90s, -5m, -1h, an ISO time (2026-11-26T10:42) or Unix seconds"
_NEWEST = 1e11
_OPTIONS = ("--at", "--from", "--to")
_ROUND = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 43_200)
"""Seconds between the marks of an axis."""


def joined(arguments: Sequence[str]) -> list[str]:
    """`--at -5m` as `--at=-5m`: argparse would take the moment for an option."""
    found: list[str] = []
    for argument in arguments:
        if found and found[-1] in _OPTIONS:
            found[-1] += f"={argument}"
        else:
            found.append(argument)
    return found


def moment(text: str, *, now: float) -> float:
    """Unix time of `HH:MM[:SS]` (the last one), `-5m`, an ISO time, or Unix seconds.

    Raises:
        ValueError: with what is allowed.

    """
    relative = _RELATIVE.fullmatch(text)
    if relative:
        return now - float(relative[1]) * _UNITS[relative[2] or "s"]
    for form in ("%H:%M:%S", "%H:%M"):
        try:
            clock = time.strptime(text, form)
        except ValueError:
            continue
        today = time.localtime(now)
        day = today.tm_mday
        at = _local(today.tm_year, today.tm_mon, day, clock)
        return at if at <= now else _local(today.tm_year, today.tm_mon, day - 1, clock)
    try:
        at = float(text) if not re.search("[a-zA-Z:_]", text) else _iso(text)
    except (ValueError, OverflowError, OSError):
        at = -1.0
    if not 0 <= at <= _NEWEST:
        raise ValueError(f"{text[:40]!r}: must be {_ALLOWED}")
    return at


def span(text: str) -> float:
    """Seconds that a moment stands for: who writes 10:42 means some instant of that minute."""
    clock = re.fullmatch(r"(?:.*[T ])?\d\d?:\d\d(:\d\d)?", text)
    if clock is None:
        return 0.0
    return 1.0 if clock[1] else 60.0


def duration(text: str) -> float:
    """Seconds of `90s`, `15m`, `1h` or `2d`.

    Raises:
        ValueError: with what is allowed.

    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r}: must be a duration such as 90s, 15m, 1h or 2d")
    return float(found[1]) * _UNITS[found[2]]


def clock_text(at: float, *, now: float) -> str:
    """`10:42:03`; with the date when it is not of the last day."""
    form = "%H:%M:%S" if abs(now - at) < 86_400 / 2 else "%Y-%m-%d %H:%M:%S"
    return time.strftime(form, time.localtime(at))


class LocalTimes:
    """How the moments of one stretch of time are written, and where its axis has marks."""

    def __init__(self, since: float, until: float) -> None:
        self._since, self._until = since, until
        begin, end = time.localtime(since), time.localtime(until)
        self._is_one_day = begin[:3] == end[:3]

    def clock(self, at: float) -> str:
        """`10:42:03`; with the date when the stretch is not of one day."""
        form = "%H:%M:%S" if self._is_one_day else "%Y-%m-%d %H:%M:%S"
        return time.strftime(form, time.localtime(at))

    def full(self, at: float) -> str:
        """`Thursday, 26 November 2026, 10:42:03 UTC`."""
        local = time.localtime(at)
        day = time.strftime("%A, {} %B %Y, %H:%M:%S %Z", local).format(local.tm_mday)
        return day.strip()

    def marks(self, most: int) -> list[tuple[float, str]]:
        """At round times of the clock, at most so many, with what is written there."""
        length = self._until - self._since
        step = next((one for one in _ROUND if length / one <= most), None)
        if step is None:
            step = 86_400 * math.ceil(length / 86_400 / most)
        form = "%H:%M:%S" if step < 60 else "%H:%M" if step < 86_400 else "%d %b"
        if step in (3_600 * 6, 3_600 * 12):
            form = "%d %b %H:%M"
        # Round in local time: midnight, not that of Greenwich.
        offset = time.localtime(self._since).tm_gmtoff or 0
        first = math.ceil((self._since + offset) / step) * step - offset
        count = max(0, math.floor((self._until - first) / step) + 1)
        moments = [first + number * step for number in range(count)]
        return [(at, time.strftime(form, time.localtime(at))) for at in moments]


def _local(year: int, month: int, day: int, clock: time.struct_time) -> float:
    # mktime takes care of the first of a month and of summer time.
    return time.mktime((year, month, day, clock.tm_hour, clock.tm_min, clock.tm_sec, 0, 0, -1))


def _iso(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()
