"""Overrides as a person writes and reads them."""

import re
import time
from typing import Any

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def seconds(text: str) -> float:
    """`90s`, `30m`, `2h` or `1.5d` in seconds.

    Raises:
        ValueError: with what is allowed.

    """
    found = _DURATION.fullmatch(text)
    length = 0.0 if found is None else float(found[1]) * _UNITS[found[2]]
    if length <= 0:
        raise ValueError(f"{text!r}: must be a time above 0 such as 90s, 30m, 2h or 1d")
    return length


def line(override: dict[str, Any]) -> str:
    """One override on one line."""
    until = override.get("expires_at")
    end = "until removed" if until is None else f"until {_clock(until)}"
    reason = f": {override['reason']}" if override.get("reason") else ""
    return (
        f"{override['id']}  {what(override)}, {end}, "
        f"by {override['author']} at {_clock(override['created_at'])}{reason}"
    )


def what(override: dict[str, Any]) -> str:
    """`floor 2`, `drain vs-1`, `block out`."""
    words = str(override["kind"]).replace("_", " ").replace("dry run", "dry-run")
    if "domains" in override:
        return f"{words} {override['domains']}"
    return f"{words} {override['domain']}" if override.get("domain") else words


def _clock(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
