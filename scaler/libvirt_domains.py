"""What libvirt says of one domain: its metadata as attributes, and the record made of them."""

from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import libvirt

from scaler.pool import DomainRecord, Lifecycle, Operation, OperationKind

METADATA_URI = "urn:virtscale:domain:1"
_METADATA_KEY = "virtscale"

_LIFECYCLES = {
    libvirt.VIR_DOMAIN_SHUTOFF: Lifecycle.OFF,
    libvirt.VIR_DOMAIN_SHUTDOWN: Lifecycle.STOPPING,
    libvirt.VIR_DOMAIN_PAUSED: Lifecycle.PAUSED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: Lifecycle.PAUSED,
    libvirt.VIR_DOMAIN_CRASHED: Lifecycle.CRASHED,
}
_OFF_CAUSES = {
    libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN: "shutdown",
    libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED: "destroyed",
    libvirt.VIR_DOMAIN_SHUTOFF_CRASHED: "crashed",
    libvirt.VIR_DOMAIN_SHUTOFF_FAILED: "failed",
    libvirt.VIR_DOMAIN_SHUTOFF_SAVED: "saved",
}


@dataclass(slots=True)
class Cached:
    """A domain's metadata as last read; None: it is not ours."""

    read_at: float
    attributes: dict[str, str] | None
    defined_generation: str = ""
    """The image that the next start boots: who defines a running domain anew changes only that."""
    memory_bytes: int = 0
    image_generation: str | None = None
    """The image that its saved memory is of; None: not read."""
    told: tuple[object, ...] = ()
    """What `record` was made from beside the metadata."""
    record: DomainRecord | None = None
    """The same object for as long as nothing has changed: who asks need not compare."""


def read(domain: Any, now: float) -> Cached:
    """The domain's metadata and what else is asked of it alone."""
    attributes = read_metadata(domain, libvirt.VIR_DOMAIN_AFFECT_CURRENT)
    if attributes is None:
        return Cached(now, None)
    memory_bytes = _memory_bytes(domain)
    defined = attributes
    if domain.isActive() and domain.isPersistent():
        defined = read_metadata(domain, libvirt.VIR_DOMAIN_AFFECT_CONFIG) or {}
    return Cached(now, attributes, defined.get("generation", ""), memory_bytes)


def image_generation_of(domain: Any) -> str:
    """What the metadata of the saved image say; empty: they cannot be read."""
    try:
        root = ElementTree.fromstring(domain.managedSaveGetXMLDesc(0))
    except (libvirt.libvirtError, ElementTree.ParseError):
        return ""
    element = root.find(f"metadata/{{{METADATA_URI}}}domain")
    return "" if element is None else element.get("generation", "")


def read_metadata(domain: Any, area: int) -> dict[str, str] | None:
    """Our metadata's attributes; None: it has none."""
    try:
        text = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, METADATA_URI, area)
    except libvirt.libvirtError as error:
        if error.get_error_code() in (
            libvirt.VIR_ERR_NO_DOMAIN_METADATA,
            libvirt.VIR_ERR_NO_DOMAIN,
        ):
            return None
        raise
    try:
        element = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return None
    return {name: value for name, value in element.attrib.items() if not name.startswith("{")}


def set_metadata(domain: Any, attributes: dict[str, str], area: int) -> None:
    """Replaces our metadata."""
    text = ElementTree.tostring(ElementTree.Element("domain", attributes), encoding="unicode")
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, text, _METADATA_KEY, METADATA_URI, area)


def record_of(name: str, fields: dict[str, Any], attributes: dict[str, str]) -> DomainRecord:
    """The domain as the scaler knows it, of its name, its state and its metadata."""
    state = fields.get("state.state", libvirt.VIR_DOMAIN_NOSTATE)
    lifecycle = _LIFECYCLES.get(state, Lifecycle.RUNNING)
    reason = fields.get("state.reason", 0)
    if (state, reason) == (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_STARTING_UP):
        # Every start passes through this for a moment.
        lifecycle = Lifecycle.RUNNING
    cause = _OFF_CAUSES.get(reason, "") if lifecycle is Lifecycle.OFF else ""
    if (state, reason) == (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_SAVE):
        cause = "saved"
    token = _number(attributes.get("token"))
    operation = _operation(attributes, int(token))
    generation = attributes.get("generation", "")
    return DomainRecord(name, lifecycle, cause, operation, int(token), generation)


def _operation(attributes: dict[str, str], token: int) -> Operation | None:
    try:
        kind = OperationKind(attributes.get("operation", ""))
    except ValueError:
        return None
    return Operation(kind, _number(attributes.get("operation_since")), token)


def _number(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0


def _memory_bytes(domain: Any) -> int:
    try:
        return int(domain.maxMemory()) * 1024
    except libvirt.libvirtError:
        return 0
