"""What virDomainGetInfo tells, asked while the survey is under way.

During the survey nobody else is asked, for the sake of a frozen daemon, which then holds two calls
of ours: one for each connection for surveys. The second of them is idle as long as the first gets
its answer. So it asks about the domains of the survey before.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any

from collector.libvirt_source import domain_parts
from collector.libvirt_source.connection import Connection, Session
from collector.libvirt_source.survey import Survey
from collector.records import Group, Statistics
from servicekit.clock import Clock


@dataclass(frozen=True, slots=True)
class Basic:
    """What libvirt told of one domain."""

    state: object
    statistics: Statistics


class EarlyBasics:
    """One call per reading. For one caller at a time."""

    def __init__(self, connections: Sequence[Connection], clock: Clock) -> None:
        """`connections` are those for surveys; the last is used when all are idle."""
        self._connections = connections
        self._clock = clock
        self._uuids: tuple[str, ...] = ()
        self._future: Future[Mapping[str, Basic]] | None = None
        self._deadline = 0.0

    def start(self, groups: frozenset[Group], *, patience_seconds: float) -> None:
        """Asks, where the groups need it and somebody is known."""
        self._future = None
        is_free = all(one.in_flight is None for one in self._connections)
        if not self._uuids or not domain_parts.needs_basics(groups) or not is_free:
            return
        self._deadline = self._clock.monotonic() + patience_seconds
        question = _Question(self._uuids, groups, self._clock, self._deadline)
        self._future = self._connections[-1].ask(question)

    @property
    def is_asked(self) -> bool:
        """True when there is something to wait for."""
        return self._future is not None

    def note(self, seen: Survey) -> None:
        """The survey has come; what was asked for too long before it counts no more."""
        self._uuids = tuple(one.uuid for one in seen.domains) if seen.has_bulk else ()
        if self._clock.monotonic() >= self._deadline:
            self._future = None

    def found(self, seen: Survey) -> dict[str, Statistics]:
        """What has been told in time, by UUID, of domains whose state is still that of the survey.

        Who has been started in between would have the counters of before.
        """
        future = self._future
        if future is None:
            return {}
        if not future.done():
            wait([future], max(0.0, self._deadline - self._clock.monotonic()))
        if not future.done() or future.exception() is not None:
            return {}
        told = future.result()
        return {
            one.uuid: basic.statistics
            for one in seen.domains
            if (basic := told.get(one.uuid)) is not None
            and basic.state == one.statistics.get("state.state")
        }


class _Question:
    """Asks about domain after domain over whichever connection it is asked."""

    def __init__(
        self, uuids: Sequence[str], groups: frozenset[Group], clock: Clock, deadline: float
    ) -> None:
        self._uuids = uuids
        self._groups = groups
        self._clock = clock
        self._deadline = deadline

    def __call__(self, session: Session) -> Mapping[str, Basic]:
        """Runs on the thread of the session's connection."""
        if any(uuid not in session.domains for uuid in self._uuids):
            session.list_domains()
        found: dict[str, Basic] = {}
        for uuid in self._uuids:
            if self._clock.monotonic() >= self._deadline:
                break
            domain: Any = session.domains.get(uuid)
            basic = None if domain is None else domain_parts.basic(domain, self._groups)
            if basic is not None:
                found[uuid] = Basic(*basic)
        return found
