"""What libvirt says when it does not let one in, and what is made of it."""

import pytest

from stack.hypervisor import refusals


@pytest.mark.parametrize(
    ("said", "fix"),
    [
        (
            "Failed to connect socket to '/var/run/libvirt/libvirt-sock': Permission denied",
            "usermod -aG libvirt ann",
        ),
        ("authentication unavailable: no polkit agent available", "usermod -aG libvirt ann"),
        (
            "Failed to connect socket to '/var/run/libvirt/libvirt-sock': No such file or "
            "directory",
            "systemctl start libvirtd",
        ),
        ("unable to connect to server at '127.0.0.1:1': Connection refused", "--url"),
        ("Cannot read CA certificate '/x/cacert.pem': No such file or directory", "over TLS"),
        ("no connection driver available for URI 'nonsense'", "qemu:///system"),
        ("libvirt did not answer within 15 s", "virsh -c 'qemu:///x' list"),
        ("something\nnever seen", "virsh -c 'qemu:///x' list"),
    ],
)
def test_each_reason_gets_its_fix_on_one_line(said: str, fix: str) -> None:
    text = refusals.explain(said, "qemu:///x", user="ann")

    assert text.startswith(" ".join(said.split()))
    assert fix in text
    assert "\n" not in text


def test_words_in_the_uri_do_not_choose_the_fix() -> None:
    url = "qemu+unix:///system?socket=/polkit/certificate"

    text = refusals.explain(f"libvirt at {url}: Connection refused", url, user="ann")

    assert "systemctl start libvirtd" in text
