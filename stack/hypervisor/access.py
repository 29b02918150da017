"""Whether the QEMU of a libvirt that is not the stack's own can read what its domains boot from.

A system libvirt runs QEMU as a user of its own. libvirt gives it the files, but not the way there:
every directory above must let that user pass.
"""

import contextlib
import os
import pwd
import re
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

import libvirt

from stack.hypervisor.errors import HypervisorError

_ENTER, _READ = 0o001, 0o004
_LABEL = re.compile(r"\+(\d+):\+(\d+)")


def qemu_user(connection: libvirt.virConnect) -> tuple[int, int] | None:
    """User and group id of QEMU there; None when it runs as the user of libvirtd itself.

    Raises:
        HypervisorError: with libvirt's reason.

    """
    try:
        capabilities = ElementTree.fromstring(connection.getCapabilities())
    except libvirt.libvirtError as error:
        raise HypervisorError(f"libvirt at {connection.getURI()}: {error}") from None
    for model in capabilities.iterfind("host/secmodel"):
        found = _LABEL.fullmatch(model.findtext("baselabel") or "")
        if model.findtext("model") == "dac" and found:
            return int(found[1]), int(found[2])
    return None


def open_to(user: tuple[int, int], *, files: Iterable[Path], directory: Path, state: Path) -> None:
    """Lets a user (user and group id) read the files and pass through the directory.

    The state directory gets the permission to pass, for others. To pass is not to list, and the
    directories of keys, jobs and sockets stay closed (0700).

    Raises:
        HypervisorError: when a directory above the state directory is closed; names the fix.

    """
    if user[0] in (0, os.geteuid()):
        return
    files = list(files)
    ways = dict.fromkeys(way for end in (*files, directory / "any") for way in _above(end))
    for way in ways:
        _open(way, _ENTER, state=state, user=user)
    for file in files:
        _open(file, _READ, state=state, user=user)


def _above(path: Path) -> list[Path]:
    return list(reversed(path.absolute().parents))


def _open(path: Path, wanted: int, *, state: Path, user: tuple[int, int]) -> None:
    status = path.stat()
    shift = 6 if status.st_uid == user[0] else 3 if status.st_gid == user[1] else 0
    if status.st_mode >> shift & wanted or _has_access_list(path):
        return
    if path == state or state in path.parents:
        with contextlib.suppress(OSError):
            path.chmod((status.st_mode & 0o7777) | wanted)
            return
    name = user_name(user[0])
    raise HypervisorError(
        f"that libvirt runs QEMU as the user {name!r}, who may not "
        f"{'enter' if wanted == _ENTER else 'read'} {path}; allow it with: "
        f"setfacl -m u:{name}:{'x' if wanted == _ENTER else 'r'} {path}  (or choose a state "
        "directory whose parents everybody may enter, with --state DIR)"
    )


def _has_access_list(path: Path) -> bool:
    # Reading the list would be much for little: who sets one has thought about who may enter.
    try:
        return bool(os.getxattr(path, "system.posix_acl_access"))
    except OSError:
        return False


def user_name(user: int) -> str:
    """The user's name; its number when it has none here."""
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
