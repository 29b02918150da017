"""Cron expressions of five fields, as in crontab(5). On a calendar: `occurrences`."""

import re
from dataclasses import dataclass

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_DAYS_OF_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_PART = re.compile(r"(?P<first>\*|[a-z0-9]+)(?:-(?P<last>[a-z0-9]+))?(?:/(?P<every>\d+))?")


@dataclass(frozen=True, slots=True)
class _Field:
    title: str
    least: int
    most: int
    names: tuple[str, ...] = ()
    first_name: int = 0


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS, 1),
    _Field("day of the week", 0, 7, _WEEKDAYS, 0),
)


@dataclass(frozen=True, slots=True)
class Cron:
    """Minutes at which something begins. Weekdays count from Sunday = 0."""

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    is_either_day: bool
    """Both day fields are restricted: one of them is enough, as cron has it."""

    def includes(self, month: int, day: int, weekday: int) -> bool:
        """True when something begins on that date."""
        if month not in self.months:
            return False
        if self.is_either_day:
            return day in self.days or weekday in self.weekdays
        return day in self.days and weekday in self.weekdays


def parse(text: str) -> Cron:
    """The expression.

    Raises:
        ValueError: names the field, its value and what is allowed.

    """
    parts = text.lower().split()
    if len(parts) != len(_FIELDS):
        raise ValueError(
            f"{text!r} has {len(parts)} fields, must have five: minute, hour, day of the month, "
            "month, day of the week, e.g. '45 7 * * mon-fri'"
        )
    values = [_values(part, field) for part, field in zip(parts, _FIELDS, strict=True)]
    minutes, hours, days, months, weekdays = values
    either = not parts[2].startswith("*") and not parts[4].startswith("*")
    if not either and min(days) > max(_DAYS_OF_MONTH[month - 1] for month in months):
        raise ValueError(f"{text!r} never comes: none of the months has a day {min(days)}")
    return Cron(
        text,
        tuple(sorted(minutes)),
        tuple(sorted(hours)),
        days,
        months,
        frozenset(day % 7 for day in weekdays),
        either,
    )


def _values(text: str, field: _Field) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(
                f"{field.title} {text!r}: must be *, a number, a range such as 1-5, a step such "
                "as */15, or several of them with commas between"
            )
        first = match["first"]
        every = int(match["every"] or 1)
        if first == "*" and match["last"] is not None:
            raise ValueError(f"{field.title} {part!r}: a range has a number on both sides")
        low = field.least if first == "*" else _number(first, field)
        if match["last"] is not None:
            high = _number(match["last"], field)
        else:
            high = field.most if first == "*" or match["every"] else low
        if every < 1 or low > high:
            wrong = "a step must be 1 or more" if every < 1 else "the range runs backwards"
            raise ValueError(f"{field.title} {part!r}: {wrong}; write it as two with a comma")
        found.update(range(low, high + 1, every))
    return frozenset(found)


def _number(text: str, field: _Field) -> int:
    if text in field.names:
        return field.names.index(text) + field.first_name
    if not text.isdigit() or not field.least <= int(text) <= field.most:
        names = f" or {field.names[0]}-{field.names[-1]}" if field.names else ""
        raise ValueError(f"{field.title} {text!r}: must be {field.least}-{field.most}{names}")
    return int(text)
