import dataclasses
from pathlib import Path
from xml.etree import ElementTree

import pytest

from stack.hypervisor import domain_xml
from stack.hypervisor.domain_xml import DomainSpec

SPEC = DomainSpec(
    name="vs-1",
    pool="default",
    tier="cold",
    generation="sha256:ab",
    kind="tcg",
    kernel=Path("/s/kernel"),
    initramfs=Path("/s/initramfs"),
    root=Path("/s/root.ext4"),
    kernel_arguments="quiet",
    console_log=Path("/s/vs-1.log"),
    credentials={"worker-id": "vs-1", "join-token": "v1.secret"},
)


def parsed(spec: DomainSpec) -> ElementTree.Element:
    return ElementTree.fromstring(domain_xml.render(spec))


def attribute(root: ElementTree.Element, path: str, name: str) -> str | None:
    found = root.find(path)
    assert found is not None, path
    return found.get(name)


def test_the_root_disk_is_read_only_and_shared() -> None:
    disk = parsed(SPEC).find("devices/disk")

    assert disk is not None
    assert disk.find("readonly") is not None
    assert disk.find("shareable") is not None


def test_a_guest_that_ends_ends_its_domain() -> None:
    root = parsed(SPEC)

    assert {root.findtext(f"on_{event}") for event in ("poweroff", "reboot", "crash")} == {
        "destroy"
    }


def test_the_metadata_names_the_pool_and_the_image() -> None:
    element = parsed(SPEC).find(f"metadata/{{{domain_xml.METADATA_URI}}}domain")

    assert element is not None
    assert element.attrib == {
        "pool": "default", "tier": "cold", "generation": "sha256:ab", "owner": "virtscale"
    }  # fmt: skip


@pytest.mark.parametrize("name", ["a<b", 'a"b', "a&b"])
def test_what_the_user_names_is_escaped(name: str) -> None:
    spec = dataclasses.replace(
        SPEC, pool=name, root=Path(f"/s/{name}"), credentials={"dispatcher": name}
    )
    root = parsed(spec)

    assert attribute(root, "devices/disk/source", "file") == f"/s/{name}"
    assert root.findtext("sysinfo/oemStrings/entry") == (
        f"io.systemd.credential:virtscale.dispatcher={name}"
    )


def test_what_is_secret_may_stay_in_a_file_and_out_of_qemus_command_line() -> None:
    key = Path("/s/vs-1.key")
    root = parsed(dataclasses.replace(SPEC, credential_files={"tls-key": key}))

    entry = root.find("sysinfo[@type='fwcfg']/entry")
    assert entry is not None
    assert entry.attrib == {
        "name": "opt/io.systemd.credentials/virtscale.tls-key", "file": "/s/vs-1.key"
    }  # fmt: skip
    assert parsed(SPEC).find("sysinfo[@type='fwcfg']") is None


def test_kvm_uses_the_hosts_cpu_and_emulation_a_lean_one() -> None:
    kvm = parsed(dataclasses.replace(SPEC, kind="kvm"))
    tcg = parsed(SPEC)

    assert (kvm.get("type"), attribute(kvm, "cpu", "mode")) == ("kvm", "host-passthrough")
    assert (tcg.get("type"), tcg.findtext("cpu/model")) == ("qemu", "qemu64")


def test_a_libvirt_network_gives_addresses_by_dhcp() -> None:
    root = parsed(dataclasses.replace(SPEC, network="default"))

    assert attribute(root, "devices/interface/source", "network") == "default"
    assert (root.findtext("os/cmdline") or "").endswith(" virtscale.network=dhcp")
    assert attribute(parsed(SPEC), "devices/interface", "type") == "user"


def test_the_definition_key_changes_with_the_definition_only() -> None:
    other = dataclasses.replace(SPEC, memory_mib=256)

    assert domain_xml.key_of(domain_xml.render(SPEC)) == domain_xml.definition_key(SPEC)
    assert domain_xml.definition_key(SPEC) != domain_xml.definition_key(other)
    assert domain_xml.key_of("<domain><description>mine</description></domain>") == ""


def test_the_join_token_is_not_in_what_a_log_would_show() -> None:
    assert "v1.secret" not in repr(SPEC)


def test_every_domain_has_its_own_address() -> None:
    addresses = {dataclasses.replace(SPEC, name=f"vs-{n}").mac_address for n in range(50)}

    assert len(addresses) == 50
    assert all(address.startswith("52:54:00:") for address in addresses)
