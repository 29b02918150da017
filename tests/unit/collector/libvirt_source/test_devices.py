import pytest

from collector.libvirt_source.devices import Devices, devices


def test_names_of_disks_and_interfaces() -> None:
    xml = """<domain><devices>
      <disk><target dev='vda'/></disk><disk><target dev='sda' bus='scsi'/></disk>
      <interface><target dev='vnet0'/></interface><interface><mac address='x'/></interface>
    </devices></domain>"""
    assert devices(xml) == Devices(("vda", "sda"), ("vnet0",))
    assert devices("<domain/>") == Devices()


def test_what_is_no_xml_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        devices("<domain>")
