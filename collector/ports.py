"""What the exporter needs from the world."""

from dataclasses import dataclass
from typing import Protocol

from collector import records
from collector.records import Group
from collector.samples import DomainSample


class SourceError(Exception):
    """The host's statistics cannot be read now. The text says why, for a person."""


@dataclass(frozen=True, slots=True)
class Versions:
    """Versions as libvirt words them, such as 9.0.0; empty where the driver does not tell."""

    hypervisor: str
    daemon: str
    library: str


@dataclass(frozen=True, slots=True)
class HostReading:
    """All domains of one host at one moment."""

    domains: tuple[DomainSample, ...]
    versions: Versions
    stats_seconds: float
    """How long the bulk query took."""
    description_seconds: float
    """How long reading new or changed domain descriptions took."""
    descriptions_ok: bool
    """False when a description of a present domain could not be read."""


class Source(Protocol):
    """Reads one host."""

    @property
    def reconnects(self) -> int:
        """How many times a lost connection has been opened anew."""
        ...

    def read(self, groups: frozenset[Group], timeout_seconds: float) -> records.HostReading:
        """Reads these groups of all domains, partly where a domain does not answer.

        Raises:
            SourceError: nothing could be read within the time.

        """
        ...

    def close(self) -> None:
        """Ends the connections, but for those whose call is stuck."""
        ...
