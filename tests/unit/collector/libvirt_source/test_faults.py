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
        ("End of file while reading data: virtproxyd", "virsh"),
    ],
)
def test_an_error_names_the_uri_and_a_fix(message: Any, word: Any) -> None:
    text = faults.failure("qemu:///system", message)
    assert text.startswith(f"libvirt at qemu:///system: {message}; ")
    assert word in text


@pytest.mark.parametrize(
    ("message", "word"),
    [
        ("me@blue: Permission denied (publickey).: Connection reset by peer", "authorized_keys"),
        (
            "Warning: Identity file /k not accessible: No such file or directory.\n"
            "me@blue: Permission denied (publickey).: Connection reset by peer",
            "keyfile in the URI",
        ),
        ("Host key verification failed.: Connection reset by peer", "compare the host's key"),
        (
            "WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!\nHost key verification failed.",
            "still the same host",
        ),
        ("ssh: connect to host blue port 22: Connection refused: Connection reset", "sshd runs"),
        ("ssh: Could not resolve hostname blue: Name or service not known", "check host and port"),
        ("cannot execute binary ssh: No such file or directory", "install ssh"),
        (
            "virt-ssh-helper: cannot connect to '/run/libvirt/libvirt-sock-ro': "
            "Failed to connect socket to '/run/libvirt/libvirt-sock-ro': No such file or directory",
            "running there",
        ),
        ("virt-ssh-helper: Failed to connect socket to '/s': Permission denied", "running there"),
    ],
)
def test_what_ssh_says_is_not_taken_for_what_the_daemon_would_say(message: Any, word: Any) -> None:
    """Messages of OpenSSH 9.2 and virt-ssh-helper 9.0, as they were heard."""
    text = faults.failure("qemu+ssh://me@blue/system", f"Cannot recv data: {message}")
    assert word in text
    assert "unix_sock_ro_perms" not in text


def test_a_warning_of_many_lines_becomes_one() -> None:
    box = "@" * 59
    text = faults.failure("qemu+ssh://h/system", f"{box}\r\n@    WARNING!     @\r\n{box}\r\nOdd.")
    assert text == "libvirt at qemu+ssh://h/system: WARNING! Odd."


def test_silence_of_a_host_elsewhere_may_be_that_of_the_way_there() -> None:
    assert "is the host reached" in faults.silence("qemu+ssh://h/system", 1)
    assert "is the host reached" not in faults.silence("qemu:///system", 1)


def test_an_error_nobody_knows_is_passed_on_as_it_is() -> None:
    assert faults.failure("u:///", "odd") == "libvirt at u:///: odd"


def test_no_error_shows_a_password() -> None:
    text = faults.failure("qemu+tcp://me:secret@h/", "no way to qemu+tcp://me:secret@h/")
    assert "secret" not in text + faults.silence("qemu+tcp://me:secret@h/", 1)
