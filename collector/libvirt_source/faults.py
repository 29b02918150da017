"""What a person reads when libvirt cannot be read: what is wrong, where, and what to do. Pure."""

import re
from urllib.parse import urlsplit

from collector.libvirt_source import uri

_SSH_ADVICE = (
    (
        ("virt-ssh-helper:", "unix connect failed"),
        "is the daemon (libvirtd, or virtqemud) running there, and may this user read its socket?",
    ),
    (
        ("remote host identification has changed",),
        "is it still the same host? If so, put its new key (ssh-keyscan) into "
        "/etc/ssh/ssh_known_hosts instead of the old one",
    ),
    (
        ("host key verification failed", "no host key", "no ed25519 host key"),
        "compare the host's key (ssh-keyscan) with what the host itself says, and put it into "
        "/etc/ssh/ssh_known_hosts",
    ),
    (
        ("not accessible", "load key", "bad permissions"),
        "keyfile in the URI must be a private key that this user, and nobody else, can read",
    ),
    (
        ("permission denied", "authentication"),
        "no key of this user is let in: name the private one by keyfile in the URI, and put the "
        "public one into authorized_keys of the user there",
    ),
    (
        ("connection refused", "could not resolve", "no route", "timed out", "kex_exchange"),
        "check host and port in the URI, the way there, and that sshd runs there",
    ),
    (("cannot execute binary",), "install ssh where the collector runs"),
)
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
    advice = (*_SSH_ADVICE, *_ADVICE) if _is_by_ssh(url) else _ADVICE
    fix = next((fix for words, fix in advice if any(one in found for one in words)), None)
    text = f"libvirt at {uri.shown(url)}: {uri.shown(_in_one_line(message))}"
    return text if fix is None else f"{text}; {fix}"


def _is_by_ssh(url: str) -> bool:
    return bool(re.match(r"[a-z]+\+(ssh|libssh|libssh2):", url))


def _in_one_line(message: str) -> str:
    # ssh warns in a box of at signs.
    return " ".join(one for one in message.split() if one.strip("@"))


def silence(url: str, timeout_seconds: float) -> str:
    """No answer at all, within the time there was."""
    return (
        f"libvirt at {uri.shown(url)} gave no answer within {timeout_seconds:.2f} s; "
        f"{'is the host reached, and ' if _host(url) else 'is '}its daemon running and responsive?"
    )


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
