"""libvirt URIs: how they are shown, and where a modular daemon keeps its storage. Pure."""

import re
from urllib.parse import parse_qsl, urlencode, urlsplit

_DAEMON = re.compile(r"virt[a-z]+d-sock(-ro)?$")


def shown(url: str) -> str:
    """The URI as errors and logs may show it: without a password, should somebody have set one."""
    return re.sub(r"(?<=://)([^/@:]*):[^/@]*@", r"\1:***@", url)


def is_of_this_host(url: str) -> bool:
    """True when domains of `url` can have their QEMUs here: no other host is named.

    A socket may still be the end of a tunnel.
    """
    parts = urlsplit(url)
    return parts.scheme in ("qemu", "qemu+unix") and not parts.netloc


def of_storage_daemon(url: str) -> str | None:
    """The URI of virtstoraged on the host of `url`; None where there is none to be expected.

    With modular daemons (libvirt 5.6 and later) each kind of object has a daemon and a socket of
    its own, beside one another. The rest of the transport stays: `qemu+ssh://host/system` becomes
    `storage+ssh://host/system`.
    """
    parts = urlsplit(url)
    driver, plus, transport = parts.scheme.partition("+")
    if driver in ("test", "storage") or parts.path not in ("/system", "/session"):
        return None
    query = [
        (key, _DAEMON.sub(r"virtstoraged-sock\1", value) if key == "socket" else value)
        for key, value in parse_qsl(parts.query, keep_blank_values=True)
    ]
    if any(key == "socket" and "virtstoraged-sock" not in value for key, value in query):
        return None
    options = f"?{urlencode(query, safe='/')}" if query else ""
    return f"storage{plus}{transport}://{parts.netloc}{parts.path}{options}"
