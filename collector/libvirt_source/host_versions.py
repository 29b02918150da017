"""The versions, over a connection of their own.

Before a daemon tells its hypervisor's version for the first time it looks at every emulator there
is, for seconds. Whatever waits behind that call would be late as well, the next surveys included.
A question for CPU would make it look likewise, but with the domain locked: see `is_looking`.
"""

from concurrent.futures import Future, wait

import libvirt

from collector.libvirt_source import host_parts
from collector.libvirt_source.connection import Connection, Opener, Session
from collector.records import Part, Versions
from servicekit.clock import Clock

_LONGEST_LOOK_SECONDS = 30.0


class HostVersions:
    """Asks once at a time: an answer that is late comes with a later reading. For one caller."""

    def __init__(self, url: str, clock: Clock, opener: Opener = libvirt.openReadOnly) -> None:
        self._clock = clock
        self._connection = Connection("libvirt-versions", url, opener=opener)
        self._future: Future[tuple[Versions, float]] | None = None
        self._began = self._started = 0.0
        self._era: int | None = None
        self._is_asked = False
        """False while the connection is opened, however long the way to the host."""

    @property
    def reconnects(self) -> int:
        """See `Source.reconnects`."""
        return self._connection.reconnects

    def start(self, era: int) -> None:
        """Asks, unless the question is still open or has been answered in this era.

        `era` is another number after each time that a connection to the daemon has been lost, and
        the daemon that is there now may be another.
        """
        self._started = self._clock.monotonic()
        if self._future is None or (self._future.done() and not self._is_answered(era)):
            self._era = era
            self._began = self._started
            self._future = self._connection.ask(self._timed)

    def is_looking(self, *, deadline: float, patience_seconds: float) -> bool:
        """True while the daemon looks at its emulators; nobody's CPU should be asked for then.

        One that looks for very long is not waited for.
        """
        self._wait(deadline, patience_seconds)
        has_time = self._clock.monotonic() - self._began < _LONGEST_LOOK_SECONDS
        return self._is_asked and has_time

    def finish(self, *, deadline: float, patience_seconds: float) -> tuple[Versions | None, Part]:
        """The versions; None when they are late or could not be read.

        The part's seconds are those of the question, which an earlier reading may have begun.
        """
        assert self._future is not None
        self._wait(deadline, patience_seconds)
        if self._future.done():
            try:
                value, seconds = self._future.result()
            except libvirt.libvirtError:
                pass
            else:
                return value, Part(seconds, True)
        return None, Part(self._clock.monotonic() - self._began, False)

    def _is_answered(self, era: int) -> bool:
        future = self._future
        return self._era == era and future is not None and future.exception() is None

    def close(self) -> None:
        """Ends the connection once the call in flight has returned."""
        self._connection.close()

    def _wait(self, deadline: float, patience_seconds: float) -> None:
        now = self._clock.monotonic()
        until = min(deadline, self._started + patience_seconds)
        if self._future is not None and not self._future.done():
            wait([self._future], max(0.0, until - now))

    def _timed(self, session: Session) -> tuple[Versions, float]:
        began = self._clock.monotonic()
        self._is_asked = True
        try:
            return host_parts.versions(session), self._clock.monotonic() - began
        finally:
            self._is_asked = False
