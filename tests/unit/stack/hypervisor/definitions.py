"""Definitions of domains that are not virtscale's, drawn and written down."""

from xml.etree import ElementTree

from hypothesis import strategies as st

PLAIN = """<domain type='kvm'>
  <name>golden</name><uuid>00000000-0000-4000-8000-000000000001</uuid>
  <metadata><o:info xmlns:o='urn:somebody'>kept</o:info></metadata>
  <memory unit='KiB'>1048576</memory><currentMemory unit='KiB'>524288</currentMemory>
  <vcpu current='1'>2</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <features><acpi/></features>
  <devices>{devices}</devices>
</domain>"""

_DISKS = st.sampled_from(
    [
        "<disk type='file' device='disk'><driver name='qemu' type='{format}' cache='none'/>"
        "<source file='/images/{target}.img'/><backingStore/><target dev='{target}'/></disk>",
        "<disk type='block' device='disk'><driver name='qemu' type='raw'/>"
        "<source dev='/dev/{target}'/><target dev='{target}'/></disk>",
        "<disk type='file' device='disk'><source file='/images/shared.img'/>"
        "<target dev='{target}'/><readonly/></disk>",
        "<disk type='file' device='cdrom'><target dev='{target}'/><readonly/></disk>",
    ]
)
_OTHERS = st.sampled_from(
    [
        "<interface type='network'><mac address='52:54:00:0a:0b:0c'/><source network='default'/>"
        "<target dev='mine'/></interface>",
        "<interface type='user'/>",
        "<channel type='unix'><source mode='bind' path='/run/golden.agent'/></channel>",
        "<serial type='pty'/>",
        "<serial type='file'><source path='/log/console.log'/></serial>",
        "<graphics type='vnc' port='5901' autoport='no'/>",
        "<vsock><cid auto='no' address='7'/></vsock>",
        "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>",
    ]
)
_SMBIOS = st.sampled_from(
    [
        ("", ""),
        ("<smbios mode='emulate'/>", ""),
        ("<smbios mode='sysinfo'/>", "<sysinfo type='smbios'><oemStrings><entry>theirs</entry>"
         "</oemStrings></sysinfo>"),
        ("", "<sysinfo type='smbios'><system><entry name='serial'>7</entry></system></sysinfo>"),
        ("", "<sysinfo type='fwcfg'><entry name='opt/theirs'>x</entry></sysinfo>"),
    ]
)  # fmt: skip


@st.composite
def definitions(draw: st.DrawFn) -> str:
    """Domains of many shapes that can be cloned and adopted."""
    disks = draw(st.lists(_DISKS, max_size=4))
    format_ = draw(st.sampled_from(["raw", "qcow2"]))
    parts = [
        disk.format(target=f"vd{chr(ord('a') + number)}", format=format_)
        for number, disk in enumerate(disks)
    ]
    parts += draw(st.lists(_OTHERS, max_size=6))
    smbios, information = draw(_SMBIOS)
    text = PLAIN.format(devices="".join(draw(st.permutations(parts))))
    return text.replace("</os>", f"{smbios}</os>{information}")


def same(xml: str) -> str:
    """Equal for definitions that differ in white space and prefixes only."""
    return ElementTree.canonicalize(xml, strip_text=True, rewrite_prefixes=True)
