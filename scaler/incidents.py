"""What happens to domains without the scaler's doing, told by their states in two turns. Pure."""

from enum import StrEnum

from scaler.pool import QUARANTINE, SERVING, DomainRecord, DomainState, Lifecycle


class Incident(StrEnum):
    """Something that happened to a domain, without the scaler's doing."""

    BOOT_FINISHED = "boot_finished"
    BOOT_FAILED = "boot_failed"
    WAKE_FINISHED = "wake_finished"
    WAKE_FAILED = "wake_failed"
    WENT_SILENT = "went_silent"
    CRASHED = "crashed"
    STOPPED = "stopped"
    PAUSED = "paused"
    SAVED = "saved"
    """By somebody else, as libvirt-guests does when the host goes down; or it is just being."""
    QUARANTINED = "quarantined"
    VANISHED = "vanished"


_BOOTS = (DomainState.BOOTING, DomainState.PREPARING)
_BOOTED = (
    DomainState.READY,
    DomainState.CORDONED,
    DomainState.SUSPENDING,
    DomainState.SAVING,
    DomainState.STANDBY_PAUSED,
    DomainState.STANDBY_SAVED,
)
_WENT_OFF = {"crashed": Incident.CRASHED, "saved": Incident.SAVED}


def incident_of(old: DomainState, new: DomainState, record: DomainRecord) -> Incident | None:
    """What brought a domain from one state to another; None: nothing that need be told."""
    if old is new:
        return None
    if old in QUARANTINE or new in QUARANTINE:
        # What happens to it from here on is the other scaler's affair.
        return None if old in QUARANTINE else Incident.QUARANTINED
    if old in (*_BOOTS, DomainState.STARTING) and new in _BOOTED:
        return Incident.BOOT_FINISHED
    if old is DomainState.WAKING and new in (DomainState.READY, DomainState.CORDONED):
        return Incident.WAKE_FINISHED
    if new in (DomainState.FAILED, DomainState.OFF):
        if old in _BOOTS:
            return Incident.BOOT_FAILED
        if old is DomainState.WAKING:
            return Incident.WAKE_FAILED
    if new is DomainState.FAILED:
        crashed = record.lifecycle is Lifecycle.CRASHED
        return Incident.CRASHED if crashed else Incident.WENT_SILENT
    if new is DomainState.PAUSED:
        return Incident.SAVED if record.cause == "saved" else Incident.PAUSED
    if new is DomainState.OFF and old in (
        *SERVING,
        DomainState.CORDONED,
        DomainState.DRAINING,
        DomainState.PAUSED,
    ):
        # A failed start call reports through its result, not as a domain that went off.
        if old is DomainState.STARTING:
            return None
        return _WENT_OFF.get(record.cause, Incident.STOPPED)
    return None
