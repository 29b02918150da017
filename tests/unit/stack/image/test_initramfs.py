from stack.image import initramfs


def test_an_archive_is_a_sequence_of_padded_records_that_ends_with_the_trailer() -> None:
    archive = initramfs.pack([initramfs.directory("bin"), initramfs.file("bin/x", b"hello")])

    assert len(archive) % 4 == 0
    assert archive.startswith(b"070701")
    names = [b"bin\0", b"bin/x\0", b"TRAILER!!!\0"]
    assert [archive.index(name) for name in names] == sorted(archive.index(n) for n in names)
    assert b"hello" in archive


def test_every_entry_belongs_to_root_and_has_no_time_so_that_equal_input_gives_equal_bytes() -> (
    None
):
    archive = initramfs.pack([initramfs.file("x", b"1", executable=True)])

    mode, uid, gid = (int(archive[start : start + 8], 16) for start in (14, 22, 30))
    assert (oct(mode), uid, gid) == ("0o100755", 0, 0)
    assert int(archive[46:54], 16) == 0


def test_a_link_holds_its_target_and_a_device_its_numbers() -> None:
    link = initramfs.pack([initramfs.link("bin/sh", "busybox")])
    console = initramfs.pack([initramfs.character_device("dev/console", 5, 1)])

    assert b"busybox" in link
    assert (int(console[78:86], 16), int(console[86:94], 16)) == (5, 1)
