"""Storage pools, over connections of their own: a pool on a dead file server never answers.

Nothing is refreshed: that would scan the storage, and change what others see.
"""

import errno
from concurrent.futures import Future
from concurrent.futures import TimeoutError as StillRunning
from dataclasses import dataclass, field
from typing import Any

import libvirt

from collector.libvirt_source.connection import Connection, Opener, Session
from collector.records import Part, StoragePoolRecord
from servicekit.clock import Clock

_CONNECTIONS = 2
"""So many pools can hang at the same time before the others are no longer read."""
_SECONDS_BETWEEN_VAIN_QUESTIONS = 60.0
"""Where there are no pools each question is an error in the daemon's log."""
_INACTIVE = 0
_UNSUPPORTED = (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_NO_CONNECT)


@dataclass(slots=True)
class Round:
    """One reading of the pools, filled by a connection's thread, looked at by the reader's."""

    began: float
    future: "Future[None] | None" = None
    records: dict[str, StoragePoolRecord] = field(default_factory=dict)
    asked: str | None = None
    """The pool that was asked last."""
    asked_at: float = 0.0
    is_skipped: bool = False
    """True where no pools are to be expected."""


class Pools:
    """The storage pools of one host. For one caller at a time."""

    def __init__(self, url: str, clock: Clock, opener: Opener = libvirt.openReadOnly) -> None:
        self._clock = clock
        self._connections = [
            Connection(f"libvirt-pools-{number}", url, opener=opener)
            for number in range(_CONNECTIONS)
        ]
        self._stuck: dict[str, Future[None]] = {}
        self._has_been_read = False
        self._none_until = 0.0

    @property
    def reconnects(self) -> int:
        """See `Source.reconnects`."""
        return sum(one.reconnects for one in self._connections)

    def start(self) -> Round:
        """Begins to read; `finish` tells what came of it."""
        self._stuck = {name: one for name, one in self._stuck.items() if not one.done()}
        going = Round(began=self._clock.monotonic())
        going.is_skipped = going.began < self._none_until
        if going.is_skipped:
            return going
        for name in self._stuck:
            going.records[name] = _timed_out(name)
        self._ask(going)
        return going

    def finish(
        self, going: Round, *, deadline: float, patience_seconds: float
    ) -> tuple[tuple[StoragePoolRecord, ...] | None, Part | None]:
        """The pools, and how reading them went; nothing where the driver has no pools."""
        if going.is_skipped:
            return None, None
        is_ok = False
        while going.future is not None:
            since = max(going.began, going.asked_at)
            until = min(deadline, since + patience_seconds)
            try:
                going.future.result(max(0.0, until - self._clock.monotonic()))
            except StillRunning:
                if max(going.began, going.asked_at) > since:
                    continue  # Slow, but it gets on.
                if going.asked is not None:
                    self._stuck[going.asked] = going.future
                    going.records[going.asked] = _timed_out(going.asked)
                if self._clock.monotonic() >= deadline or going.asked is None:
                    break
                self._ask(going)
            except libvirt.libvirtError as error:
                if self._has_none(error):
                    self._none_until = self._clock.monotonic() + _SECONDS_BETWEEN_VAIN_QUESTIONS
                    return None, None
                break
            else:
                is_ok = self._has_been_read = True
                break
        part = Part(self._clock.monotonic() - going.began, is_ok)
        return tuple(sorted(going.records.values(), key=lambda one: one.name)), part

    def close(self) -> None:
        """Ends the connections, but for those whose call is stuck."""
        for connection in self._connections:
            connection.close()

    def _ask(self, going: Round) -> None:
        """Reads the pools that are not yet known over an idle connection, if there is one."""
        idle = next((one for one in self._connections if one.in_flight is None), None)
        known = frozenset(going.records)
        going.asked, going.asked_at = None, self._clock.monotonic()
        going.future = None if idle is None else idle.ask(_Reader(going, known, self._clock))

    def _has_none(self, error: libvirt.libvirtError) -> bool:
        """True where pools are not to be expected: a driver without, or no virtstoraged installed.

        Its socket is there while it may be started; it can also have gone since the last reading.
        """
        if error.get_error_code() in _UNSUPPORTED:
            return True
        has_no_socket = error.get_int1() == errno.ENOENT
        is_of_system = error.get_error_code() == libvirt.VIR_ERR_SYSTEM_ERROR
        return is_of_system and has_no_socket and not self._has_been_read


class _Reader:
    """Reads pool after pool and leaves each in the round at once."""

    def __init__(self, going: Round, known: frozenset[str], clock: Clock) -> None:
        self._going = going
        self._known = known
        self._clock = clock

    def __call__(self, session: Session) -> None:
        """Runs on the thread of the session's connection."""
        for pool in session.handle.listAllStoragePools(0):
            name = pool.name()
            if name in self._known:
                continue
            self._going.asked, self._going.asked_at = name, self._clock.monotonic()
            found = _record(name, pool)
            if found is not None:
                self._going.records[name] = found


def _record(name: str, pool: Any) -> StoragePoolRecord | None:
    try:
        state, capacity, allocation, available = pool.info()
    except libvirt.libvirtError:
        return None  # It has gone since the listing.
    if state == _INACTIVE:
        # libvirt says 0 for sizes that it does not know.
        return StoragePoolRecord(name, state)
    return StoragePoolRecord(name, state, float(capacity), float(allocation), float(available))


def _timed_out(name: str) -> StoragePoolRecord:
    return StoragePoolRecord(name, None, is_timed_out=True)
