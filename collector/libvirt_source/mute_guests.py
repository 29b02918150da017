"""Guests that tell nothing of their memory, and are not asked for it each time.

The bulk group `balloon` takes two questions to a QEMU, which answers what the guest's driver has
told: nothing, unless the domain has a period for that (`<stats period=.../>`) and the guest a
driver. What else is in the group needs no QEMU. So whose guest has told nothing is asked again when
as long has passed as it has been mute, five minutes at most; meanwhile virDomainGetInfo tells what
it has been given, and the kernel how much of it is resident.
"""

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from collector.libvirt_source.bulk import Answer
from collector.libvirt_source.processes import Process, Processes
from collector.libvirt_source.survey import Surveyed
from collector.records import Group, Statistics

LONGEST_SECONDS = 300.0
SHORTEST_SECONDS = 15.0
_SPREAD_RATIO = 0.25
_SCAN_SECONDS = 30.0
_WITHOUT_GUEST = frozenset({"balloon.current", "balloon.maximum", "balloon.rss"})
_LAST_UPDATE = "balloon.last-update"
_NEAR_RATIO, _NEAR_KIB = 0.1, 16 << 10


@dataclass(frozen=True, slots=True)
class _Mute:
    number: int
    process: Process
    since: float
    ask_at: float


class MuteGuests:
    """Who need not be asked now. For one caller at a time."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._known: dict[str, _Mute] = {}
        self._scan_at = 0.0

    def among(
        self, domains: Iterable[Surveyed], groups: frozenset[Group], now: float
    ) -> frozenset[str]:
        """UUIDs of those that need not be asked in a reading of these groups."""
        numbers = {one.uuid: one.number for one in domains}
        self._known = {
            uuid: one for uuid, one in self._known.items() if numbers.get(uuid) == one.number
        }
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
        before = self._known
        processes = {uuid: one.process for uuid, one in before.items()}
        unknown = candidates.keys() - processes.keys()
        if unknown and now >= self._scan_at:
            processes |= self._processes.find(unknown)
            if unknown - processes.keys():
                self._scan_at = now + _SCAN_SECONDS
        for uuid, (answer, resident) in candidates.items():
            process = processes.get(uuid)
            if process is None or not _is_near(self._processes.resident_kib(process), resident):
                self._known.pop(uuid, None)
                continue
            since = before[uuid].since if uuid in before else now
            ask_at = now + pause_seconds(uuid, now - since)
            self._known[uuid] = _Mute(answer.number, process, since, ask_at)

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


def _is_near(ours: int | None, libvirts: int) -> bool:
    """Whether both can be the size of one process that was looked at twice."""
    return ours is not None and abs(ours - libvirts) <= max(_NEAR_KIB, _NEAR_RATIO * libvirts)
