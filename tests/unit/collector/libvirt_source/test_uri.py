from collector.libvirt_source.uri import shown


def test_a_password_is_not_shown() -> None:
    assert shown("qemu+tcp://me:secret@host/system") == "qemu+tcp://me:***@host/system"
    assert shown("qemu+ssh://me@host/system") == "qemu+ssh://me@host/system"
    assert shown("qemu:///system?socket=/a:b@c") == "qemu:///system?socket=/a:b@c"
