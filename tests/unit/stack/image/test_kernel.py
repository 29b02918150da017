import gzip
import struct
from pathlib import Path

import pytest

from stack.image import kernel
from stack.image.values import ImageError

PVH_NOTE = struct.pack("<III", 4, 4, 18) + b"Xen\0"


def module(*needed: str) -> bytes:
    return b"\x7fELF..\0license=GPL\0depends=" + ",".join(needed).encode() + b"\0intree=Y\0"


def tree(directory: Path, modules: dict[str, bytes], builtin: str = "") -> kernel.Modules:
    for name, content in modules.items():
        (directory / name).write_bytes(content)
    (directory / "modules.builtin").write_text(builtin)
    return kernel.Modules(directory)


def bzimage(payload: bytes) -> bytes:
    head = bytearray(1024)
    head[0x1F1] = 1
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", head, 0x248, 0, len(payload))
    return bytes(head) + payload


def test_modules_load_after_what_they_need_each_once(tmp_path: Path) -> None:
    modules = tree(
        tmp_path,
        {
            "virtio_net.ko": module("virtio", "net_failover"),
            "net_failover.ko": module("failover"),
            "failover.ko": module(),
            "virtio.ko": module("virtio_ring"),
            "virtio_ring.ko": module(),
        },
    )

    order = modules.load_order(["virtio_net", "virtio"])

    assert order == ["virtio_ring", "virtio", "failover", "net_failover", "virtio_net"]


def test_built_in_and_already_loaded_modules_are_left_out(tmp_path: Path) -> None:
    modules = tree(
        tmp_path,
        {"virtio-rng.ko": module("rng_core", "virtio"), "virtio.ko": module()},
        builtin="kernel/drivers/char/hw_random/rng-core.ko\n",
    )

    assert modules.load_order(["virtio-rng"], loaded=["virtio"]) == ["virtio_rng"]


def test_a_missing_module_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no module 'virtio_blk'"):
        tree(tmp_path, {}).load_order(["virtio_blk"])


def test_compressed_modules_are_unpacked(tmp_path: Path) -> None:
    modules = tree(tmp_path, {"button.ko.gz": gzip.compress(module())})

    assert modules.load_order(["button"]) == ["button"]
    assert modules.content("button") == module()


def test_the_elf_kernel_is_taken_out_of_a_bzimage() -> None:
    elf = b"\x7fELF" + PVH_NOTE + b"code"

    assert kernel.extract(bzimage(gzip.compress(elf) + b"size")) == elf


@pytest.mark.parametrize(
    "image",
    [
        b"",
        b"MZ" * 1000,
        bzimage(b"unknown compression"),
        bzimage(gzip.compress(b"\x7fELF") + b"size"),
    ],
    ids=["empty", "no kernel", "unknown compression", "no PVH entry"],
)
def test_a_kernel_that_cannot_start_directly_is_left_as_it_is(image: bytes) -> None:
    assert kernel.extract(image) is None
