"""Reads a host through libvirt, read-only, one bulk query per reading.

What libvirt 9.0 was measured to do, and what follows here:

- Even with NOWAIT the first query to meet a frozen QEMU waits for it without limit. A query on
  another connection then finds that domain taken, skips it and returns at once. So a query that is
  late is asked again on another lane, and a lane that is stuck is left alone.
- Closing a connection while a call is in flight does not free the call and breaks later ones. So a
  connection belongs to one lane's thread, which opens it, uses it and closes it.
- Without a running event loop keepalive and events do not work. So the loop starts before the first
  connection is opened.
"""

import re
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace
from typing import Any

import libvirt

from collector.descriptions import Descriptions
from collector.domain_xml import Description, describe
from collector.lane import Lane
from collector.ports import SourceError
from collector.records import DomainRecord, Group, HostReading, Part, Versions
from collector.samples import is_active, is_complete, lacks_bulk_statistics
from servicekit import logs
from servicekit.clock import Clock

_FULL_LANES = 3
"""Each stuck call holds one of the daemon's 20 workers, so there are few."""
_SLOW = 3.0
"""A query this many times slower than usual is late."""
_MEMORY = 8
"""Over about so many queries the usual duration is taken."""
_KEEPALIVE_SECONDS, _KEEPALIVE_COUNT = 5, 3

_FLAGS = {
    Group.STATE: libvirt.VIR_DOMAIN_STATS_STATE,
    Group.CPU: libvirt.VIR_DOMAIN_STATS_CPU_TOTAL,
    Group.BALLOON: libvirt.VIR_DOMAIN_STATS_BALLOON,
    Group.VCPU: libvirt.VIR_DOMAIN_STATS_VCPU,
    Group.INTERFACE: libvirt.VIR_DOMAIN_STATS_INTERFACE,
    Group.BLOCK: libvirt.VIR_DOMAIN_STATS_BLOCK,
    Group.IOTHREAD: libvirt.VIR_DOMAIN_STATS_IOTHREAD,
    Group.PERF: libvirt.VIR_DOMAIN_STATS_PERF,
    Group.DIRTYRATE: libvirt.VIR_DOMAIN_STATS_DIRTYRATE,
}
_ALL_GROUPS = frozenset(_FLAGS)
_GROUPS_WITHOUT_MONITOR = frozenset({Group.STATE, Group.INTERFACE, Group.PERF})
"""These never ask a QEMU and so cannot get stuck on one."""


class LibvirtSource:
    """The domains of one libvirt host. `read` is for one caller at a time."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        hedge_after_seconds: float,
        shards: int | None = None,
        include: re.Pattern[str] | None = None,
        exclude: re.Pattern[str] | None = None,
    ) -> None:
        del shards
        _start_event_loop()
        self._include, self._exclude = include, exclude
        self._url = url
        self._clock = clock
        self._hedge_after_seconds = hedge_after_seconds
        self._usual_seconds = 0.0
        self._descriptions = Descriptions()
        self._lanes = [
            _Connection(url, clock, self._descriptions, number, _ALL_GROUPS)
            for number in range(_FULL_LANES)
        ]
        self._reserve = _Connection(
            url, clock, self._descriptions, _FULL_LANES, _GROUPS_WITHOUT_MONITOR
        )

    @property
    def reconnects(self) -> int:
        """See `Source.reconnects`."""
        return sum(lane.reconnects for lane in (*self._lanes, self._reserve))

    def read(self, groups: frozenset[Group], timeout_seconds: float) -> HostReading:
        """See `Source.read`."""
        began = self._clock.monotonic()
        deadline = began + timeout_seconds
        share = timeout_seconds / (_FULL_LANES + 1)
        patience = min(share, max(self._hedge_after_seconds, _SLOW * self._usual_seconds))
        last_chance, ask_next = deadline - share, began
        unasked, asked = [*self._lanes, self._reserve], dict[Future[HostReading], _Connection]()
        fault: BaseException | None = None
        while (now := self._clock.monotonic()) < deadline:
            lane = self._next_lane(unasked, may_ask=now >= ask_next, is_last=now >= last_chance)
            if lane is not None:
                unasked.remove(lane)
                asked[lane.start(groups)] = lane
                ask_next = now + patience
            until = min(moment for moment in (ask_next, last_chance, deadline) if moment > now)
            # Calls that earlier readings left behind matter too: their end makes a lane idle.
            awaited = {*asked, *(one.in_flight for one in self._lanes if one.in_flight)}
            done, _ = wait(awaited, until - now, FIRST_COMPLETED)
            for future in done & asked.keys():
                answered = asked.pop(future)
                fault = future.exception()
                if fault is None:
                    return self._chosen(self._note(future.result(), answered))
            if fault is not None and not asked:
                # libvirt answered, with an error: another lane would hear the same.
                break
        raise self._failure(fault, timeout_seconds)

    def _next_lane(
        self, unasked: list["_Connection"], *, may_ask: bool, is_last: bool
    ) -> "_Connection | None":
        """The lane to ask now. The reserve knows little, so it comes last, when time runs out."""
        lanes = [self._reserve, *self._lanes] if is_last else self._lanes
        idle = (one for one in lanes if one in unasked and one.in_flight is None)
        return next(idle, None) if may_ask or is_last else None

    def _note(self, reading: HostReading, lane: "_Connection") -> HostReading:
        """Remembers how long a query takes here, for the next one's patience."""
        if lane is not self._reserve:
            self._usual_seconds += (reading.parts["stats"].seconds - self._usual_seconds) / _MEMORY
        return reading

    def _chosen(self, reading: HostReading) -> HostReading:
        return replace(
            reading, domains=tuple(one for one in reading.domains if self._is_chosen(one.name))
        )

    def _is_chosen(self, name: str) -> bool:
        return (self._include is None or self._include.fullmatch(name) is not None) and (
            self._exclude is None or self._exclude.fullmatch(name) is None
        )

    def close(self) -> None:
        """See `Source.close`."""

    def _failure(self, fault: BaseException | None, timeout_seconds: float) -> Exception:
        if fault is None:
            return SourceError(
                f"libvirt at {self._url} gave no answer within {timeout_seconds:.2f} s; "
                "is its daemon running and responsive?"
            )
        if isinstance(fault, libvirt.libvirtError):
            return SourceError(f"libvirt at {self._url}: {fault.get_error_message()}")
        return fault if isinstance(fault, Exception) else SourceError(repr(fault))


class _Connection:
    """One read-only connection and the one thread that uses it."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        descriptions: Descriptions,
        number: int,
        groups: frozenset[Group],
    ) -> None:
        self._groups = groups
        self._url = url
        self._clock = clock
        self._descriptions = descriptions
        # One connection hears of changes; several would only repeat it.
        self._listens = number == 0
        self._lane: Lane[HostReading] = Lane(f"libvirt-{number}")
        self._handle: Any = None
        self._versions = Versions("", "", "")
        self._was_open = False
        self._said_no_bulk = False
        self._log = logs.get()
        self.reconnects = 0

    @property
    def in_flight(self) -> Future[HostReading] | None:
        return self._lane.in_flight

    def start(self, groups: frozenset[Group]) -> Future[HostReading]:
        return self._lane.submit(lambda: self._query(groups))

    def _query(self, groups: frozenset[Group]) -> HostReading:
        if self._handle is not None and self._handle.isAlive():
            try:
                return self._read(groups)
            except libvirt.libvirtError:
                # The daemon may have been restarted under us: the fault counts on a fresh
                # connection only.
                pass
        self._open()
        try:
            return self._read(groups)
        except libvirt.libvirtError:
            self._close()
            raise

    def _open(self) -> None:
        self._close()
        handle = libvirt.openReadOnly(self._url)
        try:
            handle.setKeepAlive(_KEEPALIVE_SECONDS, _KEEPALIVE_COUNT)
        except libvirt.libvirtError:
            self._log.debug("keepalive.unsupported", url=self._url)
        self._versions = Versions(
            hypervisor=_version(handle.getVersion),
            daemon=_version(handle.getLibVersion),
            library=_version(libvirt.getVersion),
        )
        if self._listens:
            self._listen(handle)
        self._handle = handle
        if self._was_open:
            self.reconnects += 1
        self._was_open = True

    def _close(self) -> None:
        handle, self._handle = self._handle, None
        if handle is None:
            return
        if self._listens:
            self._descriptions.forget_all()
        try:
            handle.close()
        except libvirt.libvirtError:
            self._log.debug("connection.close_failed", url=self._url)

    def _listen(self, handle: Any) -> None:
        """Has libvirt tell what changes a description."""

        def changed(_handle: Any, domain: Any, *_details: Any) -> None:
            self._descriptions.forget(domain.UUIDString())

        try:
            for event in (
                libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE,
            ):
                handle.domainEventRegisterAny(None, event, changed, None)
        except libvirt.libvirtError as error:
            self._descriptions.is_kept_fresh = False
            self._log.warning(
                "events.unsupported",
                url=self._url,
                reason=str(error),
                effect="descriptions are read anew at every scrape",
            )
        else:
            self._descriptions.is_kept_fresh = True

    def _read(self, groups: frozenset[Group]) -> HostReading:
        began = self._clock.monotonic()
        flags = libvirt.VIR_DOMAIN_STATS_STATE
        for group in groups & self._groups:
            flags |= _FLAGS[group]
        records = self._handle.getAllDomainStats(
            flags, libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
        )
        self._descriptions.keep_only({domain.UUIDString() for domain, _ in records})
        counted = self._clock.monotonic()
        described: dict[str, Description | None] = {}
        if Group.INFO in groups:
            described = {domain.UUIDString(): self._description(domain) for domain, _ in records}
        ended = self._clock.monotonic()
        domains = [
            found
            for domain, statistics in records
            if (found := self._record(domain, statistics, described.get(domain.UUIDString())))
        ]
        parts = {"stats": Part(counted - began, True)}
        if Group.INFO in groups:
            is_ok = all(found is not None for found in described.values())
            parts["info"] = Part(ended - counted, is_ok)
        versions = self._versions if Group.VERSIONS in groups else None
        return HostReading(domains=tuple(domains), parts=parts, versions=versions)

    def _record(
        self, domain: Any, statistics: dict[str, Any], description: Description | None
    ) -> DomainRecord | None:
        if self._groups == _ALL_GROUPS and lacks_bulk_statistics(statistics):
            try:
                statistics = {**statistics, **self._basic(domain)}
            except libvirt.libvirtError:
                return None  # It has gone since the query.
        return DomainRecord(
            name=domain.name(),
            uuid=domain.UUIDString(),
            number=domain.ID(),
            statistics=statistics,
            description=description,
            is_timed_out=self._is_timed_out(domain, statistics),
        )

    def _basic(self, domain: Any) -> dict[str, Any]:
        """What every driver can tell of a domain, under the names of the bulk statistics."""
        if not self._said_no_bulk:
            self._said_no_bulk = True
            self._log.warning(
                "bulk_statistics.missing",
                url=self._url,
                effect="CPU time and memory come from one call per domain; no other statistics",
            )
        _, maximum, memory, vcpus, cpu_time = domain.info()
        return {
            "cpu.time": cpu_time,
            "vcpu.current": vcpus,
            "balloon.current": memory,
            "balloon.maximum": maximum,
        }

    def _is_timed_out(self, domain: Any, statistics: dict[str, Any]) -> bool:
        """True when some caller's question to the domain's QEMU has gone unanswered."""
        if not is_active(statistics) or is_complete(statistics):
            return False
        try:
            state, _, _milliseconds = domain.controlInfo(0)
        except libvirt.libvirtError:
            return False
        return bool(state == libvirt.VIR_DOMAIN_CONTROL_OCCUPIED)

    def _description(self, domain: Any) -> Description | None:
        uuid = domain.UUIDString()

        def read() -> Description | None:
            try:
                return describe(domain.XMLDesc(0))
            except (libvirt.libvirtError, ValueError):
                return None

        return self._descriptions.get(uuid, domain.ID(), read)


def _version(read: Callable[[], int]) -> str:
    try:
        number = read()
    except libvirt.libvirtError:
        return ""
    return f"{number // 1_000_000}.{number // 1_000 % 1_000}.{number % 1_000}"


_event_loop_lock = threading.Lock()
_event_loop: threading.Thread | None = None


def _start_event_loop() -> None:
    """Runs libvirt's event loop in a thread; once per process, as libvirt demands."""
    global _event_loop
    with _event_loop_lock:
        if _event_loop is not None:
            return
        # Errors reach us as exceptions; the library would also write them to standard error.
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        libvirt.virEventRegisterDefaultImpl()
        _event_loop = threading.Thread(target=_run_event_loop, name="libvirt-events", daemon=True)
        _event_loop.start()


def _run_event_loop() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()
