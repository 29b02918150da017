"""Somebody else saves domains of the pool: the host may be on its way down. Pure.

libvirt-guests saves one domain after the other before a host shuts down. A scaler that starts
another for each of them keeps the host from it, and those that it started lose their power.
"""

from scaler.incidents import Incident
from scaler.pool import DomainState
from scaler.tracking import Tracked

_STILL_SECONDS = 60.0
"""From one save to the next, and what a person who saved one domain waits for another."""


def saved_at(before: float | None, tracked: Tracked, now: float) -> float | None:
    """When somebody was last seen saving a domain: now, or as `before`."""
    if any(incident is Incident.SAVED for _, incident in tracked.incidents):
        return now
    if before is None:
        return None
    # A domain is paused while it is being saved, which takes as long as its memory is large.
    is_being_saved = any(
        domain.state is DomainState.PAUSED and domain.cause == "saved"
        for domain in tracked.pool.domains
    )
    return now if is_being_saved else before


def until(moment: float | None) -> float | None:
    """When it is over if no further domain is saved."""
    return None if moment is None else moment + _STILL_SECONDS


def is_likely(moment: float | None, now: float) -> bool:
    """True when the host may be going down."""
    return moment is not None and now < moment + _STILL_SECONDS
