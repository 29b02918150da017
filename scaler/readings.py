"""What a signal said: a usable value, or one of the ways not to know. Unknown is never zero."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Known:
    """A usable value."""

    value: float
    age_seconds: float


@dataclass(frozen=True, slots=True)
class Partial:
    """A value that does not cover everything it should. Good enough to scale out, never in."""

    value: float
    age_seconds: float
    detail: str


@dataclass(frozen=True, slots=True)
class Empty:
    """The query found no series."""


@dataclass(frozen=True, slots=True)
class NotANumber:
    """The query answered NaN or an infinity."""


@dataclass(frozen=True, slots=True)
class Stale:
    """The newest sample behind the value is too old, or its source is not scraped (None)."""

    age_seconds: float | None


@dataclass(frozen=True, slots=True)
class Failed:
    """The query was not answered, or not with one series."""

    error: str


Reading = Known | Partial | Empty | NotANumber | Stale | Failed


_MOST_SHARE = 1.5
"""Sampling lets a share come out somewhat above 1."""
_NOISE = 1e-9


def implausible(value: float, *, is_share: bool) -> str | None:
    """What is wrong with a value of a signal; None: nothing.

    Every policy asks for a load. One below 0, or a share of 87, comes of a wrong query or unit, and
    to act on it could stop domains that are needed.
    """
    if value < -_NOISE:
        return f"{value:g} is below 0, which no load is; mend the query"
    if is_share and value > _MOST_SHARE:
        return (
            f"{value:g} is no share from 0 to 1; divide a percentage by 100, or give the policy "
            "`measure: mean` or `total`"
        )
    return None


def usable_value(reading: Reading) -> float | None:
    """The value that may justify a scale-out; None when there is none."""
    return reading.value if isinstance(reading, Known | Partial) else None


def is_complete(reading: Reading) -> bool:
    """True when the reading may justify a scale-in."""
    return isinstance(reading, Known)


def describe(reading: Reading) -> dict[str, object]:
    """The reading as plain data, for logs and the API. `kind` names the case."""
    match reading:
        case Known(value, age):
            return {"kind": "known", "value": value, "age_seconds": age}
        case Partial(value, age, detail):
            return {"kind": "partial", "value": value, "age_seconds": age, "detail": detail}
        case Empty():
            return {"kind": "empty"}
        case NotANumber():
            return {"kind": "nan"}
        case Stale(age):
            return {"kind": "stale", "age_seconds": age}
        case Failed(error):
            return {"kind": "failed", "detail": error}
