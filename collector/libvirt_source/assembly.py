"""Puts what was read of each domain together. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from collector.domain_xml import Description
from collector.libvirt_source.bulk import Answer
from collector.records import Control, DomainRecord, Statistics


@dataclass(frozen=True, slots=True)
class Findings:
    """What the parts of a reading told of its domains, by UUID."""

    answers: Mapping[str, Answer]
    gone: frozenset[str] = frozenset()
    hung: frozenset[str] = frozenset()
    controls: Mapping[str, Control] = field(default_factory=dict)
    basics: Mapping[str, Statistics] = field(default_factory=dict)
    """What virDomainGetInfo told, beside the bulk statistics."""
    memory: Mapping[str, Statistics] = field(default_factory=dict)
    """Of mute guests, what virDomainGetInfo does not tell."""
    host_cpus: Mapping[str, Statistics] = field(default_factory=dict)
    """Where virtual CPUs run: the bulk statistics do not tell."""
    descriptions: Mapping[str, Description | None] = field(default_factory=dict)
    jobs: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    io_limits: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)


def records(
    surveyed: Iterable[tuple[str, Answer]], found: Findings, is_chosen: Callable[[str], bool]
) -> tuple[DomainRecord, ...]:
    """One record for each domain that still exists, with the latest that is known.

    A domain may be renamed, or end and begin anew, between two calls. Each record holds the answer
    to one call, and a name is there once: two would be two values for one series.
    """
    named: dict[str, DomainRecord] = {}
    beside = [told for told in (found.basics, found.memory, found.host_cpus) if told]
    for uuid, first in surveyed:
        latest = found.answers.get(uuid, first)
        if uuid in found.gone or latest.name in named or not is_chosen(latest.name):
            continue
        named[latest.name] = DomainRecord(
            name=latest.name,
            uuid=uuid,
            number=latest.number,
            statistics=_with(latest.statistics, uuid, beside),
            description=found.descriptions.get(uuid),
            is_timed_out=uuid in found.hung,
            control=found.controls.get(uuid),
            job=found.jobs.get(uuid) or None,
            io_limits=found.io_limits.get(uuid, {}),
        )
    return tuple(named[name] for name in sorted(named))


def is_chosen_by(
    include: Callable[[str], object] | None, exclude: Callable[[str], object] | None
) -> Callable[[str], bool]:
    """A filter on names: those that `include` matches, or all, but for those `exclude` matches."""
    return lambda name: (
        (include is None or bool(include(name)))
        and not (exclude is not None and bool(exclude(name)))
    )


def _with(
    statistics: Statistics, uuid: str, beside: Iterable[Mapping[str, Statistics]]
) -> Statistics:
    for told in beside:
        if other := told.get(uuid):
            statistics = {**other, **statistics}
    return statistics
