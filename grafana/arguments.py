"""What a person types: times and variables; and times as a person reads them."""

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


def variable(text: str) -> tuple[str, str]:
    """Name and value of NAME=VALUE.

    Raises:
        argparse.ArgumentTypeError: it is not of that form.

    """
    name, sign, value = text.partition("=")
    if not (name.isidentifier() and sign and value):
        raise argparse.ArgumentTypeError(f"{text!r} is no variable; write NAME=VALUE, pool=blue")
    return name, value


def asked_of(description: str | None, program: str) -> argparse.ArgumentParser:
    """A command that asks a Prometheus; the time is not required yet."""
    parser = argparse.ArgumentParser(program, description=description)
    parser.add_argument("--prometheus", required=True, metavar="URL")
    parser.add_argument(
        "--set",
        type=variable,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a dashboard's variable, such as pool=blue; again for more",
    )
    return parser


def clock(at: float, *, has_seconds: bool = True) -> str:
    """Time of day in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S" if has_seconds else "%H:%M")


def day(at: float) -> str:
    """Date in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")
