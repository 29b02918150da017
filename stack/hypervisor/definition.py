"""A domain's definition as a tree: read, written and compared. Pure."""

import re
from io import StringIO
from xml.etree import ElementTree

from stack.hypervisor.errors import HypervisorError

_RESERVED_PREFIX = re.compile(r"(ns\d+)?")


def parse(text: str) -> ElementTree.Element:
    """The tree of a definition, whose namespaces keep their prefixes when it is written again."""
    for _, (prefix, address) in ElementTree.iterparse(StringIO(text), events=["start-ns"]):
        if not _RESERVED_PREFIX.fullmatch(prefix):
            ElementTree.register_namespace(prefix, address)
    return ElementTree.fromstring(text)


def render(root: ElementTree.Element) -> str:
    """The definition as text, indented; the tree's white space changes."""
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def name_of(root: ElementTree.Element) -> str:
    """The domain's name."""
    return root.findtext("name") or ""


def child(parent: ElementTree.Element, tag: str, *, after: tuple[str, ...] = ()) -> tuple[
    ElementTree.Element, bool
]:  # fmt: skip
    """The child of that tag, and whether it had to be made; `after` says behind which others."""
    found = parent.find(tag)
    if found is not None:
        return found, False
    place = max(
        (index + 1 for index, one in enumerate(parent) if one.tag in after), default=len(parent)
    )
    made = ElementTree.Element(tag)
    parent.insert(place, made)
    return made, True


def need(root: ElementTree.Element, tag: str) -> ElementTree.Element:
    """The child that every definition has.

    Raises:
        HypervisorError: this one has not.

    """
    found = root.find(tag)
    if found is None:
        raise HypervisorError(f"the definition of {name_of(root)!r} has no <{tag}>")
    return found


def files_of(root: ElementTree.Element) -> set[str]:
    """Paths of the files and devices that the domain's disks are."""
    return {
        path
        for source in root.iterfind("devices/disk/source")
        if (path := source.get("file") or source.get("dev"))
    }
