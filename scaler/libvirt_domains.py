"""What libvirt says of one domain: its metadata as attributes, and the record made of them."""

from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import libvirt

from scaler import domain_attributes
from scaler.domain_attributes import Attributes
from scaler.pool import DomainRecord, Lifecycle

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
    attributes: Attributes | None
    scaler: str = ""
    """The scaler that the domain belongs to; empty: none has claimed it."""
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
    next_start = defined(domain, attributes)
    scaler, generation = next_start.get("scaler", ""), next_start.get("generation", "")
    return Cached(now, attributes, scaler, generation, _memory_bytes(domain))


def defined(domain: Any, attributes: Attributes) -> Attributes:
    """The metadata of the definition, which says whose the domain is and what it boots.

    `attributes` are those of what runs; a restored guest's are of the day it was saved.
    """
    if domain.isActive() and domain.isPersistent():
        return read_metadata(domain, libvirt.VIR_DOMAIN_AFFECT_CONFIG) or {}
    return attributes


def image_generation_of(domain: Any) -> str:
    """What the metadata of the saved image say; empty: they cannot be read."""
    try:
        root = ElementTree.fromstring(domain.managedSaveGetXMLDesc(0))
    except (libvirt.libvirtError, ElementTree.ParseError):
        return ""
    element = root.find(f"metadata/{{{METADATA_URI}}}domain")
    return "" if element is None else element.get("generation", "")


def read_metadata(domain: Any, area: int) -> Attributes | None:
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
    return domain_attributes.parse(text)


def set_metadata(domain: Any, attributes: Attributes, area: int) -> None:
    """Replaces our metadata."""
    text = domain_attributes.render(attributes)
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, text, _METADATA_KEY, METADATA_URI, area)


def record_of(name: str, fields: dict[str, Any], attributes: Attributes) -> DomainRecord:
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
    operation, token = domain_attributes.operation(attributes), domain_attributes.token(attributes)
    generation = attributes.get("generation", "")
    return DomainRecord(name, lifecycle, cause, operation, token, generation)


def _memory_bytes(domain: Any) -> int:
    try:
        return int(domain.maxMemory()) * 1024
    except libvirt.libvirtError:
        return 0
