"""Questions about single domains that may wait for a QEMU, spread over the bulk connections.

Only domains that have answered the bulk query just now are asked, so it is unlikely that one hangs.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from typing import Any, Generic, TypeVar

import libvirt

from collector.libvirt_source import domain_parts
from collector.libvirt_source.bulk_reader import Terms
from collector.libvirt_source.connection import Connection, Session
from collector.libvirt_source.job_watch import JobWatch
from collector.libvirt_source.plan import WORTH_A_SHARE
from collector.records import Part, Statistics
from servicekit.clock import Clock

Value = TypeVar("Value")
_Ask = Callable[[str, Any], Value | None]
_SECONDS_BETWEEN_JOB_QUESTIONS = 5.0


class SingleDomains:
    """Jobs and I/O limits. For one caller at a time."""

    def __init__(self, connections: Sequence[Connection], clock: Clock) -> None:
        self._connections = connections
        self._clock = clock
        self._watch = JobWatch(_SECONDS_BETWEEN_JOB_QUESTIONS)

    def jobs(
        self, uuids: Sequence[str], terms: Terms
    ) -> tuple[dict[str, Mapping[str, object]], Part]:
        """The jobs under way, by UUID."""
        began = self._clock.monotonic()
        found: dict[str, Mapping[str, object]] = {}
        self._watch.keep_only(frozenset(uuids))
        is_ok = self._ask_each(self._watch.due(uuids, began), domain_parts.job, found, terms)
        told = dict(found)
        for uuid, job in told.items():
            self._watch.note(uuid, has_job=bool(job), now=began)
        return {uuid: job for uuid, job in told.items() if job}, self._part(began, is_ok)

    def io_limits(
        self, uuids: Sequence[str], known: Mapping[str, Statistics], terms: Terms
    ) -> tuple[dict[str, dict[str, dict[str, int]]], Part]:
        """The limits of every disk, by UUID and target."""
        began = self._clock.monotonic()
        found: dict[str, dict[str, dict[str, int]]] = {}
        is_ok = self._ask_each(uuids, domain_parts.IoLimits(known), found, terms)
        return dict(found), self._part(began, is_ok)

    def _part(self, began: float, is_ok: bool) -> Part:
        return Part(self._clock.monotonic() - began, is_ok)

    def _ask_each(
        self, uuids: Sequence[str], ask: _Ask[Value], found: dict[str, Value], terms: Terms
    ) -> bool:
        """False when some domains were not answered for in time."""
        if not uuids:
            return True
        # As many as the bulk queries of so many domains have opened, too: by SSH each costs much.
        most = max(1, len(uuids) // WORTH_A_SHARE)
        idle = [one for one in self._connections if one.in_flight is None][:most]
        asked = [
            connection.ask(
                _Each(uuids[number :: len(idle)], ask, self._clock, terms.deadline, found)
            )
            for number, connection in enumerate(idle)
        ]
        _, late = wait(asked, max(0.0, terms.deadline - self._clock.monotonic()))
        return bool(asked) and not late and all(_is_ok(one) for one in asked)


class _Each(Generic[Value]):
    """Asks domain after domain and keeps each answer at once, so that none is lost with a call."""

    def __init__(
        self,
        uuids: Sequence[str],
        ask: _Ask[Value],
        clock: Clock,
        deadline: float,
        found: dict[str, Value],
    ) -> None:
        self._uuids = uuids
        self._ask = ask
        self._clock = clock
        self._deadline = deadline
        self._found = found

    def __call__(self, session: Session) -> bool:
        """Runs on the thread of the session's connection; False when time ran out."""
        if any(uuid not in session.domains for uuid in self._uuids):
            session.list_domains()
        for uuid in self._uuids:
            if self._clock.monotonic() >= self._deadline:
                return False
            domain = session.domains.get(uuid)
            answer = None if domain is None else self._ask(uuid, domain)
            if answer is not None:
                self._found[uuid] = answer
        return True


def _is_ok(future: "Future[bool]") -> bool:
    try:
        return future.result()
    except libvirt.libvirtError:
        return False
