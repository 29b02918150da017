"""Entries of the decision store and how to ask for them. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from scaler.turns import Sample, at_sample

FAR = 1e12
"""A Unix time after all others."""


@dataclass(slots=True)
class Entry:
    """One entry. `first` and `last` are Unix times; `samples` has one for each turn of a run."""

    id: int
    kind: str
    """`decision` (a run of turns), `result` (the end of an action), `config`."""
    reason: str
    first: float
    last: float
    count: int
    body: Mapping[str, Any]
    samples: list[Sample] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        """As the API shows it: the first turn's record, how many turns it stands for, until when.

        `inputs` are left out: they are for replaying.
        """
        body = {name: value for name, value in self.body.items() if name != "inputs"}
        return {**body, "id": self.id, "last": self.last, "count": self.count}

    def at(self, moment: float) -> dict[str, Any]:
        """The record of the newest turn of the run that was not after `moment`."""
        found = [one for one in self.samples if one.time <= moment]
        return at_sample(self.body, found[-1]) if found else dict(self.body)


@dataclass(frozen=True, slots=True)
class Page:
    """Which entries to read: the newest `limit` of those that fit."""

    limit: int = 50
    since: float = 0.0
    until: float = FAR
    reasons: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    before: int | None = None
    """Only entries older than the one with this id."""

    def fits(self, entry: Entry) -> bool:
        """True for an entry to be read."""
        return (
            entry.last >= self.since
            and entry.first <= self.until
            and (not self.reasons or entry.reason in self.reasons)
            and (not self.kinds or entry.kind in self.kinds)
            and (self.before is None or entry.id < self.before)
        )


class StoreState(NamedTuple):
    """For the metrics."""

    failures: int
    """Writes that failed."""
    lost: int
    """Entries that were given up because the file could not be written for too long."""
    size_bytes: int
    is_failing: bool


class History(Protocol):
    """What was decided in the last days. Never raises: what cannot be read is not there."""

    def entries(self, page: Page) -> list[Entry]:
        """The newest entries that fit, oldest first, without samples."""
        ...

    def around(self, moment: float) -> tuple[Entry | None, Entry | None]:
        """The run in force at `moment`, with its samples, and the one after it."""
        ...

    def stream(self, since: float, until: float) -> Iterator[Entry]:
        """All entries with a turn in the range, oldest first, with their samples."""
        ...
