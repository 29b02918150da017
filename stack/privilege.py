"""From root to the stack's own user, before anything is started."""

import contextlib
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from servicekit.lifecycle import StartError

USER = "virtscale"


def account() -> pwd.struct_passwd:
    """The stack's user.

    Raises:
        StartError: when it does not exist; says how to make it.

    """
    try:
        return pwd.getpwnam(USER)
    except KeyError:
        raise StartError(
            f"the system user {USER!r} does not exist, and virtual machines are not run as root; "
            f"make it with: useradd --system --user-group --home-dir /var/lib/virtscale "
            f"--shell /usr/sbin/nologin {USER}  (./run does it for you)"
        ) from None


def own(path: Path, user: pwd.struct_passwd) -> None:
    """Makes a state directory that root may create and the user owns.

    Raises:
        StartError: when it exists and belongs to somebody else.

    """
    if not path.exists():
        path.mkdir(mode=0o755, parents=True)
        os.chown(path, user.pw_uid, user.pw_gid)
    elif path.stat().st_uid != user.pw_uid:
        raise StartError(
            f"state directory {path} does not belong to the user {user.pw_name!r}, as which the "
            f"stack runs; give it away with: chown -R {user.pw_name}: {path}"
        )


@contextlib.contextmanager
def acting_as(user: pwd.struct_passwd) -> Iterator[None]:
    """For a while only: files that root would open in a directory of the user's could be links."""
    groups = os.getgroups()
    os.initgroups(user.pw_name, user.pw_gid)
    os.setegid(user.pw_gid)
    os.seteuid(user.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def drop(user: pwd.struct_passwd, *, home: Path) -> None:
    """Becomes the user for good, with a home and no trace of root's environment."""
    os.initgroups(user.pw_name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    os.environ.update(HOME=str(home), USER=user.pw_name, LOGNAME=user.pw_name, SHELL="/bin/sh")
    for name in list(os.environ):
        if name.startswith("XDG_") or name in ("SUDO_USER", "SUDO_UID", "SUDO_GID", "MAIL"):
            del os.environ[name]
    with contextlib.suppress(OSError):
        os.stat(".")
    if not os.access(".", os.R_OK | os.X_OK):
        # A current directory that only root may read makes children fail in odd ways.
        os.chdir(home)
