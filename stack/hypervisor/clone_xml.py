"""A linked clone's definition, made of its template's. Pure.

All is as in the template but for what can only be one domain's own: name, UUID, addresses, disks
that are written to, sockets and files that QEMU opens for writing, ports.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from string import ascii_lowercase
from xml.etree import ElementTree

from stack.hypervisor import credentials, definition, pool_record
from stack.hypervisor.credentials import Credentials
from stack.hypervisor.errors import HypervisorError
from stack.hypervisor.pool_record import OWNER, Record

_NOCLOUD = "ds=nocloud"
_INSTANCE_KEYS = ("i=", "h=")
_SEED_KEYS = ("s=", "seedfrom=")
"""What is fetched from there would replace what a seed image says."""
_CHARACTER_DEVICES = ("serial", "console", "parallel", "channel", "redirdev", "smartcard")
_PREFIXES = {"virtio": "vd", "scsi": "sd", "sata": "sd", "usb": "sd", "ide": "hd"}
_BUSES = {"vd": "virtio", "sd": "scsi", "hd": "ide"}
"""libvirt's own guess for a disk that does not name its bus."""
_IDE_DISKS = 4
_UNSHARED = {
    "hostdev": "passes a device of the host through, which one domain alone can have",
    "tpm/backend[@type='passthrough']": "passes the host's TPM through",
    "memory[@model='nvdimm']": "has an NVDIMM, whose file one domain alone can have",
    "interface[@type='hostdev']": "passes a network card through; use a <network> of virtual ones",
}


@dataclass(frozen=True)
class TemplateDisk:
    """A disk of the template that each clone needs an overlay of."""

    target: str
    """What the guest calls it, such as `vda`: the same in template and clone."""
    path: str
    format: str


@dataclass(frozen=True)
class CloneSpec:
    """One clone."""

    name: str
    uuid: str
    pool: str
    template: str
    overlays: Mapping[str, str]
    """Path of each overlay (qcow2) by the disk's target."""
    tier: str = "cold"
    memory_mib: int | None = None
    vcpus: int | None = None
    credentials: Credentials = field(default_factory=Credentials)
    seed: str = ""
    """Path of the clone's own seed image; empty: it has none."""
    has_instance_id: bool = True
    """True: cloud-init in the guest learns from the SMBIOS serial number that it is a new one."""


def template_disks(xml: str, volumes: Mapping[tuple[str, str], str]) -> list[TemplateDisk]:
    """The disks that clones need overlays of; `volumes`: paths by storage pool and volume.

    Disks that are read-only or shareable are everybody's already and stay as they are.

    Raises:
        HypervisorError: for what cannot be cloned, with the fix.

    """
    root = definition.parse(xml)
    name = definition.name_of(root)
    devices = definition.need(root, "devices")
    for path, why in _UNSHARED.items():
        if devices.find(path) is not None:
            raise HypervisorError(f"the template {name!r} {why}; take it out of the template")
    return [
        _template_disk(name, disk, volumes) for disk in devices.findall("disk") if _is_own(disk)
    ]


def volumes_of(xml: str) -> list[tuple[str, str]]:
    """Storage pool and volume of the disks that are given so."""
    sources = definition.parse(xml).iterfind("devices/disk[@type='volume']/source")
    return [(one.get("pool", ""), one.get("volume", "")) for one in sources]


def clone(xml: str, spec: CloneSpec) -> str:
    """The clone's definition.

    Raises:
        HypervisorError: the text is no definition of a domain.

    """
    root = definition.parse(xml)
    template = definition.name_of(root)
    _identify(root, spec)
    _size(root, spec)
    for disk in definition.need(root, "devices").findall("disk"):
        target = disk.find("target")
        if _is_own(disk) and target is not None:
            _overlay(disk, spec.overlays[target.get("dev", "")])
    _separate_devices(root, spec, template)
    files = tuple(spec.overlays.values())
    if spec.seed:
        _attach_seed(root, spec.seed)
        files += (spec.seed,)
    if spec.has_instance_id:
        _set_instance_id(root, spec)
    # What the template tells its own guest names the template.
    for kind in ("string", "file"):
        credentials.remove(root, [f"{kind}:{name}" for name in credentials.found(root)])
    credentials.add(root, spec.credentials)
    pool_record.write(
        root,
        {"pool": spec.pool, "tier": spec.tier, "owner": OWNER, "template": spec.template},
        Record("clone", spec.pool, spec.template, overlays=files),
    )
    return definition.render(root)


def overlay_name(clone_name: str, target: str) -> str:
    """The file name of a clone's overlay."""
    return f"{clone_name}-{target}.qcow2"


def seed_name(clone_name: str) -> str:
    """The file name of a clone's seed image."""
    return f"{clone_name}-seed.iso"


def shared_media(xml: str) -> list[tuple[str, str]]:
    """(target, file) of what clones only read, such as a CD-ROM: each sees the template's."""
    found = []
    for disk in definition.parse(xml).iterfind("devices/disk"):
        source, target = disk.find("source"), disk.find("target")
        if source is not None and target is not None and disk.find("readonly") is not None:
            path = source.get("file") or source.get("dev") or source.get("volume") or ""
            found.append((target.get("dev", ""), path))
    return found


def mac_address(uuid: str, number: int) -> str:
    """A locally administered address that belongs to a domain's interface."""
    digits = hashlib.sha256(f"{uuid}/{number}".encode()).hexdigest()[:6]
    return ":".join(("52:54:00", digits[:2], digits[2:4], digits[4:]))


def own_path(path: str, template: str, name: str) -> str:
    """The clone's own path beside the template's, which one QEMU alone may open."""
    given = PurePosixPath(path)
    if template in given.name:
        return str(given.with_name(given.name.replace(template, name)))
    return str(given.with_name(f"{given.stem}-{name}{given.suffix}"))


def _is_own(disk: ElementTree.Element) -> bool:
    return (
        disk.get("device", "disk") in ("disk", "lun")
        and disk.find("readonly") is None
        and disk.find("shareable") is None
    )


def _template_disk(
    name: str, disk: ElementTree.Element, volumes: Mapping[tuple[str, str], str]
) -> TemplateDisk:
    target, source, driver = disk.find("target"), disk.find("source"), disk.find("driver")
    device = "?" if target is None else target.get("dev", "?")
    which = f"the disk {device!r} of the template {name!r}"
    if source is None:
        raise HypervisorError(f"{which} has no <source>; give it one or take it out")
    kind = disk.get("type", "file")
    paths: dict[str, str | None] = {
        "file": source.get("file"),
        "block": source.get("dev"),
        "volume": volumes.get((source.get("pool", ""), source.get("volume", ""))),
    }
    path = paths.get(kind)
    if not path:
        raise HypervisorError(
            f"{which} is of type {kind!r}: an overlay needs a file, block device or volume below it"
        )
    if disk.find("encryption") is not None or source.find("encryption") is not None:
        raise HypervisorError(f"{which} is encrypted, which linked clones cannot be")
    format_ = "raw" if driver is None else driver.get("type", "raw")
    if format_ not in ("qcow2", "raw"):
        raise HypervisorError(
            f"{which} has the format {format_!r}; convert it to qcow2 (qemu-img convert -O qcow2)"
        )
    return TemplateDisk(device, path, format_)


def _identify(root: ElementTree.Element, spec: CloneSpec) -> None:
    definition.need(root, "name").text = spec.name
    identity, _ = definition.child(root, "uuid", after=("name",))
    identity.text = spec.uuid
    genid = root.find("genid")
    if genid is not None:
        # libvirt makes a new one for an empty element.
        genid.text = None
    for entry in root.iterfind("sysinfo[@type='smbios']/system/entry"):
        if entry.get("name") == "uuid":
            entry.text = spec.uuid


def _size(root: ElementTree.Element, spec: CloneSpec) -> None:
    if spec.memory_mib is not None:
        for tag in ("memory", "currentMemory"):
            found = root.find(tag)
            if found is not None:
                found.text, found.attrib["unit"] = str(spec.memory_mib), "MiB"
    if spec.vcpus is not None:
        count = definition.need(root, "vcpu")
        count.text = str(spec.vcpus)
        count.attrib.pop("current", None)
        for single in root.findall("vcpus"):
            root.remove(single)


def _overlay(disk: ElementTree.Element, path: str) -> None:
    disk.set("type", "file")
    source = definition.need(disk, "source")
    for name in ("file", "dev", "pool", "volume", "mode", "index"):
        source.attrib.pop(name, None)
    source.set("file", path)
    # Below the overlay is what its header says; an older chain would be taken for it.
    for old in disk.findall("backingStore"):
        disk.remove(old)
    driver, _ = definition.child(disk, "driver")
    driver.attrib.setdefault("name", "qemu")
    driver.set("type", "qcow2")


def _attach_seed(root: ElementTree.Element, path: str) -> None:
    """On the bus of the first disk, whose driver the guest has."""
    devices = definition.need(root, "devices")
    targets = [one for one in devices.iterfind("disk/target") if one.get("bus") != "fdc"]
    buses = [one.get("bus") or _BUSES.get(one.get("dev", "")[:2], "") for one in targets]
    bus = next((one for one in buses if one in _PREFIXES), "virtio")
    taken = {one.get("dev") for one in targets}
    letters = ascii_lowercase[: _IDE_DISKS if bus == "ide" else len(ascii_lowercase)]
    free = [name for one in letters if (name := _PREFIXES[bus] + one) not in taken]
    if not free:
        raise HypervisorError(
            f"the template {definition.name_of(root)!r} has no room on its bus {bus!r} for a seed "
            "image; take a disk or a CD-ROM out of it"
        )
    # IDE and SATA disks are always written to, and virtio has no CD-ROM.
    device = "disk" if bus in ("virtio", "usb") else "cdrom"
    disk = ElementTree.Element("disk", type="file", device=device)
    ElementTree.SubElement(disk, "driver", name="qemu", type="raw")
    ElementTree.SubElement(disk, "source", file=path)
    ElementTree.SubElement(disk, "target", dev=free[0], bus=bus)
    ElementTree.SubElement(disk, "readonly")
    places = [place for place, one in enumerate(devices, start=1) if one.tag == "disk"]
    devices.insert(max(places, default=0), disk)


def _separate_devices(root: ElementTree.Element, spec: CloneSpec, template: str) -> None:
    devices = definition.need(root, "devices")
    for number, interface in enumerate(devices.findall("interface")):
        address, _ = definition.child(interface, "mac")
        address.attrib = {"address": mac_address(spec.uuid, number)}
        _remove(interface, "target")
        _remove(interface, "virtualport/parameters")
    for tag in _CHARACTER_DEVICES:
        for device in devices.findall(tag):
            for place, key in ((device.find("source"), "path"), (device.find("log"), "file")):
                is_pty = device.get("type") in ("pty", "dev", "null")
                if place is not None and place.get(key) and not (is_pty and key == "path"):
                    place.set(key, own_path(place.get(key, ""), template, spec.name))
    for graphics in devices.findall("graphics"):
        _free_port(graphics, template, spec.name)
    for vsock in devices.findall("vsock"):
        number_, _ = definition.child(vsock, "cid")
        number_.attrib = {"auto": "yes"}
    nvram = root.find("os/nvram")
    if nvram is not None:
        # Without a path libvirt gives each domain a copy of the firmware's own variables.
        nvram.text = None
        for source in nvram.findall("source"):
            nvram.remove(source)
        nvram.attrib.pop("type", None)
        if not nvram.attrib:
            definition.need(root, "os").remove(nvram)


def _free_port(graphics: ElementTree.Element, template: str, name: str) -> None:
    if graphics.get("port", "-1") != "-1":
        graphics.set("port", "-1")
        graphics.set("autoport", "yes")
    for key in ("tlsPort", "websocket"):
        if graphics.get(key, "-1") != "-1":
            graphics.set(key, "-1")
    for place in (graphics, *graphics.findall("listen")):
        if place.get("socket"):
            place.set("socket", own_path(place.get("socket", ""), template, name))


def _set_instance_id(root: ElementTree.Element, spec: CloneSpec) -> None:
    """A serial number of somebody else's stays; cloud-init's own is kept but for the instance."""
    information = root.find("sysinfo[@type='smbios']")
    serial = None if information is None else information.find("system/entry[@name='serial']")
    given = "" if serial is None else (serial.text or "").strip()
    if given and not given.startswith(_NOCLOUD):
        return
    replaced = _INSTANCE_KEYS + (_SEED_KEYS if spec.seed else ())
    kept = [part for part in given.split(";") if part and not part.startswith(replaced)]
    value = ";".join([*(kept or [_NOCLOUD]), f"i={spec.uuid}", f"h={spec.name}"])
    if serial is None:
        serial = _serial(root)
    serial.text = value


def _serial(root: ElementTree.Element) -> ElementTree.Element:
    information = credentials.open_smbios(root)
    system = information.find("system")
    if system is None:
        system = ElementTree.Element("system")
        places = [i + 1 for i, one in enumerate(information) if one.tag == "bios"]
        information.insert(max(places, default=0), system)
    return ElementTree.SubElement(system, "entry", name="serial")


def _remove(parent: ElementTree.Element, path: str) -> None:
    above, _, tag = path.rpartition("/")
    place = parent.find(above) if above else parent
    if place is not None:
        for one in place.findall(tag):
            place.remove(one)
