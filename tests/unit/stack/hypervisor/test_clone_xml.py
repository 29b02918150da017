from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.hypervisor import clone_xml, credentials, definition, pool_record
from stack.hypervisor.clone_xml import CloneSpec, template_disks
from stack.hypervisor.credentials import Credentials
from stack.hypervisor.errors import HypervisorError
from tests.unit.stack.hypervisor.definitions import PLAIN, definitions, same

_UUIDS = ("00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b")
_DISK = (
    "<disk type='file' device='disk'><driver name='qemu' type='raw'/>"
    "<source file='/images/a.img'/><target dev='vda'/></disk>"
)


def spec(xml: str, number: int = 0, **settings: object) -> CloneSpec:
    name = f"web-{number + 1}"
    overlays = {
        disk.target: f"/images/{clone_xml.overlay_name(name, disk.target)}"
        for disk in template_disks(xml, {})
    }
    given: dict[str, object] = {
        "name": name, "uuid": _UUIDS[number], "pool": "web", "template": "golden",
        "overlays": overlays,
    }  # fmt: skip
    return CloneSpec(**{**given, **settings})  # type: ignore[arg-type]


def cloned(devices: str, **settings: object) -> ElementTree.Element:
    xml = PLAIN.format(devices=devices)
    return definition.parse(clone_xml.clone(xml, spec(xml, **settings)))


def written(root: ElementTree.Element) -> set[str]:
    """What one QEMU alone may have open or be known by."""
    found = {root.findtext("name"), root.findtext("uuid")}
    for disk in root.iterfind("devices/disk"):
        source = disk.find("source")
        if source is not None and disk.find("readonly") is None:
            found |= set(source.attrib.values())
    paths = ("serial/source", "channel/source", "serial/log")
    for path in paths:
        found |= {one.get("path") or one.get("file") for one in root.iterfind(f"devices/{path}")}
    found |= {one.get("address") for one in root.iterfind("devices/interface/mac")}
    found |= {one.get("dev") for one in root.iterfind("devices/interface/target")}
    found |= {one.get("port") for one in root.iterfind("devices/graphics")} - {"-1"}
    found |= {one.get("address") for one in root.iterfind("devices/vsock/cid")}
    return {one for one in found if one} - {"bind"}


@given(definitions())
def test_no_two_share_what_one_alone_may_have(xml: str) -> None:
    roots = [definition.parse(xml)]
    roots += [definition.parse(clone_xml.clone(xml, spec(xml, number))) for number in (0, 1)]
    for index, root in enumerate(roots):
        for other in roots[index + 1 :]:
            assert not written(root) & written(other)


@given(definitions())
def test_a_clone_is_its_template_but_for_what_is_its_own(xml: str) -> None:
    root = definition.parse(clone_xml.clone(xml, spec(xml, has_instance_id=False)))
    template = definition.parse(xml)
    for one in (root, template):
        for path in ("name", "uuid", "metadata"):
            one.remove(definition.need(one, path))
        devices = definition.need(one, "devices")
        for tag in ("disk", "interface", "serial", "channel", "graphics", "vsock"):
            for device in devices.findall(tag):
                device.clear()
    assert same(definition.render(root)) == same(definition.render(template))


@given(definitions())
def test_every_disk_that_is_written_to_has_its_overlay_and_the_others_are_shared(xml: str) -> None:
    clone = spec(xml)
    root = definition.parse(clone_xml.clone(xml, clone))
    record = pool_record.of(root)
    assert record is not None
    assert record.overlays == tuple(clone.overlays.values())
    files = definition.files_of(root)
    assert set(record.overlays) <= files
    assert files - set(record.overlays) <= {"/images/shared.img"}
    for disk in root.iterfind("devices/disk"):
        driver, source = disk.find("driver"), disk.find("source")
        if source is not None and source.get("file") in record.overlays:
            assert driver is not None
            assert driver.get("type") == "qcow2"
            assert disk.find("backingStore") is None


@given(definitions())
def test_a_seed_image_is_one_more_disk_that_nobody_writes_to(xml: str) -> None:
    plain, seeded = (
        definition.parse(clone_xml.clone(xml, spec(xml, seed=seed))) for seed in ("", "/seed.iso")
    )
    (disk,) = (
        one
        for one in seeded.iterfind("devices/disk")
        if (source := one.find("source")) is not None and source.get("file") == "/seed.iso"
    )
    assert disk.find("readonly") is not None
    targets = [one.get("dev") for one in seeded.iterfind("devices/disk/target")]
    assert len(targets) == len(set(targets))
    record = pool_record.of(seeded)
    assert record is not None
    assert record.overlays[-1] == "/seed.iso"
    # All else is as without it.
    definition.need(seeded, "devices").remove(disk)
    for one in (plain, seeded):
        one.remove(definition.need(one, "metadata"))
    assert same(definition.render(seeded)) == same(definition.render(plain))


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ((), "disk vda virtio"),
        (("vda virtio", "sda sata"), "disk vdb virtio"),
        (("sda sata", "sdb sata"), "cdrom sdc sata"),
        (("sdb scsi",), "cdrom sda scsi"),
        (("sda usb",), "disk sdb usb"),
        (("hda ide", "hdc ide"), "cdrom hdb ide"),
        (("hda ",), "cdrom hdb ide"),
        (("fda fdc", "vda virtio"), "disk vdb virtio"),
        (("ubda uml",), "disk vda virtio"),
    ],
)
def test_the_seed_is_on_a_bus_that_the_guest_knows(targets: tuple[str, ...], expected: str) -> None:
    named = [one.partition(" ") for one in targets]
    disks = [
        f"<disk type='file' device='disk'><source file='/images/{dev}'/><target dev='{dev}'"
        + (f" bus='{bus}'" if bus else "")
        + "/></disk>"
        for dev, _, bus in named
    ]
    root = cloned("".join(disks), seed="/seed.iso")
    (disk,) = (one for one in root.iterfind("devices/disk") if one.find("readonly") is not None)
    target = definition.need(disk, "target")
    assert f"{disk.get('device')} {target.get('dev')} {target.get('bus')}" == expected


def test_a_full_bus_is_told() -> None:
    disks = "".join(
        f"<disk type='file' device='cdrom'><target dev='hd{letter}' bus='ide'/></disk>"
        for letter in "abcd"
    )
    with pytest.raises(HypervisorError, match="no room on its bus 'ide'"):
        cloned(disks, seed="/seed.iso")


def test_a_seed_image_goes_before_what_the_template_fetches() -> None:
    xml = PLAIN.format(devices=_DISK).replace(
        "</os>",
        "<smbios mode='sysinfo'/></os><sysinfo type='smbios'><system><entry name='serial'>"
        "ds=nocloud;s=http://192.0.2.1/;h=golden</entry></system></sysinfo>",
    )
    root = definition.parse(clone_xml.clone(xml, spec(xml, seed="/seed.iso")))
    serial = root.findtext("sysinfo/system/entry[@name='serial']")
    assert serial == f"ds=nocloud;i={_UUIDS[0]};h=web-1"


def test_media_that_clones_share_are_found() -> None:
    xml = PLAIN.format(
        devices="<disk type='file' device='cdrom'><source file='/old.iso'/>"
        f"<target dev='sda' bus='sata'/><readonly/></disk>{_DISK}"
        "<disk type='file' device='cdrom'><target dev='sdb' bus='sata'/><readonly/></disk>"
    )
    assert clone_xml.shared_media(xml) == [("sda", "/old.iso")]


@given(definitions(), st.integers(0, 100), st.integers(0, 100))
def test_interfaces_have_addresses_of_their_own(xml: str, one: int, other: int) -> None:
    first, second = (clone_xml.mac_address(_UUIDS[0], number) for number in (one, other))
    assert (first == second) == (one == other)
    assert first.startswith("52:54:00:")


def test_the_clones_guest_is_told_its_own_and_not_the_templates() -> None:
    xml = PLAIN.format(devices=_DISK)
    root = definition.parse(xml)
    credentials.add(
        root, Credentials({"worker-id": "golden", "join-token": "old"}, {"tls-key": "/k"})
    )
    xml = definition.render(root)
    told = Credentials({"worker-id": "web-1", "dispatcher": "h:1"})
    clone = definition.parse(clone_xml.clone(xml, spec(xml, credentials=told)))
    assert credentials.found(clone) == {"worker-id": "web-1", "dispatcher": "h:1"}


@pytest.mark.parametrize(
    ("serial", "then"),
    [
        (None, f"ds=nocloud;i={_UUIDS[0]};h=web-1"),
        ("ds=nocloud;s=http://192.0.2.1/;h=golden", "ds=nocloud;s=http://192.0.2.1/;"
         f"i={_UUIDS[0]};h=web-1"),
        ("of the owner", "of the owner"),
    ],
)  # fmt: skip
def test_cloud_init_learns_of_a_new_instance(serial: str | None, then: str) -> None:
    xml = PLAIN.format(devices=_DISK)
    if serial is not None:
        xml = xml.replace(
            "</os>",
            "<smbios mode='sysinfo'/></os><sysinfo type='smbios'><system><entry name='serial'>"
            f"{serial}</entry></system></sysinfo>",
        )
    root = definition.parse(clone_xml.clone(xml, spec(xml)))
    assert root.findtext("sysinfo/system/entry[@name='serial']") == then
    assert "serial" not in clone_xml.clone(
        PLAIN.format(devices=""), spec(xml, has_instance_id=False)
    )


def test_sizes_are_set_and_the_templates_uuid_is_nowhere() -> None:
    xml = PLAIN.format(devices=_DISK).replace(
        "</os>",
        "<loader type='pflash'>/fw.fd</loader><nvram template='/vars.fd'>/nv/golden.fd</nvram>"
        "<smbios mode='sysinfo'/></os><genid>00000000-0000-4000-8000-000000000001</genid>"
        "<sysinfo type='smbios'><system><entry name='uuid'>00000000-0000-4000-8000-000000000001"
        "</entry></system></sysinfo>",
    )
    text = clone_xml.clone(xml, spec(xml, memory_mib=2048, vcpus=4))
    root = definition.parse(text)
    assert (root.findtext("memory"), root.findtext("currentMemory")) == ("2048", "2048")
    count, nvram = root.find("vcpu"), root.find("os/nvram")
    assert count is not None
    assert (count.text, count.get("current")) == ("4", None)
    assert nvram is not None
    assert (nvram.text, nvram.get("template")) == (None, "/vars.fd")
    assert "00000000-0000-4000-8000-000000000001" not in text


@pytest.mark.parametrize(
    ("path", "own"),
    [
        ("/run/golden.agent", "/run/web-1.agent"),
        ("/log/console.log", "/log/console-web-1.log"),
        ("/log/console", "/log/console-web-1"),
    ],
)
def test_a_path_of_the_templates_becomes_the_clones(path: str, own: str) -> None:
    assert clone_xml.own_path(path, "golden", "web-1") == own


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("<hostdev mode='subsystem' type='pci'/>", "passes a device of the host through"),
        ("<tpm model='tpm-tis'><backend type='passthrough'/></tpm>", "TPM"),
        ("<interface type='hostdev'/>", "network card"),
        ("<disk type='network'><source protocol='rbd'/><target dev='vda'/></disk>", "'network'"),
        (_DISK.replace("'raw'", "'vmdk'"), "qemu-img convert"),
        (_DISK.replace("<source file='/images/a.img'/>", ""), "has no <source>"),
        (_DISK.replace("<target", "<encryption format='luks'/><target"), "is encrypted"),
    ],
)
def test_what_cannot_be_cloned_is_named(device: str, words: str) -> None:
    with pytest.raises(HypervisorError, match="'golden'") as caught:
        template_disks(PLAIN.format(devices=device), {})
    assert words in str(caught.value)


def test_a_volume_is_found_by_its_pool_and_name() -> None:
    xml = PLAIN.format(
        devices=_DISK.replace("'file'", "'volume'", 1).replace(
            "file='/images/a.img'", "pool='p' volume='v'"
        )
    )
    assert clone_xml.volumes_of(xml) == [("p", "v")]
    (disk,) = template_disks(xml, {("p", "v"): "/images/v"})
    assert (disk.target, disk.path, disk.format) == ("vda", "/images/v", "raw")
