"""What a person reads when libvirt cannot be read: what is wrong, where, and what to do. Pure."""

from collector.libvirt_source import uri

_ADVICE = (
    (
        ("permission denied",),
        "let this user reach the socket: unix_sock_ro_perms and unix_sock_group of the daemon",
    ),
    (
        ("authentication", "polkit", "access denied", "sasl"),
        "let this user read: auth_unix_ro of the daemon, its polkit rule "
        "org.libvirt.unix.monitor, or the client's SASL credentials",
    ),
    (
        ("certificate", "tls", "handshake"),
        "check the certificates of both sides, and pkipath in the URI",
    ),
    (
        ("no such file", "connection refused", "failed to connect socket"),
        "is the daemon (libvirtd, or virtqemud) running, and, in a container, its directory "
        "mounted rather than the socket?",
    ),
    (
        ("no connection driver", "unable to parse uri", "unexpected", "uri"),
        "check the URI: such as qemu:///system, qemu+ssh://user@host/system or lxc:///system",
    ),
    (
        ("unable to resolve", "name or service not known", "no route", "timed out"),
        "check the host's name and the way to it",
    ),
    (
        ("ssh", "end of file while reading", "host key"),
        "does the same URI work with virsh for this user, without a question being asked?",
    ),
)


def failure(url: str, message: str) -> str:
    """Libvirt's own message, with the URI it is about and the likeliest fix."""
    found = message.lower()
    fix = next((fix for words, fix in _ADVICE if any(one in found for one in words)), None)
    text = f"libvirt at {uri.shown(url)}: {uri.shown(message)}"
    return text if fix is None else f"{text}; {fix}"


def silence(url: str, timeout_seconds: float) -> str:
    """No answer at all, within the time there was."""
    return (
        f"libvirt at {uri.shown(url)} gave no answer within {timeout_seconds:.2f} s; "
        "is its daemon running and responsive?"
    )
