"""What the exporter needs from the world."""

from typing import Protocol

from collector.records import Group, HostReading


class SourceError(Exception):
    """The host's statistics cannot be read now. The text says why, for a person."""


class Source(Protocol):
    """Reads one host."""

    @property
    def reconnects(self) -> int:
        """How many times a lost connection has been opened anew."""
        ...

    def read(self, groups: frozenset[Group], timeout_seconds: float) -> HostReading:
        """Reads these groups of all domains, partly where a domain does not answer.

        Raises:
            SourceError: nothing could be read within the time.

        """
        ...

    def close(self) -> None:
        """Ends the connections, but for those whose call is stuck."""
        ...
