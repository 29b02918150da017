"""What a domain's XML tells: identity, devices and the pool it belongs to. Pure.

Parts of it come from whoever may define a domain or write its metadata, so nothing is expected of
it: what is missing is empty, what is too long is cut, and a document type is refused, because
entities that expand live there.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass

METADATA_NAMESPACE = "urn:virtscale:domain:1"
_NOVA_NAMESPACE = "http://openstack.org/xmlns/libvirt/nova/"
_MOST_CHARACTERS = 512
"""Of one text; it becomes a label, and libvirt lets a title have megabytes."""
_SOURCES = ("file", "dev", "name", "dir")


@dataclass(frozen=True, slots=True)
class Membership:
    """The pool that a domain belongs to, from our metadata."""

    pool: str
    tier: str


@dataclass(frozen=True, slots=True)
class OpenStack:
    """What OpenStack's Nova writes into the metadata of its domains."""

    instance_name: str = ""
    flavor: str = ""
    user_name: str = ""
    user_id: str = ""
    project_name: str = ""
    project_id: str = ""
    root_type: str = ""
    root_id: str = ""


@dataclass(frozen=True, slots=True)
class Disk:
    """One disk that has a target."""

    target: str
    kind: str = ""
    """`file`, `block`, `network`, `volume` ..."""
    device: str = ""
    """`disk`, `cdrom`, `lun` or `floppy`."""
    bus: str = ""
    driver: str = ""
    image_format: str = ""
    cache: str = ""
    discard: str = ""
    source: str = ""
    """File, device, name of a network image, or pool/volume."""
    protocol: str = ""
    """Of a network image, such as `rbd`."""
    serial: str = ""


@dataclass(frozen=True, slots=True)
class Interface:
    """One network interface that has a target on the host; only active domains have."""

    target: str
    kind: str = ""
    bridge: str = ""
    mac: str = ""
    model: str = ""
    mtu: str = ""
    port: str = ""
    """Id of its port at a virtual switch."""


@dataclass(frozen=True, slots=True)
class Description:
    """What changes rarely."""

    title: str = ""
    os_type: str = ""
    os_type_arch: str = ""
    os_type_machine: str = ""
    membership: Membership | None = None
    openstack: OpenStack | None = None
    disks: tuple[Disk, ...] = ()
    """Each target once."""
    interfaces: tuple[Interface, ...] = ()
    """Each target once."""


class _Builder(ElementTree.TreeBuilder):
    """Refuses entities by refusing where they are declared; libvirt writes no document type."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError(
            "domain XML cannot be read: it has a document type, which libvirt's has not"
        )


def describe(xml: str) -> Description:
    """Reads a domain's XML. Without our metadata, or with none that names a pool: no membership.

    Raises:
        ValueError: the text is not XML, or has a document type.

    """
    parser = ElementTree.XMLParser(target=_Builder())
    try:
        # As bytes, because a text may hold what no encoding can, and then says so.
        parser.feed(xml.encode("utf-8"))
        root: ElementTree.Element = parser.close()
    except ElementTree.ParseError as error:
        raise ValueError(f"domain XML cannot be read: {error}") from None
    except UnicodeEncodeError as error:
        raise ValueError(f"domain XML cannot be read: {error.reason}") from None
    return Description(
        title=_text(root.find("title")),
        os_type=_text(root.find("os/type")),
        os_type_arch=_attribute(root, "os/type", "arch"),
        os_type_machine=_attribute(root, "os/type", "machine"),
        membership=_membership(root),
        openstack=_openstack(root),
        disks=tuple({one.target: one for one in reversed([*_disks(root)])}.values())[::-1],
        interfaces=tuple({one.target: one for one in reversed([*_interfaces(root)])}.values())[
            ::-1
        ],
    )


def _membership(root: ElementTree.Element) -> Membership | None:
    path = f"metadata/{{{METADATA_NAMESPACE}}}domain"
    pool = _attribute(root, path, "pool")
    return Membership(pool, _attribute(root, path, "tier")) if pool else None


def _openstack(root: ElementTree.Element) -> OpenStack | None:
    metadata = root.find("metadata")
    for instance in () if metadata is None else metadata:
        namespace, brace, tag = instance.tag.rpartition("}")
        if tag == "instance" and namespace.startswith("{" + _NOVA_NAMESPACE):
            nova = namespace + brace
            user, project = f"{nova}owner/{nova}user", f"{nova}owner/{nova}project"
            return OpenStack(
                instance_name=_text(instance.find(f"{nova}name")),
                flavor=_attribute(instance, f"{nova}flavor", "name"),
                user_name=_text(instance.find(user)),
                user_id=_attribute(instance, user, "uuid"),
                project_name=_text(instance.find(project)),
                project_id=_attribute(instance, project, "uuid"),
                root_type=_attribute(instance, f"{nova}root", "type"),
                root_id=_attribute(instance, f"{nova}root", "uuid"),
            )
    return None


def _disks(root: ElementTree.Element) -> Iterator[Disk]:
    for disk in root.iterfind("devices/disk"):
        target = disk.find("target")
        name = "" if target is None else target.get("dev", "")
        if not name:
            continue
        yield Disk(
            target=name,
            kind=_cut(disk.get("type", "")),
            device=_cut(disk.get("device", "disk")),
            bus=_attribute(disk, "target", "bus"),
            driver=_attribute(disk, "driver", "name"),
            image_format=_attribute(disk, "driver", "type"),
            cache=_attribute(disk, "driver", "cache"),
            discard=_attribute(disk, "driver", "discard"),
            source=_source(disk.find("source")),
            protocol=_attribute(disk, "source", "protocol"),
            serial=_text(disk.find("serial")),
        )


def _source(source: ElementTree.Element | None) -> str:
    if source is None:
        return ""
    volume = source.get("volume")
    if volume:
        return _cut(f"{source.get('pool', '')}/{volume}")
    return _cut(next((found for key in _SOURCES if (found := source.get(key))), ""))


def _interfaces(root: ElementTree.Element) -> Iterator[Interface]:
    for interface in root.iterfind("devices/interface"):
        target = interface.find("target")
        name = "" if target is None else target.get("dev", "")
        if not name:
            continue
        yield Interface(
            target=name,
            kind=_cut(interface.get("type", "")),
            bridge=_attribute(interface, "source", "bridge"),
            mac=_attribute(interface, "mac", "address"),
            model=_attribute(interface, "model", "type"),
            mtu=_attribute(interface, "mtu", "size"),
            port=_attribute(interface, "virtualport/parameters", "interfaceid"),
        )


def _text(element: ElementTree.Element | None) -> str:
    return "" if element is None else _cut(element.text or "")


def _attribute(parent: ElementTree.Element, path: str, name: str) -> str:
    element = parent.find(path)
    return "" if element is None else _cut(element.get(name, ""))


def _cut(text: str) -> str:
    return text[:_MOST_CHARACTERS]
