"""A domain's definition as libvirt XML. Pure: the same specification gives the same text."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

METADATA_URI = "urn:virtscale:domain:1"
CREDENTIAL = "io.systemd.credential:virtscale."
CREDENTIAL_FILE = "opt/io.systemd.credentials/virtscale."

Kind = Literal["kvm", "tcg"]

# Without the features that an emulated CPU pays for at every boot and switch (SVM, XSAVE, SMAP) and
# with those that a guest needs to start at once: randomness, and what hashing uses.
_TCG_FEATURES = {
    "rdrand": "require",
    "ssse3": "require",
    "sse4.1": "require",
    "sse4.2": "require",
    "popcnt": "require",
    "svm": "disable",
}


@dataclass(frozen=True)
class DomainSpec:
    """One domain of a pool."""

    name: str
    pool: str
    tier: str
    generation: str
    kind: Kind
    kernel: Path
    initramfs: Path
    root: Path
    kernel_arguments: str
    console_log: Path
    """File that takes the serial console's output."""
    credentials: Mapping[str, str] = field(repr=False)
    """What the guest is told, by name: `dispatcher`, `worker-id`, `join-token`..."""
    credential_files: Mapping[str, Path] = field(default_factory=dict)
    """More of them, by name, in files that QEMU reads: what is in the definition is in its command
    line too, for everybody on the host to see."""
    owner: str = "virtscale"
    vcpus: int = 1
    memory_mib: int = 192
    network: str | None = None
    """A libvirt network; None is QEMU's user-mode network."""
    gives_files_away: bool = False
    """True where libvirt gives a domain's files to a user that QEMU runs as."""

    @property
    def mac_address(self) -> str:
        """A locally administered address that belongs to the name."""
        digits = hashlib.sha256(self.name.encode()).hexdigest()[:6]
        return ":".join(("52:54:00", digits[:2], digits[2:4], digits[4:]))


def definition_key(spec: DomainSpec) -> str:
    """Changes when the definition does. Says nothing about what is in it."""
    return hashlib.sha256(_render(spec, key="").encode()).hexdigest()[:16]


def render(spec: DomainSpec, *, identity: str = "") -> str:
    """The XML that defines the domain; `identity`: the UUID of one that is defined anew."""
    return _render(spec, key=definition_key(spec), identity=identity)


def key_of(xml: str) -> str:
    """The definition key in a domain's XML; empty when it carries none."""
    description = ElementTree.fromstring(xml).findtext("description") or ""
    return description.rpartition("definition ")[2] if "definition " in description else ""


def metadata(spec: DomainSpec) -> str:
    """The element by which the services know the pool's domains."""
    return ElementTree.tostring(_metadata(spec), encoding="unicode")


def _render(spec: DomainSpec, *, key: str, identity: str = "") -> str:
    domain = ElementTree.Element("domain", type="kvm" if spec.kind == "kvm" else "qemu")
    _text(domain, "name", spec.name)
    if identity:
        _text(domain, "uuid", identity)
    _text(domain, "title", f"virtscale pool {spec.pool}")
    _text(domain, "description", f"Made by virtscale; definition {key}")
    ElementTree.SubElement(domain, "metadata").append(_metadata(spec))
    _text(domain, "memory", str(spec.memory_mib), unit="MiB")
    _text(domain, "vcpu", str(spec.vcpus))
    _boot(domain, spec)
    features = ElementTree.SubElement(domain, "features")
    for name in ("acpi", "apic"):
        ElementTree.SubElement(features, name)
    if spec.kind == "tcg":
        ElementTree.SubElement(features, "smm", state="off")
    _cpu(domain, spec)
    clock = ElementTree.SubElement(domain, "clock", offset="utc")
    ElementTree.SubElement(clock, "timer", name="hpet", present="no")
    # A guest that ends for any reason ends its QEMU: only the scaler starts domains.
    for event in ("on_poweroff", "on_reboot", "on_crash"):
        _text(domain, event, "destroy")
    power = ElementTree.SubElement(domain, "pm")
    for name in ("suspend-to-mem", "suspend-to-disk"):
        ElementTree.SubElement(power, name, enabled="no")
    _devices(domain, spec)
    ElementTree.indent(domain)
    return ElementTree.tostring(domain, encoding="unicode")


def _metadata(spec: DomainSpec) -> ElementTree.Element:
    return ElementTree.Element(
        f"{{{METADATA_URI}}}domain",
        {
            "pool": spec.pool,
            "tier": spec.tier,
            "generation": spec.generation,
            "owner": spec.owner,
        },
    )


def _boot(domain: ElementTree.Element, spec: DomainSpec) -> None:
    system = ElementTree.SubElement(domain, "os")
    _text(system, "type", "hvm", arch="x86_64", machine="q35")
    _text(system, "kernel", str(spec.kernel))
    _text(system, "initrd", str(spec.initramfs))
    arguments = spec.kernel_arguments
    if spec.network is not None:
        arguments += " virtscale.network=dhcp"
    _text(system, "cmdline", arguments)
    ElementTree.SubElement(system, "smbios", mode="sysinfo")
    information = ElementTree.SubElement(domain, "sysinfo", type="smbios")
    strings = ElementTree.SubElement(information, "oemStrings")
    for name, value in sorted(spec.credentials.items()):
        _text(strings, "entry", f"{CREDENTIAL}{name}={value}")
    if spec.credential_files:
        configuration = ElementTree.SubElement(domain, "sysinfo", type="fwcfg")
        for name, path in sorted(spec.credential_files.items()):
            ElementTree.SubElement(
                configuration, "entry", name=f"{CREDENTIAL_FILE}{name}", file=str(path)
            )


def _cpu(domain: ElementTree.Element, spec: DomainSpec) -> None:
    if spec.kind == "kvm":
        ElementTree.SubElement(domain, "cpu", mode="host-passthrough", migratable="off")
        return
    cpu = ElementTree.SubElement(domain, "cpu", mode="custom", match="exact", check="none")
    _text(cpu, "model", "qemu64", fallback="forbid")
    for name, policy in _TCG_FEATURES.items():
        ElementTree.SubElement(cpu, "feature", policy=policy, name=name)


def _devices(domain: ElementTree.Element, spec: DomainSpec) -> None:
    devices = ElementTree.SubElement(domain, "devices")
    disk = ElementTree.SubElement(devices, "disk", type="file", device="disk")
    ElementTree.SubElement(disk, "driver", name="qemu", type="raw")
    source = ElementTree.SubElement(disk, "source", file=str(spec.root))
    if spec.gives_files_away:
        # All guests boot from this file: no guest's QEMU may come to own it, and so to write it.
        ElementTree.SubElement(source, "seclabel", model="dac", relabel="no")
    ElementTree.SubElement(disk, "target", dev="vda", bus="virtio")
    ElementTree.SubElement(disk, "readonly")
    ElementTree.SubElement(disk, "shareable")
    if spec.network is None:
        interface = ElementTree.SubElement(devices, "interface", type="user")
    else:
        interface = ElementTree.SubElement(devices, "interface", type="network")
        ElementTree.SubElement(interface, "source", network=spec.network)
    ElementTree.SubElement(interface, "mac", address=spec.mac_address)
    ElementTree.SubElement(interface, "model", type="virtio")
    # A network boot ROM would be read and run at every start.
    ElementTree.SubElement(interface, "rom", enabled="no")
    serial = ElementTree.SubElement(devices, "serial", type="file")
    ElementTree.SubElement(serial, "source", path=str(spec.console_log), append="on")
    ElementTree.SubElement(serial, "target", port="0")
    ElementTree.SubElement(devices, "controller", type="usb", model="none")
    balloon = ElementTree.SubElement(devices, "memballoon", model="virtio")
    ElementTree.SubElement(balloon, "stats", period="5")
    entropy = ElementTree.SubElement(devices, "rng", model="virtio")
    _text(entropy, "backend", "/dev/urandom", model="random")


def _text(parent: ElementTree.Element, tag: str, text: str, **attributes: str) -> None:
    ElementTree.SubElement(parent, tag, attributes).text = text


ElementTree.register_namespace("virtscale", METADATA_URI)
