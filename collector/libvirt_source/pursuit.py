"""Gets the bulk statistics of many domains in time, although any of them may never answer.

What libvirt 9.0 was measured to do: even with NOWAIT the first query to meet a frozen QEMU waits
for it without limit, and with it the answers for all other domains of that query. But from then on
the domain is taken, and a query over another connection skips it and returns at once.

So a query that is late is looked into: whose question has been open for too long? Those domains
are set aside, the others of its share are asked again over another connection, and the stuck query
is left alone. With `MOST_STUCK` of them no further one is risked.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import libvirt

from collector.libvirt_source import bulk, hung
from collector.libvirt_source.bell import Bell
from collector.libvirt_source.bulk import Answer, LoneDisk
from collector.libvirt_source.connection import Connection, Session
from collector.libvirt_source.plan import MOST_STUCK
from collector.records import Control
from servicekit.clock import Clock

_PATIENCE_GROWTH = 2.0


@dataclass(slots=True)
class Catch:
    """What a pursuit brought in."""

    answers: dict[str, Answer] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    """Domains that exist no more."""
    hung: set[str] = field(default_factory=set)
    """Domains whose question was open for too long."""
    unanswered: set[str] = field(default_factory=set)
    """Domains that were not set aside and yet not answered for."""
    fault: BaseException | None = None


@dataclass(slots=True)
class _Call:
    uuids: Sequence[str]
    late_at: float
    patience_seconds: float


Probe = Callable[[Sequence[str]], "Future[Mapping[str, Control]]"]
"""Asks, over another connection, whether somebody waits for these domains."""


class Pursuit:
    """One round of bulk queries."""

    def __init__(
        self,
        connections: Sequence[Connection],
        bell: Bell,
        probe: Probe,
        clock: Clock,
        *,
        flags: int,
        lone_disks: Mapping[str, LoneDisk],
        mute: Collection[str],
        deadline: float,
        patience_seconds: float,
    ) -> None:
        """`bell` is what each end of a call over one of the connections rings."""
        self._connections = connections
        self._bell = bell
        self._probe = probe
        self._clock = clock
        self._flags = flags
        self._lone_disks = lone_disks
        self._mute = mute
        self._deadline = deadline
        self._patience_seconds = patience_seconds
        self._waiting: deque[Sequence[str]] = deque()
        self._calls: dict[Future[dict[str, Answer]], _Call] = {}
        self._left: dict[Future[dict[str, Answer]], _Call] = {}
        self._probes: dict[Future[Mapping[str, Control]], Future[dict[str, Answer]]] = {}
        self._catch = Catch()
        self._stuck_before = sum(one.in_flight is not None for one in connections)

    def run(self, shares: Iterable[Sequence[str]]) -> Catch:
        """Asks for each share of domains and returns when all is answered or time is up."""
        self._waiting.extend(shares)
        idle_since = self._clock.monotonic()
        while (self._waiting or self._calls) and self._clock.monotonic() < self._deadline:
            self._start()
            now = self._clock.monotonic()
            if self._calls:
                idle_since = now
            elif now - idle_since >= self._patience_seconds:
                break  # Every connection is stuck, and not on us.
            self._take(self._wait(now))
            self._look_into_late_calls()
        self._give_up((*self._waiting, *(call.uuids for call in self._calls.values())))
        self._catch.unanswered -= self._catch.answers.keys() | self._catch.hung
        return self._catch

    def _start(self) -> None:
        if self._stuck_before + len(self._left) >= MOST_STUCK:
            self._give_up(self._waiting)
            self._waiting.clear()
        for connection in self._connections:
            if not self._waiting:
                return
            if connection.in_flight is None:
                uuids = self._waiting.popleft()
                late_at = self._clock.monotonic() + self._patience_seconds
                lone_disks = {
                    uuid: disk
                    for uuid in uuids
                    if (disk := self._lone_disks.get(uuid)) and uuid not in self._catch.hung
                }
                future = connection.ask(_Question(uuids, self._flags, lone_disks, self._mute))
                self._calls[future] = _Call(uuids, late_at, self._patience_seconds)

    def _give_up(self, shares: Iterable[Sequence[str]]) -> None:
        for uuids in shares:
            self._catch.unanswered.update(uuids)

    def _wait(self, now: float) -> set[Future[Any]]:
        """Waits for an answer, a probe or a connection, or until somebody is late."""
        probed = set(self._probes.values())
        moments = [call.late_at for one, call in self._calls.items() if one not in probed]
        until = min([self._deadline, now + self._patience_seconds, *moments])
        # Nothing can be done about a share that is answered before the last one, unless a share
        # waits for its connection.
        each_counts = self._waiting or self._left or self._probes
        self._bell.wait(until - now, rings=1 if each_counts else len(self._calls))
        awaited: list[Future[Any]] = [*self._calls, *self._left, *self._probes]
        return {one for one in awaited if one.done()}

    def _take(self, done: set[Future[Any]]) -> None:
        for future in done & (self._calls.keys() | self._left.keys()):
            call = self._calls.pop(future, None) or self._left.pop(future)
            fault = future.exception()
            if fault is None:
                answers = future.result()
                self._catch.answers.update(answers)
                self._catch.gone.update(set(call.uuids) - answers.keys())
            else:
                self._catch.fault = fault
                self._catch.unanswered.update(call.uuids)
        for probe in done & self._probes.keys():
            suspect = self._probes.pop(probe)
            if suspect in self._calls:
                self._judge(suspect, {} if probe.exception() else probe.result())

    def _look_into_late_calls(self) -> None:
        now = self._clock.monotonic()
        probed = set(self._probes.values())
        for future, call in self._calls.items():
            if now >= call.late_at and future not in probed:
                probe = self._probe(call.uuids)
                self._probes[probe] = future
                probe.add_done_callback(self._bell.ring)

    def _judge(self, suspect: Future[dict[str, Answer]], controls: Mapping[str, Control]) -> None:
        """Sets aside whom the call waits for; without such a domain it is slow, not stuck."""
        call = self._calls[suspect]
        threshold = self._patience_seconds / 2
        culprits = {one for one, control in controls.items() if hung.is_hung(control, threshold)}
        if not culprits:
            call.patience_seconds *= _PATIENCE_GROWTH
            call.late_at = self._clock.monotonic() + call.patience_seconds
            return
        self._left[suspect] = self._calls.pop(suspect)
        self._catch.hung |= culprits
        rest = [one for one in call.uuids if one not in culprits]
        self._waiting.extend(share for share in (rest, sorted(culprits)) if share)


class _Question:
    """The bulk query of one share, over whichever connection it is asked."""

    def __init__(
        self,
        uuids: Sequence[str],
        flags: int,
        lone_disks: Mapping[str, LoneDisk],
        mute: Collection[str],
    ) -> None:
        self._uuids = uuids
        self._flags = flags
        self._lone_disks = lone_disks
        self._mute = mute

    def __call__(self, session: Session) -> dict[str, Answer]:
        """Runs on the thread of the session's connection."""
        if any(uuid not in session.domains for uuid in self._uuids):
            session.list_domains()
        try:
            return self._ask(session)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise
            # Not every driver skips a domain that has gone.
            session.list_domains()
            return self._ask(session)

    def _ask(self, session: Session) -> dict[str, Answer]:
        present = [uuid for uuid in self._uuids if uuid in session.domains]
        rest = [uuid for uuid in present if uuid not in self._lone_disks]
        alone = [uuid for uuid in present if uuid in self._lone_disks]
        told = self._without_disks(session, alone)
        answers: dict[str, Answer] = {}
        for uuid, answer in told.items():
            found = _with_traffic(session.domains[uuid], self._lone_disks[uuid].target, answer)
            if found is None:
                rest.append(uuid)
            else:
                answers[uuid] = found
        mute = [uuid for uuid in rest if uuid in self._mute]
        others = [uuid for uuid in rest if uuid not in self._mute]
        answers |= self._bulk(session, mute, bulk.without_memory(self._flags))
        return answers | self._bulk(session, others, self._flags)

    def _without_disks(self, session: Session, uuids: Sequence[str]) -> dict[str, Answer]:
        flags = bulk.without_disks(self._flags)
        if bulk.is_surveyed(flags):
            return {uuid: self._lone_disks[uuid].surveyed for uuid in uuids}
        return self._bulk(session, uuids, flags)

    def _bulk(self, session: Session, uuids: Sequence[str], flags: int) -> dict[str, Answer]:
        if not uuids:
            return {}
        asked = [session.domains[uuid] for uuid in uuids]
        return {
            domain.UUIDString(): Answer(domain.name(), domain.ID(), statistics)
            for domain, statistics in session.handle.domainListGetStats(asked, flags, bulk.NOWAIT)
        }


def _with_traffic(domain: Any, target: str, answer: Answer) -> Answer | None:
    """None when the disk, or the domain, is not what it was at the survey."""
    try:
        counters = domain.blockStats(target)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_TIMEOUT:
            return None
        counters = None
    told = bulk.with_traffic(answer.statistics, target, counters)
    return Answer(answer.name, answer.number, told)
