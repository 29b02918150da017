"""What a reading asks beside the bulk queries, over the connection that made the survey."""

from collections.abc import Mapping
from typing import TypeVar

from collector.domain_xml import Description
from collector.libvirt_source import bulk, domain_parts, host_parts
from collector.libvirt_source.bulk_reader import Outcome, Terms
from collector.libvirt_source.descriptions import Descriptions
from collector.libvirt_source.errands import Errand, Errands
from collector.libvirt_source.survey import Survey, Surveyed
from collector.records import Group, NodeRecord, Part, Statistics
from servicekit.clock import Clock

Value = TypeVar("Value")


class SideQuestions:
    """Asks when it is made; the answers are fetched once the bulk queries are through."""

    def __init__(
        self,
        errands: Errands,
        seen: Survey,
        descriptions: Descriptions,
        clock: Clock,
        terms: Terms,
        *,
        mute: frozenset[str],
    ) -> None:
        """`mute` are domains that the bulk queries do not ask for memory."""
        self._errands = errands
        self._seen = seen
        self._clock = clock
        self._terms = terms
        self._mute = mute
        groups = terms.groups
        descriptions.keep_only({one.uuid for one in seen.domains})
        self._basics = self._described = self._node = self._host_cpus = None
        # First, because `disks` waits for them.
        if groups & {Group.INFO, Group.BLOCK_TRAFFIC}:
            self._described = self._ask_descriptions(descriptions)
        self._has_all_basics = seen.has_bulk and domain_parts.needs_basics(groups)
        if self._has_all_basics:
            self._basics = self._ask_basics(seen.domains, groups)
        elif mute:
            asked = tuple(one for one in seen.domains if one.uuid in mute)
            self._basics = self._ask_basics(asked, groups)
        if Group.VCPU_CPU in groups:
            self._host_cpus = errands.ask(
                lambda _: domain_parts.host_cpus(seen.domains, self._clock, terms.deadline)
            )
        if Group.NODE in groups:
            self._node = errands.ask(host_parts.node)

    def disks(self) -> Mapping[str, tuple[str, ...]]:
        """Targets of each domain's disks, by UUID, as far as they are known soon enough."""
        if Group.BLOCK_TRAFFIC not in self._terms.groups or self._described is None:
            return {}
        soon = self._clock.monotonic() + self._terms.patience_seconds
        told = self._errands.fetch(self._described, min(soon, self._terms.deadline))[0] or {}
        return {
            uuid: tuple(disk.target for disk in one.disks)
            for uuid, one in told.items()
            if one is not None
        }

    def basics(self, found: Outcome) -> Mapping[str, Statistics]:
        """What virDomainGetInfo told: where the bulk groups do not, or could not in time."""
        asked = [] if self._basics is None else [self._basics]
        unanswered = () if self._has_all_basics else self._unanswered(found)
        if unanswered:
            # Not the CPU time: it would be another clock than that of the other readings.
            asked.append(self._ask_basics(unanswered, frozenset({Group.CPU})))
        told: dict[str, Statistics] = {}
        for errand in asked:
            told |= self._errands.fetch(errand, self._terms.deadline)[0] or {}
        return told

    def descriptions(self, parts: dict[str, Part]) -> Mapping[str, Description | None]:
        """By UUID. The part has failed when one of them could not be read."""
        if Group.INFO not in self._terms.groups:
            return {}
        told = self._fetch(Group.INFO, self._described, parts) or {}
        if self._described is not None:
            is_ok = all(told.get(one.uuid) for one in self._seen.domains)
            parts[Group.INFO] = Part(parts[Group.INFO].seconds, is_ok)
        return told

    def host_cpus(self, parts: dict[str, Part]) -> Mapping[str, Statistics]:
        """Where virtual CPUs run, by UUID. The part has failed when somebody was not asked."""
        told = self._fetch(Group.VCPU_CPU, self._host_cpus, parts)
        if told is None:
            return {}
        found, is_whole = told
        parts[Group.VCPU_CPU] = Part(parts[Group.VCPU_CPU].seconds, is_whole)
        return found

    def node(self, parts: dict[str, Part]) -> NodeRecord | None:
        """None when it was not asked for or could not be read."""
        return self._fetch(Group.NODE, self._node, parts)

    def _ask_descriptions(self, known: Descriptions) -> Errand[dict[str, Description | None]]:
        domains, deadline = self._seen.domains, self._terms.deadline
        found = known.all_of({one.uuid: one.number for one in domains})
        if found is not None:
            return self._errands.answered(found)
        return self._errands.ask(
            lambda _: domain_parts.described(domains, known, self._clock, deadline)
        )

    def _ask_basics(
        self, domains: tuple[Surveyed, ...], groups: frozenset[Group]
    ) -> Errand[dict[str, Statistics]]:
        return self._errands.ask(
            lambda _: domain_parts.basics(
                domains, groups, self._mute, self._clock, self._terms.deadline
            )
        )

    def _unanswered(self, found: Outcome) -> tuple[Surveyed, ...]:
        if not self._seen.has_bulk or not bulk.needs_monitor(self._terms.groups):
            return ()
        known = found.answers.keys() | found.gone
        return tuple(one for one in self._seen.domains if one.uuid not in known)

    def _fetch(
        self, group: Group, errand: Errand[Value] | None, parts: dict[str, Part]
    ) -> Value | None:
        if errand is None:
            return None
        answer = self._errands.fetch(errand, self._terms.deadline)
        parts[group] = answer[1]
        return answer[0]
