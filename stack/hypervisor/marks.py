"""Domains as `virtscale pool` sees them: definition, metadata and state, read and written."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

import libvirt

from stack.hypervisor import definition, domain_xml, pool_record
from stack.hypervisor.errors import HypervisorError
from stack.hypervisor.pool_record import Record

_ELEMENT = libvirt.VIR_DOMAIN_METADATA_ELEMENT
_LIVE, _CONFIG = libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG
_DEFINED = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
_STATES = {
    libvirt.VIR_DOMAIN_RUNNING: "running",
    libvirt.VIR_DOMAIN_BLOCKED: "running",
    libvirt.VIR_DOMAIN_PAUSED: "paused",
    libvirt.VIR_DOMAIN_PMSUSPENDED: "paused",
    libvirt.VIR_DOMAIN_SHUTDOWN: "stopping",
    libvirt.VIR_DOMAIN_CRASHED: "crashed",
}


Connection = libvirt.virConnect


class NoConnection(HypervisorError):
    """libvirt cannot be reached."""


@dataclass(frozen=True)
class Seen:
    """One domain."""

    domain: libvirt.virDomain
    name: str
    state: str
    """`running`, `paused`, `stopping`, `crashed`, `saved` or `off`."""
    xml: str
    """What the next start follows."""
    attributes: dict[str, str]
    """Its membership of a pool, as its definition says; empty: none."""
    record: Record | None

    @property
    def is_active(self) -> bool:
        """True when a QEMU runs it."""
        return self.state not in ("off", "saved")

    @property
    def pool(self) -> str:
        """The pool that it belongs to, or was made for."""
        made_for = self.record.pool if self.record else ""
        return self.attributes.get("pool", made_for)


def see(domain: libvirt.virDomain) -> Seen:
    """A domain as it is now."""
    xml = domain.XMLDesc(_DEFINED)
    root = definition.parse(xml)
    return Seen(
        domain=domain,
        name=domain.name(),
        state=_state(domain),
        xml=xml,
        attributes=pool_record.membership(root),
        record=pool_record.of(root),
    )


def see_all(connection: libvirt.virConnect) -> dict[str, Seen]:
    """Every domain by name."""
    found = {}
    for domain in connection.listAllDomains():
        # One that somebody removes at this moment is as good as not there.
        with contextlib.suppress(libvirt.libvirtError):
            found[domain.name()] = see(domain)
    return dict(sorted(found.items()))


def definition_of(connection: libvirt.virConnect, name: str) -> str | None:
    """What a domain's next start follows; None: there is none of that name."""
    try:
        return str(connection.lookupByName(name).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise
        return None


def define(connection: libvirt.virConnect, xml: str) -> libvirt.virDomain:
    """Gives a domain a definition."""
    return connection.defineXML(xml)


def mark(seen: Seen, attributes: dict[str, str] | None, record: Record | None) -> None:
    """Writes membership and record into what runs and into the definition; None removes one."""
    membership = None if attributes is None else _membership(attributes)
    written = None if record is None else pool_record.text(record)
    areas = [_CONFIG, *([_LIVE] if seen.domain.isActive() else [])]
    for area in areas:
        _set(seen.domain, membership, "virtscale", domain_xml.METADATA_URI, area)
        _set(seen.domain, written, pool_record.RECORD_KEY, pool_record.RECORD_URI, area)


@contextlib.contextmanager
def connected(uri: str) -> Iterator[libvirt.virConnect]:
    """A connection, whose errors become sentences.

    Raises:
        NoConnection: there is none, with libvirt's reason.
        HypervisorError: a call failed, with libvirt's reason.

    """
    # By default the library prints every error, beside our own.
    libvirt.registerErrorHandler(lambda *_: None, None)
    try:
        connection = libvirt.open(uri)
    except libvirt.libvirtError as error:
        raise NoConnection(f"libvirt at {uri}: {error}") from None
    try:
        yield connection
    except libvirt.libvirtError as error:
        raise HypervisorError(f"libvirt at {uri}: {error}") from None
    finally:
        with contextlib.suppress(libvirt.libvirtError):
            connection.close()


def _set(domain: libvirt.virDomain, text: str | None, key: str, uri: str, area: int) -> None:
    try:
        domain.setMetadata(_ELEMENT, text, key, uri, area)
    except libvirt.libvirtError as error:
        if text is not None or error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN_METADATA:
            raise


def _membership(attributes: dict[str, str]) -> str:
    return ElementTree.tostring(ElementTree.Element("domain", attributes), encoding="unicode")


def _state(domain: libvirt.virDomain) -> str:
    state = domain.state()[0]
    if state == libvirt.VIR_DOMAIN_SHUTOFF and domain.hasManagedSaveImage():
        return "saved"
    return _STATES.get(state, "off")
