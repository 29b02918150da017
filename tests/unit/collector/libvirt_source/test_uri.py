from typing import Any

import pytest

from collector.libvirt_source.uri import of_storage_daemon, shown


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("qemu:///system", "storage:///system"),
        ("qemu:///session", "storage:///session"),
        ("lxc:///system", "storage:///system"),
        ("qemu+ssh://me@host:22/system", "storage+ssh://me@host:22/system"),
        ("qemu+ssh://host/system?keyfile=/k", "storage+ssh://host/system?keyfile=/k"),
        (
            "qemu+unix:///system?socket=/run/libvirt/virtqemud-sock-ro",
            "storage+unix:///system?socket=/run/libvirt/virtstoraged-sock-ro",
        ),
        # A daemon for everything: there is no other to turn to.
        ("qemu+unix:///system?socket=/run/libvirt/libvirt-sock", None),
        ("test:///default", None),
        ("esx://host/", None),
        ("storage:///system", None),
    ],
)
def test_where_a_modular_host_keeps_its_storage(url: Any, expected: Any) -> None:
    assert of_storage_daemon(url) == expected


def test_a_password_is_not_shown() -> None:
    assert shown("qemu+tcp://me:secret@host/system") == "qemu+tcp://me:***@host/system"
    assert shown("qemu+ssh://me@host/system") == "qemu+ssh://me@host/system"
    assert shown("qemu:///system?socket=/a:b@c") == "qemu:///system?socket=/a:b@c"
