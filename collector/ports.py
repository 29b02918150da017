"""What the exporter needs from the world."""

from typing import Protocol

from collector.records import HostReading


class SourceError(Exception):
    """The host's statistics cannot be read now. The text says why, for a person."""


class DomainSource(Protocol):
    """Reads one host."""

    @property
    def reconnects(self) -> int:
        """How many times a lost connection has been opened anew."""
        ...

    def read(self, timeout_seconds: float) -> HostReading:
        """Reads all domains, partly where a domain does not answer.

        Raises:
            SourceError: nothing could be read within the time.

        """
        ...
