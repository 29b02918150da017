import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.domain_xml import Description, Disk, Interface, Membership, OpenStack, describe
from tests.unit.collector import records


def test_describes_a_domain_of_ours():
    found = describe(records.XML)
    assert found.title == 'Front "A"'
    assert (found.os_type, found.os_type_arch) == ("hvm", "x86_64")
    assert found.os_type_machine == "pc-q35-7.2"
    assert found.membership == Membership("default", "cold")
    assert found.openstack is None


def test_describes_a_domain_of_openstack():
    assert describe(records.XML_OF_NOVA).openstack == OpenStack(
        instance_name="name.of.instance.com",
        flavor="someflavor-8192",
        user_name="master_admin",
        user_id="240270fa2a3e4fd3baa6d6e776669b19",
        project_name="instance.com",
        project_id="3051f6f46d394ab98f55a0670ae5c70b",
        root_type="image",
        root_id="155e5ab9-d28c-48f2-bd8d-f193d0a6128a",
    )


def test_a_disk_has_its_source_wherever_that_is_written():
    disks = describe(records.XML_OF_NOVA).disks
    assert disks[0] == Disk(
        target="vda",
        kind="file",
        device="disk",
        bus="virtio",
        driver="qemu",
        image_format="qcow2",
        cache="none",
        discard="unmap",
        source="/var/lib/libvirt/images/full.qcow2",
        serial="5f1a922c",
    )
    assert [(one.target, one.source, one.protocol) for one in disks[1:]] == [
        ("sdb", "somepool/volume-5f1a922c", "rbd"),
        ("sdc", "/dev/mapper/lun0", ""),
        ("sdd", "default/data.img", ""),
        ("hdc", "", ""),
    ]


def test_an_interface_without_a_target_has_no_series_to_describe():
    assert describe(records.XML_OF_NOVA).interfaces == (
        Interface(
            target="tapa7e2fe95-a7",
            kind="bridge",
            bridge="br-int",
            mac="fa:16:3e:00:00:01",
            model="virtio",
            mtu="1450",
            port="a7e2fe95-a7cf-4bec-8180-d835cf342d72",
        ),
    )


def test_a_target_counts_once():
    disk = "<disk type='{}'><target dev='vda'/></disk>"
    found = describe(f"<domain><devices>{disk.format(1)}{disk.format(2)}</devices></domain>")
    assert [(one.target, one.kind) for one in found.disks] == [("vda", "1")]


@pytest.mark.parametrize(
    "metadata",
    [
        "",
        "<metadata/>",
        "<metadata><domain pool='p'/></metadata>",
        "<metadata><domain xmlns='urn:other:1' pool='p'/></metadata>",
        "<metadata><domain xmlns='urn:virtscale:domain:1' tier='cold'/></metadata>",
        "<metadata><instance/></metadata>",
        "<metadata><instance xmlns='http://openstack.example/nova'/></metadata>",
    ],
)
def test_a_domain_that_is_not_ours_belongs_to_no_pool(metadata):
    found = describe(f"<domain><name>x</name>{metadata}</domain>")
    assert (found.membership, found.openstack) == (None, None)


def test_the_default_namespace_is_understood():
    xml = "<domain><metadata><domain xmlns='urn:virtscale:domain:1' pool='p'/></metadata></domain>"
    assert describe(xml).membership == Membership("p", "")


def test_what_is_missing_is_empty():
    assert describe("<domain><devices><disk/><interface/></devices></domain>") == Description()


@pytest.mark.parametrize(
    "xml",
    [
        "",
        "<domain>",
        "no xml",
        "<domain>&undeclared;</domain>",
        "<domain>\udc80</domain>",
        "<domain>\x00</domain>",
    ],
)
def test_refuses_what_is_not_xml(xml):
    with pytest.raises(ValueError, match="domain XML cannot be read: "):
        describe(xml)


@pytest.mark.parametrize(
    "declaration",
    [
        "<!ENTITY lol 'lol'><!ENTITY lol2 '&lol;&lol;&lol;&lol;'>",
        "<!ENTITY file SYSTEM 'file:///etc/passwd'>",
        "<!ENTITY % remote SYSTEM 'http://192.0.2.1/x.dtd'> %remote;",
        "",
    ],
)
def test_refuses_entities_and_what_can_declare_them(declaration):
    xml = f"<!DOCTYPE domain [{declaration}]><domain><title>&lol2;</title></domain>"
    with pytest.raises(ValueError, match="document type"):
        describe(xml)


def test_a_text_that_is_too_long_is_cut():
    xml = f"<domain><title>{'x' * 4_000_000}</title></domain>"
    assert describe(xml).title == "x" * 512


def test_depth_and_number_do_no_harm():
    deep = "<a>" * 50_000 + "</a>" * 50_000
    many = "<disk><target dev='vda'/></disk>" * 20_000
    found = describe(f"<domain><metadata>{deep}</metadata><devices>{many}</devices></domain>")
    assert len(found.disks) == 1


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")))
def test_any_text_is_described_or_refused(text):
    for xml in (text, f"<domain><title>{text}</title></domain>"):
        try:
            found = describe(xml)
        except ValueError:
            continue
        assert isinstance(found, Description)
