"""Times as a person types them."""

import argparse
from datetime import UTC, datetime


def moment(text: str) -> float:
    """Unix seconds of Unix seconds, or of an ISO 8601 time; one without a zone is UTC.

    Raises:
        argparse.ArgumentTypeError: it is neither.

    """
    try:
        return float(text)
    except ValueError:
        pass
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time; write Unix seconds or 2026-11-26T14:55:00"
        ) from error
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def clock(at: float, *, has_seconds: bool = True) -> str:
    """Time of day in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S" if has_seconds else "%H:%M")


def day(at: float) -> str:
    """Date in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")
