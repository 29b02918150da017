from typing import Any

import pytest

from collector.libvirt_source import faults


@pytest.mark.parametrize(
    ("message", "word"),
    [
        ("Failed to connect socket to '/run/x': No such file or directory", "running"),
        ("Failed to connect socket to '/run/x': Permission denied", "unix_sock_ro_perms"),
        ("authentication unavailable: no polkit agent", "auth_unix_ro"),
        ("authentication failed: access denied by policy", "auth_unix_ro"),
        ("The server certificate is not trusted", "certificates"),
        ("no connection driver available for nonsense:///", "check the URI"),
        ("unable to connect to server at 'h:16509': Connection refused", "running"),
        ("Name or service not known", "host's name"),
        ("End of file while reading data: Host key verification failed.", "virsh"),
    ],
)
def test_an_error_names_the_uri_and_a_fix(message: Any, word: Any) -> None:
    text = faults.failure("qemu:///system", message)
    assert text.startswith(f"libvirt at qemu:///system: {message}; ")
    assert word in text


def test_an_error_nobody_knows_is_passed_on_as_it_is() -> None:
    assert faults.failure("u:///", "odd") == "libvirt at u:///: odd"


def test_no_error_shows_a_password() -> None:
    text = faults.failure("qemu+tcp://me:secret@h/", "no way to qemu+tcp://me:secret@h/")
    assert "secret" not in text + faults.silence("qemu+tcp://me:secret@h/", 1)
