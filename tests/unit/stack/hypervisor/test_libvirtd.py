import os
from pathlib import Path

import pytest

from stack.hypervisor import acceleration, libvirtd
from stack.hypervisor.errors import HypervisorError


def test_everything_the_daemon_writes_is_below_the_state_directory(tmp_path: Path) -> None:
    given = libvirtd.environment(tmp_path)

    places = {name: value for name, value in given.items() if name.startswith(("XDG_", "HOME"))}
    assert len(places) == 6
    assert all(Path(value).is_relative_to(tmp_path) for value in places.values())


def test_the_uri_names_the_socket_escaped(tmp_path: Path) -> None:
    assert libvirtd.uri(Path("/a b")) == (
        "qemu+unix:///session?socket=/a%20b/run/libvirt/libvirt-sock"
    )


def test_a_path_too_long_for_a_socket_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HypervisorError, match="too long"):
        libvirtd.write_config(tmp_path / ("x" * 100))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is refused")
def test_root_is_refused_because_its_libvirtd_would_be_the_systems(tmp_path: Path) -> None:
    with pytest.raises(HypervisorError, match="cannot be run by root"):
        libvirtd.libvirtd_command(tmp_path)


def test_cleaning_up_leaves_what_belongs_to_others(tmp_path: Path) -> None:
    run = tmp_path / "run" / "libvirt"
    run.mkdir(parents=True)
    for path in (run / "libvirt-sock", tmp_path / "run" / "dispatcher.pid"):
        path.touch()

    assert libvirtd.cleanup(tmp_path) == []
    assert not (run / "libvirt-sock").exists()
    assert (tmp_path / "run" / "dispatcher.pid").exists()


def test_the_probe_disk_is_one_that_firmware_boots() -> None:
    disk = acceleration.boot_disk()

    assert disk[510:512] == b"\x55\xaa"
    assert len(disk) >= 1 << 20
