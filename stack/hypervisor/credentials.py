"""What a domain's definition tells its guest, put in and taken out again. Pure.

systemd in the guest reads the SMBIOS OEM strings, and the files that QEMU shows as `fw_cfg`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from xml.etree import ElementTree

from stack.hypervisor import definition
from stack.hypervisor.domain_xml import CREDENTIAL, CREDENTIAL_FILE

_SMBIOS, _FWCFG = "sysinfo[@type='smbios']", "sysinfo[@type='fwcfg']"
_BEFORE_SYSINFO = (
    *("name", "uuid", "genid", "title", "description", "metadata", "iothreads", "memory"),
    *("currentMemory", "vcpu", "cputune", "resource", "sysinfo", "bootloader"),
)


@dataclass(frozen=True)
class Credentials:
    """Values by credential name, and paths of the files that hold values."""

    strings: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """Of all of them."""
        return {*self.strings, *self.files}


def found(root: ElementTree.Element) -> dict[str, str]:
    """Values of what a definition tells its guest, by credential name; of files, their paths."""
    told = {}
    for entry in root.iterfind(f"{_SMBIOS}/oemStrings/entry"):
        name, equals, value = (entry.text or "").strip().removeprefix(CREDENTIAL).partition("=")
        if equals and (entry.text or "").strip().startswith(CREDENTIAL):
            told[name] = value
    for entry in root.iterfind(f"{_FWCFG}/entry"):
        name = entry.get("name", "")
        if name.startswith(CREDENTIAL_FILE):
            told[name.removeprefix(CREDENTIAL_FILE)] = entry.get("file", "")
    return told


def add(root: ElementTree.Element, wanted: Credentials) -> tuple[str, ...]:
    """Puts in what is not there yet; what was added, as `remove` understands it."""
    present = set(found(root))
    added: list[str] = []
    strings = {name: value for name, value in wanted.strings.items() if name not in present}
    if strings:
        information = open_smbios(root, added)
        place, is_new = definition.child(information, "oemStrings")
        added += ["oemStrings"] if is_new else []
        for name, value in sorted(strings.items()):
            ElementTree.SubElement(place, "entry").text = f"{CREDENTIAL}{name}={value}"
            added.append(f"string:{name}")
    files = {name: path for name, path in wanted.files.items() if name not in present}
    if files:
        place = _of_type(root, "fwcfg", added)
        for name, path in sorted(files.items()):
            ElementTree.SubElement(place, "entry", name=CREDENTIAL_FILE + name, file=path)
            added.append(f"file:{name}")
    return tuple(added)


def remove(root: ElementTree.Element, added: Iterable[str]) -> None:
    """Takes out what `add` has added, and nothing that somebody else put there since."""
    parts = tuple(added)
    for part in reversed(parts):
        kind, _, name = part.partition(":")
        if kind == "string":
            _remove_entries(root, f"{_SMBIOS}/oemStrings", CREDENTIAL + name + "=")
        elif kind == "file":
            _remove_files(root, CREDENTIAL_FILE + name)
        elif kind == "oemStrings":
            _remove_if_empty(root.find(_SMBIOS), "oemStrings")
        elif kind == "sysinfo":
            _remove_if_empty(root, f"sysinfo[@type='{name}']")
        elif kind == "smbios" and (root.find(_SMBIOS) is None or "sysinfo:smbios" not in parts):
            _restore_mode(root, name)


def open_smbios(
    root: ElementTree.Element, added: list[str] | None = None
) -> ElementTree.Element:  # fmt: skip
    """The place for what SMBIOS tells the guest; `added` gets the parts of it that are new."""
    parts = [] if added is None else added
    smbios, is_new = definition.child(
        definition.need(root, "os"), "smbios", after=("type", "loader", "nvram", "boot", "bootmenu")
    )
    if smbios.get("mode") != "sysinfo":
        parts.append(f"smbios:{'' if is_new else smbios.get('mode', '')}")
        smbios.set("mode", "sysinfo")
    return _of_type(root, "smbios", parts)


def _of_type(root: ElementTree.Element, kind: str, added: list[str]) -> ElementTree.Element:
    present = root.find(f"sysinfo[@type='{kind}']")
    if present is not None:
        return present
    place = max(
        (index + 1 for index, one in enumerate(root) if one.tag in _BEFORE_SYSINFO), default=0
    )
    made = ElementTree.Element("sysinfo", type=kind)
    root.insert(place, made)
    added.append(f"sysinfo:{kind}")
    return made


def _remove_entries(root: ElementTree.Element, path: str, beginning: str) -> None:
    place = root.find(path)
    if place is None:
        return
    for entry in place.findall("entry"):
        if (entry.text or "").strip().startswith(beginning):
            place.remove(entry)


def _remove_files(root: ElementTree.Element, name: str) -> None:
    place = root.find(_FWCFG)
    if place is None:
        return
    for entry in place.findall("entry"):
        if entry.get("name") == name:
            place.remove(entry)


def _remove_if_empty(parent: ElementTree.Element | None, path: str) -> None:
    if parent is None:
        return
    one = parent.find(path)
    if one is not None and not len(one):
        parent.remove(one)


def _restore_mode(root: ElementTree.Element, mode: str) -> None:
    system = definition.need(root, "os")
    smbios = system.find("smbios")
    if smbios is None:
        return
    if mode:
        smbios.set("mode", mode)
    else:
        system.remove(smbios)
