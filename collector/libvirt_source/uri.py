"""How libvirt URIs are shown. Pure."""

import re


def shown(url: str) -> str:
    """The URI as errors and logs may show it: without a password, should somebody have set one."""
    return re.sub(r"(?<=://)([^/@:]*):[^/@]*@", r"\1:***@", url)


def is_of_this_host(url: str) -> bool:
    """True when domains of `url` can have their QEMUs here: no other host is named.

    A socket may still be the end of a tunnel.
    """
    return re.match(r"qemu(\+unix)?:(///|/[^/]|$)", url) is not None
