"""What `virtscale pool` writes down about a domain, in the domain. Pure.

Two elements of metadata. `urn:virtscale:domain:1` makes a domain a member of a pool, for every
service; the scaler writes it anew at every step. This one is read by nobody but `virtscale pool`
and says what that has done, so that it can be undone, whatever became of the first.
"""

from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

from stack.hypervisor import definition
from stack.hypervisor.domain_xml import METADATA_URI

RECORD_URI = "urn:virtscale:pool:1"
RECORD_KEY = "virtscale-pool"
OWNER = "virtscale"

Kind = Literal["adopted", "clone", "template"]
_KINDS: dict[str, Kind] = {"adopted": "adopted", "clone": "clone", "template": "template"}


@dataclass(frozen=True)
class Record:
    """What was done to a domain, or made for it."""

    kind: Kind
    pool: str = ""
    """Empty for a template: its clones say which pools it serves."""
    template: str = ""
    """Of a clone."""
    added: tuple[str, ...] = ()
    """Parts of the definition that taking the domain in has added, in that order."""
    overlays: tuple[str, ...] = ()
    """Files made for a clone and for nobody else."""
    stamps: tuple[str, ...] = ()
    """Of a template: when each of its disks was last written to, as `<nanoseconds> <path>`."""


def element(record: Record) -> ElementTree.Element:
    """The record as metadata of a definition."""
    return _element(record, f"{{{RECORD_URI}}}")


def text(record: Record) -> str:
    """The record as libvirt takes it when it sets one element of metadata."""
    return ElementTree.tostring(_element(record, ""), encoding="unicode")


def of(root: ElementTree.Element) -> Record | None:
    """The record in a definition; None: there is none, or none that we know."""
    found = root.find(f"metadata/{{{RECORD_URI}}}record")
    if found is None:
        return None
    kind = _KINDS.get(found.get("kind", ""))
    if kind is None:
        return None
    return Record(
        kind=kind,
        pool=found.get("pool", ""),
        template=found.get("template", ""),
        added=_values(found, "added"),
        overlays=_values(found, "overlay"),
        stamps=_values(found, "stamp"),
    )


def membership(root: ElementTree.Element) -> dict[str, str]:
    """The attributes by which services know a pool's domain; empty: it is in no pool."""
    found = root.find(f"metadata/{{{METADATA_URI}}}domain")
    return {} if found is None else dict(found.attrib)


def write(
    root: ElementTree.Element, attributes: dict[str, str] | None, record: Record | None
) -> None:
    """Replaces both elements of metadata; None removes one."""
    metadata, _ = definition.child(
        root, "metadata", after=("name", "uuid", "genid", "title", "description")
    )
    for tag in (f"{{{METADATA_URI}}}domain", f"{{{RECORD_URI}}}record"):
        for old in metadata.findall(tag):
            metadata.remove(old)
    if attributes is not None:
        metadata.append(ElementTree.Element(f"{{{METADATA_URI}}}domain", attributes))
    if record is not None:
        metadata.append(element(record))
    if not len(metadata):
        root.remove(metadata)


def _element(record: Record, namespace: str) -> ElementTree.Element:
    facts = {"kind": record.kind, "pool": record.pool, "template": record.template}
    facts = {name: value for name, value in facts.items() if value}
    made = ElementTree.Element(f"{namespace}record", facts)
    parts = {"added": record.added, "overlay": record.overlays, "stamp": record.stamps}
    for name, values in parts.items():
        for value in values:
            ElementTree.SubElement(made, namespace + name, {"value": value})
    return made


def _values(found: ElementTree.Element, name: str) -> tuple[str, ...]:
    # Set by itself, the element has no namespace on its way to libvirt and has one on its way back.
    return tuple(one.get("value", "") for one in found if one.tag.rpartition("}")[2] == name)


ElementTree.register_namespace(RECORD_KEY, RECORD_URI)
