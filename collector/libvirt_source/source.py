"""Reads a host through libvirt, read-only. Here the parts of a reading come together."""

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import libvirt

from collector.libvirt_source import assembly, bulk, event_loop, faults
from collector.libvirt_source.bell import Bell
from collector.libvirt_source.bulk_reader import BulkReader, Outcome, Terms
from collector.libvirt_source.change_events import ChangeEvents
from collector.libvirt_source.connection import Connection, Opener
from collector.libvirt_source.descriptions import Descriptions
from collector.libvirt_source.errands import Errands
from collector.libvirt_source.host_versions import HostVersions
from collector.libvirt_source.lane import Lane
from collector.libvirt_source.mute_guests import MuteGuests
from collector.libvirt_source.one_by_one import OneByOne
from collector.libvirt_source.patience import patience
from collector.libvirt_source.plan import MOST_SHARES
from collector.libvirt_source.pools import Pools
from collector.libvirt_source.processes import Processes
from collector.libvirt_source.roll_call import RollCall
from collector.libvirt_source.side_questions import SideQuestions
from collector.libvirt_source.single_domains import SingleDomains
from collector.libvirt_source.survey import Survey, control_of
from collector.libvirt_source.surveys import Surveys, message_of
from collector.libvirt_source.sweep import Sweeps
from collector.libvirt_source.uri import is_of_this_host
from collector.ports import SourceError
from collector.records import (
    Control,
    Group,
    HostReading,
    Part,
    Statistics,
    StoragePoolRecord,
    Versions,
)
from servicekit.clock import Clock

_SURVEY_CONNECTIONS = 2
_FEWEST_CONNECTIONS = 2
"""One may be stuck: then the question goes out again over another."""
_SHARE_FOR_LOOKING_INTO = 0.1


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
        opener: Opener = libvirt.openReadOnly,
        processes: Processes | None = None,
    ) -> None:
        """`processes` are those of this host, where the QEMUs of a `url` of this host can be."""
        event_loop.start()
        self._url = url
        self._clock = clock
        self._hedge_after_seconds = hedge_after_seconds
        self._turn = threading.Lock()
        self._is_chosen = assembly.is_chosen_by(
            include and include.fullmatch, exclude and exclude.fullmatch
        )
        self._descriptions = Descriptions()
        events = ChangeEvents(self._descriptions)
        self._surveyors = [
            # One connection hears of changes; several would only repeat it.
            Connection(
                "libvirt-survey-0", url, opener=opener, opened=events.listen, lost=events.lost
            ),
            *_connections("survey", range(1, _SURVEY_CONNECTIONS), url, opener),
        ]
        most = shards or MOST_SHARES
        count = max(_FEWEST_CONNECTIONS, most)
        bell = Bell()
        self._askers = _connections("bulk", range(count), url, opener, bell.ring)
        sweeps = Sweeps(clock)
        roll_call = RollCall(self._askers, sweeps, clock)
        self._surveys = Surveys(self._surveyors, url, clock, self._is_chosen, roll_call)
        self._bulk = BulkReader(self._askers, bell, clock, most)
        self._one_by_one = OneByOne(url, self._askers, sweeps, clock)
        self._singles = SingleDomains(self._askers, clock)
        self._pools = Pools(url, clock, opener)
        self._versions = HostVersions(url, clock, opener)
        self._mute: MuteGuests | None = None
        self._searcher: Lane | None = None
        if is_of_this_host(url):
            self._searcher = Lane("process-search")
            self._mute = MuteGuests(processes or Processes(), self._searcher.submit)

    @property
    def reconnects(self) -> int:
        """See `Source.reconnects`."""
        own = sum(one.reconnects for one in (*self._surveyors, *self._askers))
        return own + self._pools.reconnects + self._versions.reconnects

    def read(self, groups: frozenset[Group], timeout_seconds: float) -> HostReading:
        """See `Source.read`."""
        began = self._clock.monotonic()
        if not self._turn.acquire(timeout=timeout_seconds):
            raise SourceError(faults.silence(self._url, timeout_seconds))
        try:
            seconds = patience(self._hedge_after_seconds, timeout_seconds, self._bulk.usual_seconds)
            deadline = began + timeout_seconds
            ask_until = deadline - timeout_seconds * _SHARE_FOR_LOOKING_INTO
            return self._read(Terms(groups, deadline, ask_until, seconds))
        finally:
            self._turn.release()

    def close(self) -> None:
        """See `Source.close`."""
        for connection in (*self._surveyors, *self._askers):
            connection.close()
        if self._searcher is not None:
            self._searcher.end()
        self._pools.close()
        self._versions.close()

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
        pools = self._pools.start() if Group.POOL in terms.groups else None
        if seen.has_bulk or Group.VERSIONS in terms.groups:
            self._versions.start(era=sum(one.reconnects for one in self._surveyors))
        mute = self._mute.among(seen.domains, terms.groups, began) if self._mute else frozenset()
        aside = SideQuestions(errands, seen, self._descriptions, self._clock, terms, mute=mute)
        found = self._statistics(seen, surveyor, terms, aside, mute)
        basics = aside.basics(found)
        parts = {"stats": Part(self._clock.monotonic() - began, found.is_ok)}
        findings = assembly.Findings(
            answers=found.answers,
            gone=found.gone,
            hung=found.hung,
            controls=found.controls,
            basics=basics,
            memory=self._memory(found, mute),
            **self._of_single_domains(seen, found, terms, parts),
            descriptions=aside.descriptions(parts),
            host_cpus=aside.host_cpus(parts),
        )
        storage: tuple[StoragePoolRecord, ...] | None = None
        if pools is not None:
            storage, part = self._pools.finish(
                pools, deadline=terms.deadline, patience_seconds=terms.patience_seconds
            )
            if part is not None:
                parts[Group.POOL] = part
        versions: Versions | None = None
        if Group.VERSIONS in terms.groups:
            versions, parts[Group.VERSIONS] = self._versions.finish(
                deadline=terms.deadline, patience_seconds=terms.patience_seconds
            )
        surveyed = ((one.uuid, one.answer) for one in (*seen.domains, *seen.silent))
        return HostReading(
            domains=assembly.records(surveyed, findings, self._is_chosen),
            parts=parts,
            versions=versions,
            node=aside.node(parts),
            storage_pools=storage,
        )

    def _statistics(
        self,
        seen: Survey,
        surveyor: Connection,
        terms: Terms,
        aside: SideQuestions,
        mute: frozenset[str],
    ) -> Outcome:
        if not seen.has_bulk:
            return self._one_by_one.read(seen, surveyor, terms)
        if self._versions.is_looking(
            deadline=terms.deadline, patience_seconds=terms.patience_seconds
        ):
            is_whole = not seen.domains or not bulk.needs_monitor(terms.groups)
            return Outcome(controls=seen.controls, hung=self._bulk.hung, is_ok=is_whole)
        handles = {one.uuid: one.handle for one in seen.domains}

        def probe(uuids: Sequence[str]) -> Future[Mapping[str, Control]]:
            return surveyor.ask(lambda _: _controls(handles, uuids))

        found = self._bulk.read(seen, probe, terms, disks=aside.disks(), mute=mute)
        if found.fault is not None:
            if not isinstance(found.fault, libvirt.libvirtError):
                raise found.fault
            raise SourceError(faults.failure(self._url, message_of(found.fault)))
        return found

    def _memory(self, found: Outcome, mute: frozenset[str]) -> Mapping[str, Statistics]:
        """Of mute guests; and learns who is one."""
        if self._mute is None:
            return {}
        self._mute.learn(found.answers, self._clock.monotonic())
        return self._mute.memory(mute, found.answers)

    def _of_single_domains(
        self, seen: Survey, found: Outcome, terms: Terms, parts: dict[str, Part]
    ) -> dict[str, Any]:
        """What is asked of domains that have answered just now, as fields of the findings."""
        fields: dict[str, Any] = {}
        if not seen.has_bulk:
            return fields
        silent = found.controls.keys() | found.gone | found.hung
        ready = [one.uuid for one in seen.domains if one.is_active and one.uuid not in silent]
        if Group.JOB in terms.groups:
            fields["jobs"], parts[Group.JOB] = self._singles.jobs(ready, terms)
        if Group.BLKIOTUNE in terms.groups:
            known = {uuid: answer.statistics for uuid, answer in found.answers.items()}
            fields["io_limits"], parts[Group.BLKIOTUNE] = self._singles.io_limits(
                ready, known, terms
            )
        return fields


def _connections(
    kind: str,
    numbers: range,
    url: str,
    opener: Opener,
    ended: Callable[[object], None] | None = None,
) -> list[Connection]:
    return [
        Connection(f"libvirt-{kind}-{number}", url, opener=opener, ended=ended)
        for number in numbers
    ]


def _controls(handles: Mapping[str, Any], uuids: Sequence[str]) -> Mapping[str, Control]:
    return {uuid: found for uuid in uuids if (found := control_of(handles[uuid])) is not None}
