"""Who this scaler is: a name that it puts into the metadata of its domains, kept in `state_dir`.

Not the pool's name and not the host's: two scalers on one host may both be pointed at one pool.
"""

import os
import re
import secrets
import socket
from pathlib import Path

from servicekit.lifecycle import StartError

FILE_NAME = "identity"
_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}")


def own_identity(state_dir: Path) -> str:
    """The name in the directory, made at the first start. The caller holds the directory's lock.

    Raises:
        StartError: it can be neither read nor made. Going on under a new name would leave every
            domain to a scaler that is no more.

    """
    path = state_dir / FILE_NAME
    found = known_identity(state_dir)
    if found is not None:
        return found
    name = f"{_host()}-{secrets.token_hex(4)}"
    fresh = path.with_name(FILE_NAME + ".new")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            file.write(name + "\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        text = f"{path}: {error.strerror}; it must be writable at the first start"
        raise StartError(text) from None
    return name


def known_identity(state_dir: Path) -> str | None:
    """The name in the directory; None: no scaler has started with it yet.

    Raises:
        StartError: there is one that cannot be used.

    """
    path = state_dir / FILE_NAME
    try:
        name = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"{path} cannot be read: {error}; make it readable") from None
    if _FORM.fullmatch(name) is None:
        raise StartError(
            f"{path} holds no scaler's name; write the `scaler` of the domains' metadata into it, "
            "or remove it and adopt the domains (virtscale-scaler adopt --all)"
        )
    return name


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", socket.gethostname()).strip("-.")[:40] or "host"
