"""Linked clones of a template: made, added, removed, with the files that are theirs alone."""

import contextlib
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import libvirt

from stack.hypervisor import clone_xml, definition, marks, overlays, seed_image, user_data
from stack.hypervisor.clone_xml import CloneSpec, TemplateDisk
from stack.hypervisor.credentials import Credentials
from stack.hypervisor.errors import HypervisorError
from stack.hypervisor.marks import Seen
from stack.hypervisor.overlays import Overlays
from stack.hypervisor.pool_record import OWNER, Record

_UNDEFINE = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
)
_POLL_SECONDS = 0.2

Tell = Callable[[str], None]


@dataclass(frozen=True)
class CloneOrder:
    """The pool that is wanted."""

    pool: str
    template: str
    count: int
    storage: str = ""
    """A directory, or a storage pool's name; empty: where the template's disk is."""
    tier: str = "cold"
    memory_mib: int | None = None
    vcpus: int | None = None
    has_instance_id: bool = True
    user_data: bytes = field(default=b"", repr=False)
    """cloud-init's, for the seed image of each clone; empty: they have none."""


@dataclass(frozen=True)
class ClonePlan:
    """What is to be done for it."""

    order: CloneOrder
    template: Seen
    disks: tuple[TemplateDisk, ...]
    made: tuple[str, ...]
    """Names of clones to make."""
    surplus: tuple[Seen, ...]
    """Clones to remove."""
    kept: tuple[str, ...]
    """Surplus clones that are active."""
    places: Mapping[str, Overlays] = field(default_factory=dict)
    """Who makes overlays, by the disk's target."""
    seeds: Overlays | None = None
    """Who stores seed images."""
    stamps: tuple[str, ...] = ()
    """When the template's disks were last written to."""


def plan(connection: libvirt.virConnect, uri: str, order: CloneOrder) -> ClonePlan:
    """What would be done; nothing is changed.

    Raises:
        HypervisorError: it cannot be done; says why and what helps.

    """
    present = marks.see_all(connection)
    template = _template(connection, present, order)
    clones = _clones(present, order)
    volumes = overlays.volume_paths(connection, clone_xml.volumes_of(template.xml))
    disks = tuple(clone_xml.template_disks(template.xml, volumes))
    stamps = tuple(found for disk in disks if (found := overlays.stamp(uri, disk.path)))
    known = () if template.record is None else template.record.stamps
    # Who may not look into the directory sees none.
    if known and stamps and known != stamps:
        raise HypervisorError(
            f"--template {order.template}: its disk was written to since clones were made of it; "
            "they may be ruined: destroy their pools, and create them anew"
        )
    wanted = [f"{order.pool}-{number}" for number in range(1, order.count + 1)]
    missing = tuple(name for name in wanted if name not in clones)
    for name in missing:
        if name in present:
            raise HypervisorError(
                f"a domain named {name!r} exists and is no clone of the pool {order.pool!r}; it is "
                "not touched: choose another name for the pool"
            )
    surplus = [seen for name, seen in clones.items() if name not in wanted]
    places = {}
    if missing:
        for disk in disks:
            place = order.storage or str(PurePosixPath(disk.path).parent)
            places[disk.target] = overlays.find(connection, uri, place)
            files = [clone_xml.overlay_name(name, disk.target) for name in missing]
            _need_room(places[disk.target], files)
    seeds = _seed_place(connection, uri, order, disks) if missing and order.user_data else None
    if seeds is not None:
        _need_room(seeds, map(clone_xml.seed_name, missing))
    return ClonePlan(
        order=order,
        template=template,
        disks=disks,
        made=missing,
        surplus=tuple(seen for seen in surplus if not seen.is_active),
        kept=tuple(seen.name for seen in surplus if seen.is_active),
        places=places,
        seeds=seeds,
        stamps=stamps,
    )


def carry_out(
    connection: libvirt.virConnect,
    uri: str,
    planned: ClonePlan,
    credentials: Callable[[str], Credentials],
    tell: Tell,
) -> None:
    """Makes the clones that are missing, all or none, then removes those too many.

    Raises:
        HypervisorError: with the reason; what was made is removed again.
        libvirt.libvirtError: likewise.

    """
    with contextlib.ExitStack() as undo:
        if planned.made and planned.template.record is None:
            marks.mark(planned.template, None, Record("template", stamps=planned.stamps))
            undo.callback(_quietly, _unmark, planned.template)
        for number, name in enumerate(planned.made, start=1):
            _make(connection, planned, name, credentials(name), undo)
            tell(f"[{number}/{len(planned.made)}] {name}: defined")
        undo.pop_all()
    for seen in planned.surplus:
        if _leave(seen):
            _remove(connection, uri, seen, tell)
        else:
            _stay(seen)
            tell(f"{seen.name}: was started meanwhile and stays")
    _free_templates(connection)


def of_pool(connection: libvirt.virConnect, pool: str) -> tuple[list[Seen], list[Seen]]:
    """The pool's domains that virtscale made, and the others."""
    members = [one for one in marks.see_all(connection).values() if one.pool == pool]
    made = [one for one in members if is_made(one)]
    return made, [one for one in members if not is_made(one)]


def is_made(seen: Seen) -> bool:
    """True when virtscale has defined the domain."""
    return seen.attributes.get("owner") == OWNER or (
        seen.record is not None and seen.record.kind == "clone"
    )


def destroy(
    connection: libvirt.virConnect,
    uri: str,
    made: Sequence[Seen],
    *,
    seconds: float | None,
    tell: Tell,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Removes the domains; active ones are shut down, and after so many seconds cut off, first.

    With `seconds` None, one that was started meanwhile ends the matter. They leave the pool first,
    so that no scaler starts again what is shut down here.

    Raises:
        HypervisorError: with the reason; what is left can be destroyed by doing it again.
        libvirt.libvirtError: likewise.

    """
    active = [seen for seen in made if not _leave(seen)]
    if active and seconds is None:
        for seen in made:
            _stay(seen)
        names = ", ".join(seen.name for seen in active)
        raise HypervisorError(f"{names}: started meanwhile; nothing was removed")
    for seen in active:
        _press(seen.domain)
        tell(f"{seen.name}: shutting down")
    end = clock() + (seconds or 0.0)
    for seen in active:
        while seen.domain.isActive() and clock() < end:
            pause(_POLL_SECONDS)
        if seen.domain.isActive():
            tell(f"{seen.name}: did not shut down in time, its power is cut")
            _quietly(seen.domain.destroy)
    for seen in made:
        _remove(connection, uri, seen, tell)
    _free_templates(connection)


def _leave(seen: Seen) -> bool:
    """Takes a domain out of its pool, which its record still names; False: it is active."""
    marks.mark(seen, None, seen.record or Record("clone", seen.pool))
    return not seen.domain.isActive()


def _stay(seen: Seen) -> None:
    marks.mark(seen, seen.attributes or None, seen.record)


def _remove(connection: libvirt.virConnect, uri: str, seen: Seen, tell: Tell) -> None:
    """The overlays go first: what breaks in between leaves a domain that says what is its own."""
    files = () if seen.record is None else seen.record.overlays
    used = {
        path: one.name
        for one in marks.see_all(connection).values()
        if one.name != seen.name
        for path in definition.files_of(definition.parse(one.xml))
    }
    for path in files:
        if path in used:
            tell(f"{path} is kept: the domain {used[path]!r} uses it")
        else:
            directory = str(PurePosixPath(path).parent)
            overlays.find(connection, uri, directory).remove(path)
    seen.domain.undefineFlags(_UNDEFINE)
    tell(f"{seen.name}: undefined" + (f", {len(files)} file(s) removed" if files else ""))


def _make(
    connection: libvirt.virConnect,
    planned: ClonePlan,
    name: str,
    credentials: Credentials,
    undo: contextlib.ExitStack,
) -> None:
    order = planned.order
    paths = {}
    for disk in planned.disks:
        place = planned.places[disk.target]
        paths[disk.target] = place.create(
            clone_xml.overlay_name(name, disk.target),
            backing=disk.path,
            backing_format=disk.format,
        )
        undo.callback(_quietly, place.remove, paths[disk.target])
    identity, seed = str(uuid.uuid4()), ""
    if planned.seeds is not None:
        image = seed_image.made(order.user_data, user_data.meta_data(name, identity))
        seed = planned.seeds.store(clone_xml.seed_name(name), image)
        undo.callback(_quietly, planned.seeds.remove, seed)
    spec = CloneSpec(
        name=name,
        uuid=identity,
        pool=order.pool,
        template=order.template,
        overlays=paths,
        tier=order.tier,
        memory_mib=order.memory_mib,
        vcpus=order.vcpus,
        credentials=credentials,
        seed=seed,
        has_instance_id=order.has_instance_id,
    )
    domain = marks.define(connection, clone_xml.clone(planned.template.xml, spec))
    undo.callback(_quietly, domain.undefineFlags, _UNDEFINE)
    domain.setAutostart(False)


def _template(
    connection: libvirt.virConnect, present: Mapping[str, Seen], order: CloneOrder
) -> Seen:
    name = order.template
    if name not in present:
        raise HypervisorError(
            f"--template {name}: there is no such domain at {connection.getURI()} "
            "(virsh list --all)"
        )
    seen = present[name]
    if seen.is_active:
        raise HypervisorError(
            f"--template {name}: it is {seen.state}, and a disk that is written to cannot be below "
            f"clones; shut it down (virsh shutdown {name}) and do not start it any more"
        )
    if seen.state == "saved":
        raise HypervisorError(
            f"--template {name}: its memory is saved and belongs to what is on its disk; start it "
            "and shut it down, then clone it"
        )
    if seen.attributes or (seen.record is not None and seen.record.kind != "template"):
        raise HypervisorError(
            f"--template {name}: it is in the pool {seen.pool!r}, whose scaler would start it; "
            f"take it out first: virtscale pool release {name}"
        )
    return seen


def _clones(present: Mapping[str, Seen], order: CloneOrder) -> dict[str, Seen]:
    clones = {}
    for name, seen in present.items():
        if seen.pool != order.pool:
            continue
        if seen.record is not None and seen.record.kind == "clone":
            if seen.record.template != order.template:
                raise HypervisorError(
                    f"the pool {order.pool!r} has clones of {seen.record.template!r}; destroy it "
                    f"first (virtscale pool destroy {order.pool}), or give another name"
                )
            if not seen.attributes:
                raise HypervisorError(
                    f"{name!r} was about to be removed when that ended early; finish it with: "
                    f"virtscale pool destroy {order.pool}"
                )
            clones[name] = seen
        elif is_made(seen):
            raise HypervisorError(
                f"the pool {order.pool!r} was made by a stack with --define ({name!r}); "
                "choose another name"
            )
    return clones


def _seed_place(
    connection: libvirt.virConnect, uri: str, order: CloneOrder, disks: Sequence[TemplateDisk]
) -> Overlays:
    seed_image.program()
    if not order.storage and not disks:
        raise HypervisorError(
            f"--template {order.template}: it has no disk beside which seed images could be; say "
            "where with --storage"
        )
    place = order.storage or str(PurePosixPath(disks[0].path).parent)
    return overlays.find(connection, uri, place)


def _need_room(place: Overlays, files: Iterable[str]) -> None:
    for file in files:
        if place.exists(file):
            raise HypervisorError(
                f"{place.directory}/{file} exists already, and is nobody's; remove it when you do "
                "not need it, or choose another --storage"
            )


def _free_templates(connection: libvirt.virConnect) -> None:
    """A template without clones is an ordinary domain again."""
    present = marks.see_all(connection)
    needed = {seen.record.template for seen in present.values() if seen.record is not None}
    for seen in present.values():
        if seen.record is not None and seen.record.kind == "template" and seen.name not in needed:
            _unmark(seen)


def _unmark(seen: Seen) -> None:
    marks.mark(seen, seen.attributes or None, None)


def _press(domain: libvirt.virDomain) -> None:
    # One that ends at this moment, or has no ACPI, is dealt with when the time is over.
    with contextlib.suppress(libvirt.libvirtError):
        domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)


def _quietly(function: Callable[..., object], *arguments: object) -> None:
    with contextlib.suppress(libvirt.libvirtError, HypervisorError):
        function(*arguments)
