"""Guests that tell nothing of their memory, and are not asked for it each time.

The bulk group `balloon` takes two questions to a QEMU, which answers what the guest's driver has
told: nothing, unless the domain has a period for that (`<stats period=.../>`) and the guest a
driver. What else is in the group needs no QEMU. So whose guest has told nothing is asked again when
as long has passed as it has been mute, five minutes at most; meanwhile virDomainGetInfo tells what
it has been given, and the kernel how much of it is resident.
"""

import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass

from collector.libvirt_source.bulk import Answer
from collector.libvirt_source.processes import Process, Processes
from collector.libvirt_source.survey import Surveyed
from collector.records import Group, Statistics

LONGEST_SECONDS = 300.0
SHORTEST_SECONDS = 15.0
_SPREAD_RATIO = 0.25
_SEARCH_SECONDS = 30.0
_WITHOUT_GUEST = frozenset({"balloon.current", "balloon.maximum", "balloon.rss"})
_LAST_UPDATE = "balloon.last-update"
_NEAR_RATIO, _NEAR_KIB = 0.1, 16 << 10


Search = Callable[[Callable[[], dict[str, Process]]], "Future[dict[str, Process]]"]


@dataclass(frozen=True, slots=True)
class _Mute:
    number: int
    process: Process
    since: float
    ask_at: float


class MuteGuests:
    """Who need not be asked now. For one caller at a time."""

    def __init__(self, processes: Processes, search: Search) -> None:
        """`search` runs what may take long beside the reading."""
        self._processes = processes
        self._search = search
        self._searched: Future[dict[str, Process]] | None = None
        self._search_at = 0.0
        self._found: dict[str, Process] = {}
        self._known: dict[str, _Mute] = {}

    def among(
        self, domains: Iterable[Surveyed], groups: frozenset[Group], now: float
    ) -> frozenset[str]:
        """UUIDs of those that need not be asked in a reading of these groups."""
        numbers = {one.uuid: one.number for one in domains}
        self._known = {
            uuid: one for uuid, one in self._known.items() if numbers.get(uuid) == one.number
        }
        self._found = {uuid: one for uuid, one in self._found.items() if uuid in numbers}
        if not groups >= {Group.BALLOON, Group.BLOCK}:
            # That a QEMU did not answer shows in what is missing of its disks, too.
            return frozenset()
        return frozenset(uuid for uuid, one in self._known.items() if now < one.ask_at)

    def learn(self, answers: Mapping[str, Answer], now: float) -> None:
        """From answers of QEMUs that were asked for everything."""
        candidates: dict[str, tuple[Answer, int]] = {}
        for uuid, answer in answers.items():
            resident = answer.statistics.get("balloon.rss")
            if not isinstance(resident, int):
                continue
            if is_mute(answer.statistics):
                candidates[uuid] = (answer, resident)
            else:
                self._known.pop(uuid, None)
        self._look_for(candidates.keys() - self._found.keys(), now)
        for uuid, (answer, resident) in candidates.items():
            process = self._found.get(uuid)
            ours = None if process is None else self._processes.resident_kib(process)
            if process is None or ours is None:
                self._known.pop(uuid, None)
                self._found.pop(uuid, None)
                continue
            if abs(ours - resident) > max(_NEAR_KIB, _NEAR_RATIO * resident):
                # It grows, or it is another one.
                self._known.pop(uuid, None)
                continue
            before = self._known.get(uuid)
            since = now if before is None else before.since
            ask_at = now + pause_seconds(uuid, now - since)
            self._known[uuid] = _Mute(answer.number, process, since, ask_at)

    def _look_for(self, uuids: Collection[str], now: float) -> None:
        """Searches for these, and takes what has been found by now."""
        if uuids and self._searched is None and now >= self._search_at:
            wanted = frozenset(uuids)
            self._searched = self._search(lambda: self._processes.find(wanted))
            self._search_at = now + _SEARCH_SECONDS
        if self._searched is not None and self._searched.done():
            self._found |= self._searched.result()
            self._searched = None

    def memory(
        self, mute: frozenset[str], answers: Mapping[str, Answer]
    ) -> dict[str, dict[str, object]]:
        """What the bulk group would have told of these, but for what virDomainGetInfo tells."""
        found: dict[str, dict[str, object]] = {}
        for uuid in mute & answers.keys():
            one = self._known[uuid]
            if answers[uuid].number != one.number:
                continue
            resident = self._processes.resident_kib(one.process)
            if resident is not None:
                found[uuid] = {_LAST_UPDATE: 0, "balloon.rss": resident}
        return found


def is_mute(statistics: Statistics) -> bool:
    """True when a QEMU that was asked for everything had nothing from its guest.

    And has a disk, whose counters show in each reading that it answers.
    """
    told = {key for key in statistics if key.startswith("balloon.")} - _WITHOUT_GUEST
    return (
        told == {_LAST_UPDATE} and statistics[_LAST_UPDATE] == 0 and "block.0.rd.reqs" in statistics
    )


def pause_seconds(uuid: str, mute_seconds: float) -> float:
    """Until a guest that has been mute for so long is asked again.

    What it may come to tell is late by no more than the time in which it told nothing. Less by
    another share for each domain, so that they are not asked all at once.
    """
    longest = min(LONGEST_SECONDS, max(SHORTEST_SECONDS, mute_seconds))
    share = zlib.crc32(uuid.encode()) / (1 << 32)
    return longest * (1 - _SPREAD_RATIO * share)
