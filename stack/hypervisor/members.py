"""Somebody's domains taken into a pool and given back: all of those named, or none."""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import libvirt

from stack.hypervisor import definition, marks, membership, pool_record
from stack.hypervisor.credentials import Credentials
from stack.hypervisor.errors import HypervisorError
from stack.hypervisor.marks import Seen
from stack.hypervisor.membership import Change


@dataclass(frozen=True)
class Adoption:
    """What domains are taken in for."""

    pool: str
    tier: str
    wanted: Callable[[str], Credentials]
    """What a domain of that name is to tell its guest."""
    scaler: str = ""
    """Our scaler's name; empty: it has none yet."""


@dataclass(frozen=True)
class Step:
    """What is to become of one domain."""

    seen: Seen
    change: Change


def plan_adoption(
    connection: libvirt.virConnect, names: Sequence[str], adoption: Adoption
) -> list[Step]:
    """What taking the domains in would change; nothing is changed.

    Raises:
        HypervisorError: some cannot be taken in; a line for each reason, with the fix.

    """
    steps, faults = [], []
    for seen in _look_up(connection, names):
        wanted = adoption.wanted(seen.name)
        found = membership.adoption_faults(
            seen.xml, pool=adoption.pool, wanted=wanted, scaler=adoption.scaler
        )
        if not found:
            change = membership.adopt(
                seen.xml,
                pool=adoption.pool,
                tier=adoption.tier,
                wanted=wanted,
                scaler=adoption.scaler,
            )
            steps.append(Step(seen, change))
            found = _state_faults(seen, change)
        faults += [f"{seen.name!r} cannot be adopted: {fault}" for fault in found]
    _refuse(faults)
    return steps


def plan_release(connection: libvirt.virConnect, names: Sequence[str]) -> list[Step]:
    """What giving the domains back would change; nothing is changed.

    Raises:
        HypervisorError: some are not somebody else's; a line for each reason.

    """
    seen = _look_up(connection, names)
    _refuse(
        f"{one.name!r} cannot be released: {fault}"
        for one in seen
        for fault in membership.release_faults(one.xml)
    )
    return [Step(one, membership.release(one.xml)) for one in seen]


def carry_out(connection: libvirt.virConnect, steps: Sequence[Step]) -> None:
    """Changes the domains.

    Raises:
        libvirt.libvirtError: libvirt refused one; those before it are as they were.

    """
    done: list[Step] = []
    try:
        for step in steps:
            done.append(step)
            _change(connection, step)
    except BaseException:
        for step in reversed(done):
            with contextlib.suppress(libvirt.libvirtError):
                _put_back(connection, step)
        raise


def _change(connection: libvirt.virConnect, step: Step) -> None:
    root = definition.parse(step.change.after)
    attributes, record = pool_record.membership(root) or None, pool_record.of(root)
    if step.change.is_of_the_machine:
        marks.define(connection, step.change.after)
    marks.mark(step.seen, attributes, record)


def _put_back(connection: libvirt.virConnect, step: Step) -> None:
    if step.change.is_of_the_machine:
        marks.define(connection, step.seen.xml)
    marks.mark(step.seen, step.seen.attributes or None, step.seen.record)


def _look_up(connection: libvirt.virConnect, names: Sequence[str]) -> list[Seen]:
    present = marks.see_all(connection)
    faults = [
        f"there is no domain {name!r} at {connection.getURI()} (virsh list --all)"
        for name in names
        if name not in present
    ]
    faults += [
        f"{name!r} is transient: libvirt forgets it when it ends; define it first (virsh define)"
        for name in names
        if name in present and not present[name].domain.isPersistent()
    ]
    _refuse(faults)
    return [present[name] for name in dict.fromkeys(names)]


def _state_faults(seen: Seen, change: Change) -> list[str]:
    if not change.is_of_the_machine:
        return []
    if seen.is_active:
        return [
            "it runs, and what it has to tell its guest counts from its next start on; shut it "
            "down first, or use --no-credentials when its worker has its own"
        ]
    if seen.state == "saved":
        return [
            "its memory is saved, and would be restored as it was; remove that first "
            f"(virsh managedsave-remove {seen.name}), or start it and shut it down"
        ]
    return []


def _refuse(faults: Iterable[str]) -> None:
    text = "\n".join(faults)
    if text:
        raise HypervisorError(text)
