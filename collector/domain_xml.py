"""What a domain's XML tells: identity, devices and the pool it belongs to. Pure."""

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

METADATA_NAMESPACE = "urn:virtscale:domain:1"


@dataclass(frozen=True, slots=True)
class Membership:
    """The pool that a domain belongs to, from our metadata."""

    pool: str
    tier: str


@dataclass(frozen=True, slots=True)
class Description:
    """What changes rarely: identity and pool."""

    title: str = ""
    os_type: str = ""
    os_type_arch: str = ""
    os_type_machine: str = ""
    membership: Membership | None = None


def describe(xml: str) -> Description:
    """Reads a domain's XML. Without our metadata, or with none that names a pool: no membership.

    Raises:
        ValueError: the text is not XML.

    """
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise ValueError(f"domain XML cannot be read: {error}") from None
    kind = root.find("os/type")
    ours = root.find(f"metadata/{{{METADATA_NAMESPACE}}}domain")
    pool = None if ours is None else ours.get("pool")
    return Description(
        title=root.findtext("title", ""),
        os_type="" if kind is None else (kind.text or ""),
        os_type_arch="" if kind is None else kind.get("arch", ""),
        os_type_machine="" if kind is None else kind.get("machine", ""),
        membership=None
        if ours is None or not pool
        else Membership(pool=pool, tier=ours.get("tier", "")),
    )
