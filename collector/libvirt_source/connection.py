"""One read-only connection, opened, used and closed by one thread.

Closing a connection while a call is in flight neither frees the call nor leaves the connection
usable, so nobody but the thread of its lane ever touches it.
"""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import libvirt

from collector.libvirt_source.lane import Lane
from collector.libvirt_source.per_domain import PerDomain
from collector.records import Versions
from servicekit import logs

Result = TypeVar("Result")
Opener = Callable[[str], Any]
"""Opens a read-only connection to a URI, as `libvirt.openReadOnly` does."""
_KEEPALIVE_SECONDS, _KEEPALIVE_COUNT = 5, 3


class Session:
    """An open connection and what was learned over it; ends with the connection."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self.domains: dict[str, Any] = {}
        """libvirt's domain objects by UUID; each belongs to one connection."""
        self.has_bulk: bool | None = None
        """Whether the driver has bulk statistics; None until it is known."""
        self.versions: Versions | None = None
        self.per_domain: PerDomain | None = None
        """How single domains are asked, where there are no bulk statistics; None until they are."""
        self.cells: int | None = None
        """How many NUMA cells the host has; None until they have been counted."""

    def list_domains(self) -> None:
        """Learns which domains there are."""
        self.domains = {one.UUIDString(): one for one in self.handle.listAllDomains(0)}


class Connection:
    """A lane with a connection of its own, which is opened when it is needed."""

    def __init__(
        self,
        name: str,
        url: str,
        *,
        opener: Opener = libvirt.openReadOnly,
        opened: Callable[[Session], None] | None = None,
        lost: Callable[[Session], None] | None = None,
        ended: Callable[[object], None] | None = None,
    ) -> None:
        """`ended` is called at the end of each question, answered or not."""
        self._url = url
        self._lane = Lane(name, ended)
        self._opener = opener
        self._opened = opened
        self._lost = lost
        self._session: Session | None = None
        self._was_open = False
        self._log = logs.get()
        self.reconnects = 0

    @property
    def in_flight(self) -> "Future[Any] | None":
        """The call that occupies the connection; None when it is idle."""
        return self._lane.in_flight

    def ask(self, question: Callable[[Session], Result]) -> "Future[Result]":
        """Has the connection's thread ask. The future may fail with libvirt's error."""
        return self._lane.submit(lambda: self._answer(question))

    def close(self) -> None:
        """Ends the connection and its thread once the calls in flight have returned."""
        self._lane.submit(self._close)
        self._lane.end()

    def _answer(self, question: Callable[[Session], Result]) -> Result:
        session = self._session
        if session is not None and _is_alive(session.handle):
            try:
                return question(session)
            except libvirt.libvirtError as error:
                if _is_alive(session.handle) and not _is_lost_behind(error):
                    raise
                # The daemon was restarted under us: the fault counts on a fresh connection only.
        session = self._open()
        try:
            return question(session)
        except libvirt.libvirtError:
            if not _is_alive(session.handle):
                self._close()
            raise

    def _open(self) -> Session:
        self._close()
        handle = self._opener(self._url)
        try:
            handle.setKeepAlive(_KEEPALIVE_SECONDS, _KEEPALIVE_COUNT)
        except libvirt.libvirtError:
            self._log.debug("keepalive.unsupported", url=self._url)
        session = self._session = Session(handle)
        if self._was_open:
            self.reconnects += 1
        self._was_open = True
        if self._opened is not None:
            self._opened(session)
        return session

    def _close(self) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        if self._lost is not None:
            self._lost(session)
        session.domains.clear()
        try:
            session.handle.close()
        except libvirt.libvirtError:
            self._log.debug("connection.close_failed", url=self._url)


def _is_alive(handle: Any) -> bool:
    try:
        return bool(handle.isAlive())
    except libvirt.libvirtError:
        return False


def _is_lost_behind(error: libvirt.libvirtError) -> bool:
    """True when the daemon we talk to has lost the one that it passes the question on to.

    virtproxyd asks virtqemud, and virtqemud asks virtstoraged, each over a connection that it makes
    for ours and keeps when it is of no use any more. Our own is alive all the while.
    """
    is_of_connections = bool(error.get_error_domain() == libvirt.VIR_FROM_RPC)
    return is_of_connections and bool(error.get_error_code() == libvirt.VIR_ERR_INTERNAL_ERROR)
