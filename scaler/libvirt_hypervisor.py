"""The pool's domains through libvirt. Beside it only `libvirt_domains` imports libvirt.

Calls run in daemon threads with deadlines, at most four at a time beside the one that lists: a
connection serves five requests at once, and one blocked call must not blind the scaler.
"""

import re
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import libvirt

from scaler import domain_attributes, host_memory
from scaler.daemon_threads import DaemonThreads
from scaler.domain_attributes import Attributes
from scaler.host_room import HostRoom
from scaler.kept_definitions import KeptDefinitions
from scaler.libvirt_domains import (
    Cached,
    defined,
    image_generation_of,
    read,
    read_metadata,
    record_of,
    set_metadata,
)
from scaler.pool import DomainRecord, Lifecycle, Operation, OperationKind
from scaler.ports import ErrorKind, HypervisorError
from servicekit.clock import Clock

Value = TypeVar("Value")

_METADATA_REFRESH_SECONDS = 5.0
_REFRESHES_PER_LOOK = 20
"""Metadata are asked for domain by domain: of a large pool a few with every look, the oldest first.
What was started, stopped or defined since the last look is read at once."""
_CALL_THREADS = 4

_RETRYABLE = frozenset(
    {
        libvirt.VIR_ERR_OPERATION_TIMEOUT,
        libvirt.VIR_ERR_RESOURCE_BUSY,
        libvirt.VIR_ERR_NO_CONNECT,
        libvirt.VIR_ERR_RPC,
        libvirt.VIR_ERR_SYSTEM_ERROR,
        libvirt.VIR_ERR_OPERATION_ABORTED,
    }
)
_CONFIG = frozenset(
    {
        libvirt.VIR_ERR_XML_ERROR,
        libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
        libvirt.VIR_ERR_NO_NETWORK,
        libvirt.VIR_ERR_NO_STORAGE_POOL,
        libvirt.VIR_ERR_NO_STORAGE_VOL,
        libvirt.VIR_ERR_INVALID_ARG,
    }
)
_NO_ROOM = re.compile(r"cannot allocate memory|no space left|cannot set up guest memory", re.I)
_NO_FILE = re.compile(r"cannot access (storage|backing) file", re.I)
_CONNECTION_LOST = re.compile(r"client socket is closed|end of file while reading", re.I)


class LibvirtHypervisor:
    """The domains whose metadata name one pool. Reconnects when libvirtd was restarted."""

    def __init__(
        self,
        uri: str,
        pool: str,
        *,
        clock: Clock,
        timeout_seconds: float = 20.0,
        kept: KeptDefinitions | None = None,
        save_directory: Path | None = None,
        scaler: str | None = None,
    ) -> None:
        """`scaler` names us in metadata; None: whose domains they are is not looked at."""
        self._uri = uri
        self._scaler = scaler
        self._save_directory = save_directory
        self._pool = pool
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._kept = kept or KeptDefinitions(None)
        self._list_timeout_seconds = min(5.0, timeout_seconds)
        self._lister = DaemonThreads(1, "libvirt-list")
        self._callers = DaemonThreads(_CALL_THREADS, "libvirt-call")
        self._lock = threading.Lock()
        self._connection: Any = None
        self._metadata: dict[str, Cached] = {}
        """By UUID, in the order in which they were read."""
        # libvirt prints every error on standard error by itself; we report them in our own words.
        libvirt.registerErrorHandler(lambda *_: None, None)

    async def list(self) -> tuple[DomainRecord, ...]:
        """See `Hypervisor.list`."""
        try:
            return await self._run(self._lister, self._list, self._list_timeout_seconds)
        except HypervisorError as error:
            # Every turn begins with this call: a URI that is wrong or has vanished shows here.
            raise HypervisorError(error.kind, f"libvirt_uri = {self._uri}: {error}") from None

    async def start(self, name: str) -> None:
        """See `Hypervisor.start`."""
        await self._change(name, _boot, done=_is_running)

    async def shutdown(self, name: str) -> None:
        """See `Hypervisor.shutdown`: the power button, as no other way needs an agent inside."""
        flags = libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN
        await self._change(name, lambda domain: domain.shutdownFlags(flags), done=_is_off)

    async def destroy(self, name: str) -> None:
        """See `Hypervisor.destroy`."""
        await self._change(name, lambda domain: domain.destroy(), done=_is_off)

    async def suspend(self, name: str) -> None:
        """See `Hypervisor.suspend`."""
        await self._change(name, lambda domain: domain.suspend(), done=_is_frozen)

    async def resume(self, name: str) -> None:
        """See `Hypervisor.resume`."""
        await self._change(name, lambda domain: domain.resume(), done=_goes_on)

    async def save(self, name: str) -> None:
        """See `Hypervisor.save`."""
        await self._change(name, lambda domain: domain.managedSave(0), done=_is_off)

    async def restore(self, name: str) -> None:
        """See `Hypervisor.restore`."""
        await self._change(name, _restore, done=_is_running)

    async def discard(self, name: str) -> None:
        """See `Hypervisor.discard`."""
        await self._change(name, lambda domain: domain.managedSaveRemove(0), done=_has_no_image)

    async def room(self) -> HostRoom:
        """See `Hypervisor.room`."""
        return await self._run(self._lister, self._room, self._list_timeout_seconds)

    async def set_operation(self, name: str, operation: Operation | None) -> None:
        """See `Hypervisor.set_operation`."""

        def write(domain: Any) -> None:
            self._write(domain, lambda one: domain_attributes.with_operation(one, operation))

        await self._change(name, write, done=None)

    async def claim(self, name: str) -> None:
        """See `Hypervisor.claim`."""
        await self._change(name, lambda domain: self._write(domain, dict), done=None)

    async def adopt(self, name: str) -> None:
        """Takes a domain of the pool over, whichever scaler it belongs to."""

        def adopt() -> None:
            self._write(self._connect().lookupByName(name), domain_attributes.without_token)

        await self._run(self._callers, adopt, self._timeout_seconds)

    async def keep_definition(self, name: str) -> None:
        """See `Hypervisor.keep_definition`."""
        await self._change(name, self._keep, done=None)

    async def roll_back(self, name: str) -> None:
        """See `Hypervisor.roll_back`."""
        await self._change(name, self._roll_back, done=None)

    def close(self) -> None:
        """Ends the connection as far as it can be ended."""
        self._lister.close()
        self._callers.close()
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            _close(connection)

    async def _change(
        self,
        name: str,
        call: Callable[[Any], object],
        *,
        done: Callable[[Any], bool] | None,
    ) -> None:
        def change() -> None:
            domain = self._connect().lookupByName(name)
            # Since it was listed, somebody may have defined another domain of that name.
            self._check_owned(domain)
            if done is not None and done(domain):
                return
            try:
                call(domain)
            except libvirt.libvirtError:
                # Somebody else, or the guest itself, was faster: what was wanted is the case.
                if done is not None and done(domain):
                    return
                raise

        await self._run(self._callers, change, self._timeout_seconds)

    async def _run(
        self, threads: DaemonThreads, function: Callable[[], Value], timeout_seconds: float
    ) -> Value:
        def attempt() -> Value:
            try:
                return function()
            except libvirt.libvirtError as error:
                if not self._drop_lost_connection(error):
                    raise
                return function()

        try:
            return await threads.call(attempt, timeout_seconds)
        except TimeoutError:
            text = f"libvirt did not answer within {timeout_seconds:g} s"
            raise HypervisorError(ErrorKind.RETRYABLE, text) from None
        except libvirt.libvirtError as error:
            raise HypervisorError(classify(error), str(error)) from None

    def _connect(self) -> Any:
        with self._lock:
            if self._connection is None:
                self._connection = libvirt.open(self._uri)
                self._metadata.clear()
            return self._connection

    def _drop_lost_connection(self, error: Any) -> bool:
        """True when the error came from a dead connection, which is forgotten."""
        with self._lock:
            connection = self._connection
            if connection is None:
                return False
            lost = _CONNECTION_LOST.search(str(error)) is not None
            if not lost:
                try:
                    lost = not connection.isAlive()
                except libvirt.libvirtError:
                    lost = True
            if lost:
                self._connection = None
        if lost:
            _close(connection)
        return lost

    def _list(self) -> tuple[DomainRecord, ...]:
        # One call for all domains, of which libvirt's protocol allows 16,384 on a host. The state
        # needs no job lock, so a busy domain is not waited for.
        stats = self._connect().getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0)
        now = self._clock.monotonic()
        due = self._due(now)
        records = []
        seen = set()
        for domain, fields in stats:
            identity = domain.UUIDString()
            seen.add(identity)
            name = domain.name()
            told = (fields.get("state.state"), fields.get("state.reason"), name)
            known = self._metadata.get(identity)
            if known is None or identity in due or (known.told and known.told[:3] != told):
                known = self._remember(identity, read(domain, now), known)
            if known.attributes is None or known.attributes.get("pool") != self._pool:
                known.told = told
                continue
            records.append(
                self._record(domain, known, fields, (*told, self._kept.generation(name)))
            )
        for identity in self._metadata.keys() - seen:
            self._metadata.pop(identity, None)
        return tuple(records)

    def _due(self, now: float) -> frozenset[str]:
        """Domains of which the metadata are to be read again in this look."""
        oldest = islice(list(self._metadata.items()), _REFRESHES_PER_LOOK)
        return frozenset(
            identity
            for identity, cached in oldest
            if now - cached.read_at >= _METADATA_REFRESH_SECONDS
        )

    def _remember(self, identity: str, fresh: Cached, before: Cached | None = None) -> Cached:
        """Keeps what was read, unless a change was written since `before` was looked up."""
        with self._lock:
            newest = self._metadata.pop(identity, None)
            if before is not None and newest is not None and newest is not before:
                fresh = newest
            self._metadata[identity] = fresh
            return fresh

    def _record(
        self, domain: Any, known: Cached, fields: dict[str, Any], told: tuple[object, ...]
    ) -> DomainRecord:
        assert known.attributes is not None
        if known.record is not None and known.told == told:
            return known.record
        record = replace(
            record_of(domain.name(), fields, known.attributes),
            defined_generation=known.defined_generation,
            kept_generation=self._kept.generation(domain.name()),
            memory_bytes=known.memory_bytes,
            foreign_scaler=known.scaler if self._is_foreign(known.scaler) else "",
            is_unclaimed=self._scaler is not None and known.scaler == "",
        )
        known.told = told
        if record.lifecycle is not Lifecycle.OFF or not _may_be_saved(record.operation):
            known.record = record
            return record
        # An image may come and go without anything else changing.
        known.record = None
        return self._with_image(domain, record, known)

    def _with_image(self, domain: Any, record: DomainRecord, known: Cached) -> DomainRecord:
        record = replace(record, has_saved_image=bool(domain.hasManagedSaveImage(0)))
        # Defining a domain anew leaves its saved image as it is, and a restore goes on from that.
        if not record.has_saved_image or not _is_kind(record.operation, OperationKind.SAVE):
            return record
        if known.image_generation is None:
            known.image_generation = image_generation_of(domain)
        return replace(record, generation=known.image_generation or record.generation)

    def _check_owned(self, domain: Any) -> None:
        """Raises GONE when the domain, as it is now, is not of the pool or is another scaler's."""
        attributes = self._pool_attributes(domain)
        if self._scaler is None:
            return
        scaler = defined(domain, attributes).get("scaler", "")
        if self._is_foreign(scaler):
            # Of a large pool that would be seen only after many looks.
            self._metadata.pop(domain.UUIDString(), None)
            text = f"domain {domain.name()} belongs to another scaler ({scaler})"
            raise HypervisorError(ErrorKind.GONE, text)

    def _is_foreign(self, scaler: str) -> bool:
        return self._scaler is not None and scaler not in ("", self._scaler)

    def _pool_attributes(
        self, domain: Any, area: int = libvirt.VIR_DOMAIN_AFFECT_CURRENT
    ) -> Attributes:
        attributes = read_metadata(domain, area)
        if attributes is None or attributes.get("pool") != self._pool:
            text = f"domain {domain.name()} is no longer of pool {self._pool}"
            raise HypervisorError(ErrorKind.GONE, text)
        return attributes

    def _room(self) -> HostRoom:
        return host_memory.room(self._connect(), self._uri, self._save_directory)

    def _write(self, domain: Any, change: Callable[[Attributes], Attributes]) -> None:
        """Changes the metadata, and has them say that the domain is ours."""
        # What runs and what is defined may differ, and must go on to.
        areas = [libvirt.VIR_DOMAIN_AFFECT_CONFIG]
        if domain.isActive():
            areas.append(libvirt.VIR_DOMAIN_AFFECT_LIVE)
        for area in areas:
            attributes = change(self._pool_attributes(domain, area))
            if self._scaler is not None:
                attributes["scaler"] = self._scaler
            set_metadata(domain, attributes, area)
        self._remember(domain.UUIDString(), read(domain, self._clock.monotonic()))

    def _keep(self, domain: Any) -> None:
        attributes = self._pool_attributes(domain)
        # Defined anew since it was looked at: that definition has proved nothing yet.
        if attributes.get("generation") == defined(domain, attributes).get("generation", ""):
            flags = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
            self._kept.keep(domain.name(), domain.XMLDesc(flags))
        self._metadata.pop(domain.UUIDString(), None)

    def _roll_back(self, domain: Any) -> None:
        now = self._pool_attributes(domain, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
        text = self._kept.get(domain.name())
        if text is None:
            text = f"no copy of the definition of domain {domain.name()} is kept"
            raise HypervisorError(ErrorKind.GONE, text)
        restored = self._connect().defineXML(text)
        attributes = read_metadata(restored, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
        if attributes is not None:
            # The copy tells of the past; what is under way, and who was here last, is of now.
            for name in domain_attributes.KEPT:
                attributes.pop(name, None)
                if name in now:
                    attributes[name] = now[name]
            set_metadata(restored, attributes, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
        self._metadata.pop(domain.UUIDString(), None)


def classify(error: Any) -> ErrorKind:
    """What to make of a libvirt error: by code, and by text where one code means many things."""
    code, text = error.get_error_code(), str(error)
    if code == libvirt.VIR_ERR_NO_DOMAIN:
        return ErrorKind.GONE
    if _NO_ROOM.search(text):
        return ErrorKind.CAPACITY
    if code in _CONFIG or _NO_FILE.search(text):
        return ErrorKind.CONFIG
    if code in _RETRYABLE or _CONNECTION_LOST.search(text):
        return ErrorKind.RETRYABLE
    return ErrorKind.FATAL


def _boot(domain: Any) -> None:
    # An image that somebody saved, or that a restore left behind, is a past life: never go on
    # from it. Not every driver knows the flag.
    if domain.hasManagedSaveImage():
        domain.createWithFlags(libvirt.VIR_DOMAIN_START_FORCE_BOOT)
    else:
        domain.create()


def _is_running(domain: Any) -> bool:
    return bool(domain.isActive())


def _is_off(domain: Any) -> bool:
    return not domain.isActive()


def _is_frozen(domain: Any) -> bool:
    return bool(domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED)


def _goes_on(domain: Any) -> bool:
    return bool(domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING)


def _has_no_image(domain: Any) -> bool:
    return not domain.hasManagedSaveImage(0)


def _restore(domain: Any) -> None:
    if not domain.hasManagedSaveImage(0):
        raise HypervisorError(ErrorKind.FATAL, f"domain {domain.name()} has no saved image")
    domain.createWithFlags(0)


def _may_be_saved(operation: Operation | None) -> bool:
    return _is_kind(operation, OperationKind.SAVE, OperationKind.RESTORE)


def _is_kind(operation: Operation | None, *kinds: OperationKind) -> bool:
    return operation is not None and operation.kind in kinds


def _close(connection: Any) -> None:
    try:
        connection.close()
    except libvirt.libvirtError:
        return
