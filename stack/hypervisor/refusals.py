"""What a person can do when a libvirt does not let the stack in. Pure: text to text."""

import re

_FIXES = (
    (
        r"certificate",
        "a libvirt over TLS needs certificates on this side (https://libvirt.org/kbase/tlscerts"
        ".html); qemu+ssh:// needs none",
    ),
    (
        r"permission denied|authenticat|polkit|access denied",
        "the user {user!r}, as whom the stack runs, may not use it: add that user to the group "
        "that owns libvirt's socket (usermod -aG libvirt {user}) and start again",
    ),
    (
        r"no such file or directory|connection refused|cannot assign|end of file|socket is closed",
        "no libvirtd listens there: start it (systemctl start libvirtd) or correct the URI given "
        "with --url",
    ),
    (
        r"did not answer|timed out|no route|unreachable|unable to resolve|could not resolve"
        r"|cannot recv data",
        "check the host in the URI given with --url and the way to it (virsh -c '{url}' list)",
    ),
    (
        r"no connection driver|unsupported|malformed|parse|invalid|missing",
        "this is no libvirt URI that can be used: give one such as qemu:///system with --url",
    ),
)
_OTHERWISE = "check the URI given with --url (virsh -c '{url}' list)"


def explain(reason: str, url: str, *, user: str) -> str:
    """One sentence: libvirt's reason, on one line, and the fix. `user` is who was refused."""
    said = " ".join(reason.split())
    # The URI itself, and a path in it, must not decide what kind of fault this is.
    cause = said.replace(url, "")
    fix = next((fix for words, fix in _FIXES if re.search(words, cause, re.I)), _OTHERWISE)
    return f"{said}; {fix.format(user=user, url=url)}"
