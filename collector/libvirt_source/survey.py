"""The first call of a reading: which domains there are, and what no QEMU has to be asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import libvirt

from collector.libvirt_source import bulk
from collector.libvirt_source.bulk import Answer
from collector.libvirt_source.connection import Session
from collector.records import Control, Group, Statistics

_TRIAL = frozenset({Group.CPU, Group.BALLOON, Group.VCPU})


@dataclass(frozen=True, slots=True)
class Surveyed:
    """One domain, and libvirt's object for it, which belongs to the connection of the survey."""

    uuid: str
    name: str
    number: int
    statistics: Statistics
    handle: Any

    @property
    def answer(self) -> Answer:
        """What the survey told of it."""
        return Answer(self.name, self.number, self.statistics)

    @property
    def is_active(self) -> bool:
        """True when it has a hypervisor: running, paused, shutting down, suspended."""
        return self.number >= 0


@dataclass(frozen=True, slots=True)
class Survey:
    """All domains that are to be read."""

    domains: tuple[Surveyed, ...]
    has_bulk: bool
    """False when the driver has no bulk statistics and each domain is asked by itself."""
    controls: Mapping[str, Control]
    """By UUID, of those domains that hung before."""
    silent: tuple[Surveyed, ...] = ()
    """Domains that did not even tell their state. Only their names are known, and no handle."""
    is_from_memory: bool = False
    """True when there was no list: a domain that is new is missing."""


def survey(
    session: Session,
    groups: frozenset[Group],
    *,
    hung: frozenset[str],
    is_chosen: Callable[[str], bool],
) -> Survey:
    """Looks around. Runs on the thread of the session's connection."""
    domains = tuple(
        Surveyed(one.UUIDString(), name, one.ID(), statistics, one)
        for one, statistics in _records(session, groups & bulk.WITHOUT_MONITOR)
        if is_chosen(name := one.name())
    )
    if session.has_bulk is None:
        session.has_bulk = _has_bulk(session, domains)
    controls = {
        one.uuid: control
        for one in domains
        if one.uuid in hung and (control := control_of(one.handle)) is not None
    }
    return Survey(domains, session.has_bulk is True, controls)


def _records(session: Session, groups: frozenset[Group]) -> list[tuple[Any, dict[str, Any]]]:
    if session.has_bulk is not False:
        try:
            found: list[tuple[Any, dict[str, Any]]] = session.handle.getAllDomainStats(
                bulk.flags(groups), bulk.NOWAIT
            )
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
                raise
            session.has_bulk = False
        else:
            return found
    return [(one, state) for one in session.handle.listAllDomains(0) if (state := state_of(one))]


def _has_bulk(session: Session, domains: tuple[Surveyed, ...]) -> bool | None:
    """Whether the driver can tell more than the state in bulk; None while nobody can say.

    Only a QEMU can hang on the question, and its driver has bulk statistics for certain.
    """
    if session.handle.getType() == "QEMU":
        return True
    active = [one.handle for one in domains if one.is_active][:1]
    answers = active and session.handle.domainListGetStats(active, bulk.flags(_TRIAL), bulk.NOWAIT)
    if not answers:
        return None
    return any(bulk.has_bulk_statistics(statistics) for _, statistics in answers)


def control_of(domain: Any) -> Control | None:
    """Whether somebody waits for the domain's hypervisor; asks no hypervisor."""
    try:
        state, _details, milliseconds = domain.controlInfo(0)
    except libvirt.libvirtError:
        return None
    return Control(state, milliseconds / 1000)


def state_of(domain: Any) -> dict[str, Any] | None:
    """Under the names of the bulk statistics; None for a domain that has gone."""
    try:
        state, reason = domain.state(0)
    except libvirt.libvirtError:
        return None  # It has gone since the listing.
    return {"state.state": state, "state.reason": reason}
