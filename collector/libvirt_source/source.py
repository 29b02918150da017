"""Reads a host through libvirt, read-only. Here the parts of a reading come together."""

import re
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any, TypeVar

from collector.libvirt_source import assembly, domain_parts, event_loop, faults, host_parts
from collector.libvirt_source.bulk import Answer
from collector.libvirt_source.bulk_reader import BulkReader, Outcome, Terms
from collector.libvirt_source.change_events import ChangeEvents
from collector.libvirt_source.connection import Connection
from collector.libvirt_source.descriptions import Descriptions
from collector.libvirt_source.errands import Errand, Errands
from collector.libvirt_source.job_watch import JobWatch
from collector.libvirt_source.one_by_one import OneByOne
from collector.libvirt_source.plan import MOST_SHARES
from collector.libvirt_source.pools import Pools
from collector.libvirt_source.survey import Survey, control_of
from collector.libvirt_source.surveys import Surveys, message_of
from collector.ports import SourceError
from collector.records import Control, Group, HostReading, Part
from servicekit.clock import Clock

Value = TypeVar("Value")
_SURVEY_CONNECTIONS = 2
_FEWEST_CONNECTIONS = 2
"""One may be stuck: then the question goes out again over another."""
_SHARE_OF_TIME = 0.2
"""Nobody is waited for longer than this share of a reading before somebody looks into it."""
_SECONDS_BETWEEN_JOB_QUESTIONS = 5.0


class LibvirtSource:
    """The domains of one libvirt host. `read` may be called from several threads."""

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
        event_loop.start()
        self._url = url
        self._clock = clock
        self._patience_seconds = hedge_after_seconds
        self._turn = threading.Lock()
        self._descriptions = Descriptions()
        events = ChangeEvents(self._descriptions)
        # One connection hears of changes; several would only repeat it.
        surveyors = [
            Connection("libvirt-survey-0", url, opened=events.listen, lost=events.lost),
            *(
                Connection(f"libvirt-survey-{number}", url)
                for number in range(1, _SURVEY_CONNECTIONS)
            ),
        ]
        most = shards or MOST_SHARES
        self._connections = [
            Connection(f"libvirt-bulk-{number}", url)
            for number in range(max(_FEWEST_CONNECTIONS, most))
        ]
        self._is_chosen = assembly.is_chosen_by(
            include and include.fullmatch, exclude and exclude.fullmatch
        )
        self._surveyors = surveyors
        self._surveys = Surveys(surveyors, url, clock, self._is_chosen)
        self._bulk = BulkReader(self._connections, clock, most)
        self._one_by_one = OneByOne(url, clock)
        self._pools = Pools(url, clock)
        self._jobs = JobWatch(_SECONDS_BETWEEN_JOB_QUESTIONS)

    @property
    def reconnects(self) -> int:
        """See `Source.reconnects`."""
        lanes = (*self._surveyors, *self._connections)
        return self._pools.reconnects + sum(one.reconnects for one in lanes)

    def read(self, groups: frozenset[Group], timeout_seconds: float) -> HostReading:
        """See `Source.read`."""
        began = self._clock.monotonic()
        if not self._turn.acquire(timeout=timeout_seconds):
            raise SourceError(faults.silence(self._url, timeout_seconds))
        try:
            patience = min(self._patience_seconds, timeout_seconds * _SHARE_OF_TIME)
            return self._read(Terms(groups, began + timeout_seconds, patience))
        finally:
            self._turn.release()

    def close(self) -> None:
        """See `Source.close`."""
        for connection in (*self._surveyors, *self._connections):
            connection.close()
        self._pools.close()

    def _read(self, terms: Terms) -> HostReading:
        began = self._clock.monotonic()
        seen, surveyor = self._surveys.look(
            terms.groups,
            self._bulk.hung,
            deadline=terms.deadline,
            patience_seconds=terms.patience_seconds,
        )
        errands = Errands(surveyor, self._clock)
        try:
            return self._read_parts(seen, surveyor, errands, terms, began)
        finally:
            errands.end()

    def _read_parts(
        self, seen: Survey, surveyor: Connection, errands: Errands, terms: Terms, began: float
    ) -> HostReading:
        groups, clock, deadline = terms.groups, self._clock, terms.deadline
        pools = self._pools.start() if Group.POOL in groups else None
        self._descriptions.keep_only({one.uuid for one in seen.domains})
        basics = described = node = versions = None
        if seen.has_bulk and domain_parts.needs_basics(groups):
            basics = errands.ask(
                lambda _: domain_parts.basics(seen.domains, groups, clock, deadline)
            )
        if Group.INFO in groups:
            described = errands.ask(
                lambda _: domain_parts.described(seen.domains, self._descriptions, clock, deadline)
            )
        if Group.NODE in groups:
            node = errands.ask(host_parts.node)
        if Group.VERSIONS in groups:
            versions = errands.ask(host_parts.versions)
        found = self._statistics(seen, surveyor, terms)
        told_basics = {} if basics is None else errands.fetch(basics, deadline)[0] or {}
        parts = {"stats": Part(clock.monotonic() - began, found.is_ok)}
        reading = _Gathered(parts, errands, deadline)
        jobs, limits = self._single(seen, found, terms, parts)
        descriptions = reading.take(Group.INFO, described) or {}
        if described is not None and not all(descriptions.get(one.uuid) for one in seen.domains):
            parts[Group.INFO] = Part(parts[Group.INFO].seconds, False)
        told_node, told_versions = (
            reading.take(Group.NODE, node),
            reading.take(Group.VERSIONS, versions),
        )
        storage = None
        if pools is not None:
            storage, part = self._pools.finish(
                pools, deadline=deadline, patience_seconds=terms.patience_seconds
            )
            if part is not None:
                parts[Group.POOL] = part
        surveyed = (
            (one.uuid, Answer(one.name, one.number, one.statistics)) for one in seen.domains
        )
        findings = assembly.Findings(
            answers=found.answers,
            gone=found.gone,
            hung=found.hung,
            controls=found.controls,
            basics=told_basics,
            descriptions=descriptions,
            jobs=jobs,
            io_limits=limits,
        )
        return HostReading(
            domains=assembly.records(surveyed, findings, self._is_chosen),
            parts=parts,
            versions=told_versions,
            node=told_node,
            storage_pools=storage,
        )

    def _statistics(self, seen: Survey, surveyor: Connection, terms: Terms) -> Outcome:
        if not seen.has_bulk:
            return self._one_by_one.read(seen, surveyor, terms)
        handles = {one.uuid: one.handle for one in seen.domains}

        def probe(uuids: Sequence[str]) -> Future[Mapping[str, Control]]:
            return surveyor.ask(lambda _: _controls(handles, uuids))

        found = self._bulk.read(seen, probe, terms)
        if found.fault is not None and not found.answers:
            raise SourceError(faults.failure(self._url, message_of(found.fault)))
        return found

    def _single(
        self, seen: Survey, found: Outcome, terms: Terms, parts: dict[str, Part]
    ) -> tuple[dict[str, Mapping[str, object]], dict[str, dict[str, dict[str, int]]]]:
        """Jobs and I/O limits: asked of domains that have answered just now, so not stuck."""
        jobs: dict[str, Mapping[str, object]] = {}
        limits: dict[str, dict[str, dict[str, int]]] = {}
        if not seen.has_bulk:
            return jobs, limits
        ready = [
            one.uuid
            for one in seen.domains
            if one.is_active and one.uuid not in found.controls and one.uuid not in found.gone
        ]
        began = self._clock.monotonic()
        if Group.JOB in terms.groups:
            self._jobs.keep_only(frozenset(one.uuid for one in seen.domains))
            due = self._jobs.due(ready, began)
            is_ok = self._ask_each(due, domain_parts.job, jobs, terms)
            for uuid, told in list(jobs.items()):
                self._jobs.note(uuid, has_job=bool(told), now=began)
            parts[Group.JOB] = Part(self._clock.monotonic() - began, is_ok)
        if Group.BLKIOTUNE in terms.groups:
            began = self._clock.monotonic()
            ask = domain_parts.IoLimits(
                {uuid: answer.statistics for uuid, answer in found.answers.items()}
            )
            is_ok = self._ask_each(ready, ask, limits, terms)
            parts[Group.BLKIOTUNE] = Part(self._clock.monotonic() - began, is_ok)
        return jobs, limits

    def _ask_each(
        self,
        uuids: Sequence[str],
        ask: domain_parts.Ask[Value],
        found: dict[str, Value],
        terms: Terms,
    ) -> bool:
        """Spreads the domains over the idle connections; False when some were not answered for."""
        if not uuids:
            return True
        idle = [one for one in self._connections if one.in_flight is None]
        each = [
            domain_parts.Each(uuids[number :: len(idle)], ask, self._clock, terms.deadline, found)
            for number in range(len(idle))
        ]
        asked = [connection.ask(one) for connection, one in zip(idle, each, strict=True)]
        _, late = wait(asked, max(0.0, terms.deadline - self._clock.monotonic()))
        return bool(asked) and not late and all(_is_ok(one) for one in asked)


@dataclass(frozen=True, slots=True)
class _Gathered:
    """Takes the answers of errands and notes how each part went."""

    parts: dict[str, Part]
    errands: Errands
    deadline: float

    def take(self, group: Group, errand: Errand[Value] | None) -> Value | None:
        if errand is None:
            return None
        answer = self.errands.fetch(errand, self.deadline)
        self.parts[group] = answer[1]
        return answer[0]


def _controls(handles: Mapping[str, Any], uuids: Sequence[str]) -> Mapping[str, Control]:
    return {uuid: found for uuid in uuids if (found := control_of(handles[uuid])) is not None}


def _is_ok(future: Future[bool]) -> bool:
    return future.exception() is None and future.result()
