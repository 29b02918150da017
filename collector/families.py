"""What a metric family is, and the sets of names it may be exported under. Pure."""

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Literal

from collector.records import Group

Kind = Literal["counter", "gauge", "info"]
"""As in OpenMetrics. The text format knows no info; there it is a gauge."""


class NameSet(StrEnum):
    """Whose names and labels are exported."""

    INOVEX = "inovex"
    """The base, always there: the names of the exporter that is still developed, and ours."""
    TINKOFF = "tinkoff"
    """Adds what Tinkoff's exporter called otherwise."""
    KUMINA = "kumina"
    """Adds Kumina's names (Debian's exporter) and its labels on the series that it also has."""


class Scale(Enum):
    """How libvirt's number becomes one in base units."""

    ONE = "one"
    NANOSECONDS = "nanoseconds"
    MILLISECONDS = "milliseconds"
    KIBIBYTES = "KiB"
    MEBIBYTES = "MiB"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric as documented: every series of it has these labels."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    group: Group | None = None
    """The group that must be read for it; None when it is always there."""
    names: NameSet = NameSet.INOVEX
    """The set that must be asked for."""
    also: Group | None = None
    """Another group that brings it: `state` has what virDomainGetInfo tells, too."""

    def is_wanted(self, groups: frozenset[Group] | None) -> bool:
        """Whether a scrape that asked for these groups gets it; None stands for all."""
        return groups is None or self.group is None or self.group in groups or self.also in groups

    @property
    def family_name(self) -> str:
        """Name of the family in OpenMetrics, where counters and infos end in a suffix."""
        suffix = {"counter": "_total", "info": "_info"}.get(self.kind, "")
        return self.name.removesuffix(suffix)

    def labels_with(self, names: frozenset[NameSet]) -> tuple[str, ...]:
        """The labels of its series when these sets of names are exported.

        A metric has one set of labels in a scrape. So what Kumina's exporter had more is added to
        the series themselves; one series each with fewer and with more labels would count twice.
        """
        if NameSet.KUMINA not in names or "domain" not in self.labels or "uuid" in self.labels:
            return self.labels
        more = {"block": ("source_file",), "interface": ("source_bridge",)}
        device = more.get(self.group or "", ()) if "target_device" in self.labels else ()
        missing = tuple(label for label in device if label not in self.labels)
        return ("domain", "uuid", *missing, *self.labels[1:])


@dataclass(frozen=True, slots=True)
class Statistic:
    """A family whose values are numbers of a domain's record."""

    family: Family
    key: str
    """libvirt's key; `*` stands for the number of a vCPU, disk, interface or thread."""
    scale: Scale = Scale.ONE
    is_lasting: bool = False
    """True when it is known of inactive domains too."""
