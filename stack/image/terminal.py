"""One guest on the user's terminal, for looking inside: a shell, no worker, no libvirt."""

import os
import subprocess
from pathlib import Path

from stack.image import tools
from stack.image.build import latest
from stack.image.values import Image, ImageError


def command(image: Image, *, qemu: str, use_kvm: bool, memory_mib: int = 256) -> list[str]:
    """QEMU's command line: the serial console is the terminal, Ctrl-A x quits."""
    return [
        qemu, "-nodefaults", "-no-user-config", "-nographic", "-no-reboot",
        "-serial", "mon:stdio",
        "-machine", "q35", "-smp", "1", "-m", str(memory_mib),
        *(("-accel", "kvm", "-cpu", "host") if use_kvm else ("-accel", "tcg", "-cpu", "max")),
        "-kernel", str(image.kernel), "-initrd", str(image.initramfs),
        "-append", f"{image.kernel_arguments} virtscale.shell",
        "-drive", f"if=none,id=root,format=raw,readonly=on,file={_escaped(image.root)}",
        "-device", "virtio-blk-pci,drive=root",
        "-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile=",
    ]  # fmt: skip


def boot(state: Path, *, use_kvm: bool = False) -> int:
    """Boots the newest image until its shell ends or Ctrl-A x; QEMU's exit code.

    Raises:
        ImageError: when there is no image or no QEMU.

    """
    image = latest(state)
    if image is None:
        raise ImageError(
            f"there is no guest image in {state / 'image'}; build it with: virtscale image build"
        )
    arguments = command(image, qemu=tools.find("qemu-system-x86_64"), use_kvm=use_kvm)
    try:
        return subprocess.run(arguments, check=False, env=dict(os.environ)).returncode
    except KeyboardInterrupt:
        return 130


def _escaped(path: Path) -> str:
    # In QEMU's option lists a comma ends a value and a doubled one stands for itself.
    return str(path).replace(",", ",,")
