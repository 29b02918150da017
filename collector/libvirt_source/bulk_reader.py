"""The statistics of all domains of one reading: in full, or what there is of them, in time."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field

from collector.libvirt_source import bulk, hung
from collector.libvirt_source.bell import Bell
from collector.libvirt_source.bulk import Answer, LoneDisk
from collector.libvirt_source.connection import Connection
from collector.libvirt_source.patience import usual
from collector.libvirt_source.plan import MOST_STUCK, Present, plan
from collector.libvirt_source.pursuit import Catch, Pursuit
from collector.libvirt_source.survey import Survey
from collector.records import Control, Group
from servicekit.clock import Clock

Probe = Callable[[Sequence[str]], "Future[Mapping[str, Control]]"]


@dataclass(slots=True)
class Outcome:
    """What the bulk queries of one reading told, beyond the survey."""

    answers: dict[str, Answer] = field(default_factory=dict)
    gone: frozenset[str] = frozenset()
    """Domains that the survey saw and that exist no more."""
    controls: Mapping[str, Control] = field(default_factory=dict)
    """Of domains whose record is incomplete."""
    hung: frozenset[str] = frozenset()
    is_ok: bool = True
    """False when domains that do not hang were not answered for."""
    fault: BaseException | None = None
    """Set when nothing at all was answered, and libvirt said why."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a reading has to keep to."""

    groups: frozenset[Group]
    deadline: float
    ask_until: float
    """The end of the bulk queries: a little time is left to look into what they did not tell."""
    patience_seconds: float


class BulkReader:
    """Remembers which domains hang. For one caller at a time."""

    def __init__(
        self, connections: Sequence[Connection], bell: Bell, clock: Clock, most_shares: int
    ) -> None:
        """`bell` is what each end of a call over one of the connections rings."""
        self._connections = connections
        self._bell = bell
        self._clock = clock
        self._most_shares = most_shares
        self._hung: dict[str, int] = {}
        self.usual_seconds = 0.0
        """How long the first round of questions takes while nobody hangs."""

    @property
    def hung(self) -> frozenset[str]:
        """UUIDs of the domains that hung at the last reading."""
        return frozenset(self._hung)

    def read(
        self,
        seen: Survey,
        probe: Probe,
        terms: Terms,
        *,
        disks: Mapping[str, Sequence[str]],
        mute: frozenset[str],
    ) -> Outcome:
        """Asks about every domain of the survey, except those that still hang.

        `disks` are the targets of each domain's disks, where they are known; by UUID. `mute` are
        those that are not asked for memory.
        """
        numbers = {one.uuid: one.number for one in seen.domains}
        threshold, before = terms.patience_seconds / 2, self._hung
        self._hung = hung.still_hung(before, numbers, seen.controls, threshold)
        if not bulk.needs_monitor(terms.groups):
            return Outcome(controls=seen.controls, hung=self.hung)
        if len(self._hung) < len(before):
            self._let_calls_return(terms)
        idle = sum(one.in_flight is None for one in self._connections)
        dealt = plan(
            [Present(one.uuid, one.is_active) for one in seen.domains],
            self._hung.keys(),
            idle=idle,
            stuck=len(self._connections) - idle,
            most_shares=self._most_shares,
        )
        began = self._clock.monotonic()
        surveyed = {one.uuid: one.answer for one in seen.domains}
        lone_disks = bulk.lone_disks(terms.groups, surveyed, disks, self._hung)
        catch = self._pursue([*dealt.shares, dealt.taken], probe, terms, lone_disks, mute)
        if not catch.hung and not catch.unanswered:
            self.usual_seconds = usual(self.usual_seconds, self._clock.monotonic() - began)
        catch.unanswered.update(dealt.unasked)
        controls = self._look_into_the_incomplete(catch, numbers, probe, terms, mute)
        self._hung = {
            uuid: numbers[uuid]
            for uuid, control in controls.items()
            if hung.is_hung(control, threshold)
        }
        return Outcome(
            answers=catch.answers,
            gone=frozenset(catch.gone - catch.answers.keys()),
            controls=controls,
            hung=self.hung,
            is_ok=not catch.unanswered - self._hung.keys(),
            fault=None if catch.answers else catch.fault,
        )

    def _let_calls_return(self, terms: Terms) -> None:
        """Somebody answers again, so calls that waited for that are about to return."""
        stuck = [one.in_flight for one in self._connections if one.in_flight is not None]
        left = terms.deadline - self._clock.monotonic()
        if len(stuck) >= MOST_STUCK:
            wait(stuck, max(0.0, min(terms.patience_seconds, left)))

    def _look_into_the_incomplete(
        self,
        catch: Catch,
        numbers: Mapping[str, int],
        probe: Probe,
        terms: Terms,
        mute: frozenset[str],
    ) -> Mapping[str, Control]:
        """Asks once more for domains that somebody held only for the moment of our question."""
        incomplete = self._incomplete(catch, numbers, terms.groups, mute)
        controls = self._controls(incomplete, probe, terms)
        again = [
            uuid
            for uuid in incomplete
            if uuid in controls and not hung.is_hung(controls[uuid], terms.patience_seconds / 2)
        ]
        if not again:
            return controls
        second = self._pursue([again], probe, terms, {}, mute)
        catch.answers.update(second.answers)
        catch.gone |= second.gone
        catch.unanswered -= second.answers.keys() | second.gone
        incomplete = self._incomplete(catch, numbers, terms.groups, mute)
        return self._controls(incomplete, probe, terms)

    def _pursue(
        self,
        shares: Sequence[Sequence[str]],
        probe: Probe,
        terms: Terms,
        lone_disks: Mapping[str, LoneDisk],
        mute: frozenset[str],
    ) -> Catch:
        pursuit = Pursuit(
            self._connections,
            self._bell,
            probe,
            self._clock,
            flags=bulk.flags(terms.groups),
            lone_disks=lone_disks,
            mute=mute,
            deadline=terms.ask_until,
            patience_seconds=terms.patience_seconds,
        )
        return pursuit.run(share for share in shares if share)

    def _incomplete(
        self,
        catch: Catch,
        numbers: Mapping[str, int],
        groups: frozenset[Group],
        mute: frozenset[str],
    ) -> list[str]:
        found = []
        for uuid, number in numbers.items():
            answer = catch.answers.get(uuid)
            if answer is None:
                is_whole = number < 0 or uuid in catch.gone
            else:
                asked = groups - {Group.BALLOON} if uuid in mute else groups
                is_whole = answer.number < 0 or bulk.is_complete(answer.statistics, asked)
            if not is_whole:
                found.append(uuid)
        return found

    def _controls(self, uuids: Sequence[str], probe: Probe, terms: Terms) -> Mapping[str, Control]:
        if not uuids:
            return {}
        future = probe(uuids)
        wait([future], max(0.0, terms.deadline - self._clock.monotonic()))
        if not future.done() or future.exception() is not None:
            return {}
        return future.result()
