"""The pool's domains through libvirt: only domains that carry our metadata exist here."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar
from xml.etree import ElementTree

import libvirt

from stack.ports import DomainsError, DomainState, DomainView

Answer = TypeVar("Answer")

METADATA_URI = "urn:virtscale:domain:1"

_STATES: dict[int, DomainState] = {
    libvirt.VIR_DOMAIN_RUNNING: "running",
    libvirt.VIR_DOMAIN_BLOCKED: "running",
    libvirt.VIR_DOMAIN_PAUSED: "paused",
    libvirt.VIR_DOMAIN_SHUTDOWN: "stopping",
    libvirt.VIR_DOMAIN_SHUTOFF: "off",
    libvirt.VIR_DOMAIN_CRASHED: "crashed",
    libvirt.VIR_DOMAIN_PMSUSPENDED: "paused",
}


class LibvirtDomains:
    """One connection, made when needed and again after libvirtd's restart."""

    def __init__(self, uri: str, *, pool: str, seconds: float = 15.0) -> None:
        """`seconds` is the deadline of each call."""
        self._uri = uri
        self._pool = pool
        self._seconds = seconds
        self._connection: libvirt.virConnect | None = None
        self._thread = _CallThread()
        # By default the library prints every error to standard error, in the middle of the table.
        libvirt.registerErrorHandler(lambda *_: None, None)

    async def check(self) -> None:
        """Connects.

        Raises:
            DomainsError: with libvirt's reason.

        """
        await self._call(lambda connection: connection.getLibVersion())

    async def list_domains(self) -> list[DomainView]:
        """See `ports.Domains.list_domains`."""
        return await self._call(self._list)

    async def shutdown(self, name: str) -> None:
        """See `ports.Domains.shutdown`."""
        await self._call(
            lambda connection: connection.lookupByName(name).shutdownFlags(
                libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN
            )
        )

    async def destroy(self, name: str) -> None:
        """See `ports.Domains.destroy`."""
        await self._call(lambda connection: connection.lookupByName(name).destroy())

    def close(self) -> None:
        """Ends the connection; a call that hangs is left behind."""
        self._thread.close()
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(libvirt.libvirtError):
                connection.close()

    async def _call(self, work: Callable[[libvirt.virConnect], Answer]) -> Answer:
        call = self._thread.call(lambda: self._connected(work))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(call), self._seconds)
        except TimeoutError:
            raise DomainsError(
                f"libvirt at {self._uri} did not answer within {self._seconds:g} s"
            ) from None

    def _connected(self, work: Callable[[libvirt.virConnect], Answer]) -> Answer:
        try:
            if self._connection is None or not self._connection.isAlive():
                self._connection = libvirt.open(self._uri)
                self._connection.setKeepAlive(5, 3)
        except libvirt.libvirtError as error:
            if self._connection is None:
                raise DomainsError(f"libvirt at {self._uri}: {error}") from None
        try:
            return work(self._connection)
        except libvirt.libvirtError as error:
            if error.get_error_domain() == libvirt.VIR_FROM_RPC:
                self._connection = None
            raise DomainsError(f"libvirt at {self._uri}: {error}") from None

    def _list(self, connection: libvirt.virConnect) -> list[DomainView]:
        views = []
        for domain in connection.listAllDomains():
            try:
                text = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, METADATA_URI)
                state, reason = domain.state()
                saved = state == libvirt.VIR_DOMAIN_SHUTOFF and bool(domain.hasManagedSaveImage())
            except libvirt.libvirtError as error:
                if error.get_error_code() in (
                    libvirt.VIR_ERR_NO_DOMAIN_METADATA,
                    libvirt.VIR_ERR_NO_DOMAIN,
                ):
                    continue
                raise
            attributes = ElementTree.fromstring(text).attrib
            if attributes.get("pool") != self._pool:
                continue
            since = attributes.get("operation_since")
            views.append(
                DomainView(
                    name=domain.name(),
                    state="saved" if saved else _STATES.get(state, "off"),
                    operation=attributes.get("operation", ""),
                    operation_since=_number(since),
                    is_persistent=bool(domain.isPersistent()),
                    powered_off_in_order=state == libvirt.VIR_DOMAIN_SHUTOFF
                    and reason == libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN,
                )
            )
        return sorted(views, key=lambda view: view.name)


class _CallThread:
    """Runs blocking calls in order, one at a time.

    A daemon thread: a pool's threads are waited for at the end, and a libvirt that accepted the
    connection and says nothing would keep the whole process from ending.
    """

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]
        self._calls = queue.SimpleQueue()
        threading.Thread(target=self._run, name="libvirt", daemon=True).start()

    def call(self, function: Callable[[], Answer]) -> Future[Answer]:
        """Its outcome; a call cancelled before its turn never runs."""
        future: Future[Answer] = Future()
        self._calls.put((future, function))
        return future

    def close(self) -> None:
        """Ends after what was already asked for."""
        self._calls.put(None)

    def _run(self) -> None:
        while (item := self._calls.get()) is not None:
            future, function = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
