"""The names of a domain's devices, where no bulk statistics tell them. Pure."""

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Devices:
    """Targets as the domain's XML names them, such as vda and vnet0."""

    disks: tuple[str, ...] = ()
    interfaces: tuple[str, ...] = ()


def devices(xml: str) -> Devices:
    """Reads a domain's XML.

    Raises:
        ValueError: the text is not XML.

    """
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise ValueError(f"domain XML cannot be read: {error}") from None
    return Devices(_targets(root, "disk"), _targets(root, "interface"))


def _targets(root: ElementTree.Element, kind: str) -> tuple[str, ...]:
    found = (one.get("dev", "") for one in root.iterfind(f"devices/{kind}/target"))
    return tuple(name for name in found if name)
