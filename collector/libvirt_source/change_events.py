"""Has libvirt tell what changes a domain's description."""

from typing import Any

import libvirt

from collector.libvirt_source.connection import Session
from collector.libvirt_source.descriptions import Descriptions
from servicekit import logs

_NEEDED = (
    libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
    libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE,
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED,
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
)
_USEFUL = (
    # Another medium in a drive, another image behind a disk.
    libvirt.VIR_DOMAIN_EVENT_ID_TRAY_CHANGE,
    libvirt.VIR_DOMAIN_EVENT_ID_DISK_CHANGE,
    libvirt.VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2,
)


class ChangeEvents:
    """Keeps descriptions fresh over one connection. A driver without events is read anew."""

    def __init__(self, descriptions: Descriptions) -> None:
        self._descriptions = descriptions
        self._callbacks: list[int] = []
        self._has_said = False
        self._log = logs.get()

    def listen(self, session: Session) -> None:
        """Runs on the connection's thread, when it has been opened."""

        def changed(_handle: Any, domain: Any, *_details: Any) -> None:
            self._descriptions.forget(domain.UUIDString())

        try:
            for event in _NEEDED:
                self._register(session, event, changed)
        except libvirt.libvirtError as error:
            if not self._has_said:
                self._has_said = True
                self._log.warning(
                    "events.unsupported",
                    reason=str(error),
                    effect="descriptions are read anew at every reading",
                )
            return
        for event in _USEFUL:
            try:
                self._register(session, event, changed)
            except libvirt.libvirtError:
                self._log.debug("event.unsupported", number=event)
        # Other drivers plug devices in and out without a word.
        self._descriptions.is_kept_fresh = session.handle.getType() == "QEMU"

    def lost(self, session: Session) -> None:
        """Runs on the connection's thread, before it is closed."""
        self._descriptions.is_kept_fresh = False
        self._descriptions.forget_all()
        if not _is_lost_behind(session.handle):
            for callback in self._callbacks:
                try:
                    # Or libvirt keeps the connection alive for its callbacks' sake.
                    session.handle.domainEventDeregisterAny(callback)
                except libvirt.libvirtError:
                    continue
        self._callbacks.clear()

    def _register(self, session: Session, event: int, changed: Any) -> None:
        self._callbacks.append(session.handle.domainEventRegisterAny(None, event, changed, None))


def _is_lost_behind(handle: Any) -> bool:
    """True when the daemon we talk to answers, but not the one that it asks for us.

    To take back a callback there would crash it: virtproxyd 11.3 frees the callback, fails, keeps
    it in its list, and uses it when we close. Left alone it costs us a socket for each time that
    virtqemud is restarted under virtproxyd.
    """
    try:
        if not handle.isAlive():
            return False
        handle.getLibVersion()
    except libvirt.libvirtError:
        return True
    return False
