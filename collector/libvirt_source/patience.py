"""How long a question may be open before somebody looks into it. Pure."""

_SHARE_OF_TIME = 0.25
"""Of a short reading no more is waited: there must be time to ask again."""
_LARGEST_SHARE = 0.5
_SLOWER_THAN_USUAL = 1.5
_MEMORY = 8
"""Over about so many readings the usual duration is taken."""


def patience(hedge_after_seconds: float, timeout_seconds: float, usual_seconds: float) -> float:
    """Seconds to wait: as configured, less in a short reading, more where answers take longer.

    On a slow host a question is not late for taking as long as it always does, and looking into it
    would make the host slower still.
    """
    least = min(hedge_after_seconds, timeout_seconds * _SHARE_OF_TIME)
    return min(
        max(least, usual_seconds * _SLOWER_THAN_USUAL), max(least, timeout_seconds * _LARGEST_SHARE)
    )


def usual(before_seconds: float, seconds: float) -> float:
    """The usual duration of a reading's questions after one more of them."""
    return before_seconds + (seconds - before_seconds) / _MEMORY
