"""Sockets that wait for clients: bound here, or handed over by systemd."""

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path

from collector.web.addresses import Address
from servicekit.lifecycle import StartError
from servicekit.metrics import listen_error

_BACKLOG = 128
_FIRST_HANDED_OVER = 3
"""By the protocol of sd_listen_fds(3)."""
_UNIX_MODE = 0o660
_OPTION = "--web.listen-address"
_NO_SUCH_FAMILY = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)


def listen(addresses: Iterable[Address]) -> list[socket.socket]:
    """Listens on all of `addresses`.

    Raises:
        StartError: one of them cannot be used; none is left open.

    """
    made: list[socket.socket] = []
    try:
        for address in addresses:
            made += [_unix(address.path)] if address.path else _tcp(address)
    except BaseException:
        close(made)
        raise
    return made


def handed_over(environ: MutableMapping[str, str], *, process: int) -> list[socket.socket]:
    """The sockets that systemd has opened for `process`; takes the note of them off `environ`.

    Raises:
        StartError: there are none, or one does not listen.

    """
    is_ours = environ.pop("LISTEN_PID", "") == str(process)
    count = environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if not is_ours or not count.isdigit() or int(count) == 0:
        raise StartError(
            "systemd has handed over no socket; start the service by its .socket unit, "
            "or leave --web.systemd-socket out"
        )
    made: list[socket.socket] = []
    for number in range(_FIRST_HANDED_OVER, _FIRST_HANDED_OVER + int(count)):
        try:
            one = socket.socket(fileno=number)
            made.append(one)
            is_listening = one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        except OSError as error:
            close(made)
            text = f"descriptor {number}, handed over by systemd, is no socket: {error.strerror}"
            raise StartError(text) from None
        if not is_listening or one.type != socket.SOCK_STREAM:
            close(made)
            raise StartError(
                f"descriptor {number}, handed over by systemd, does not listen; "
                "use ListenStream= and Accept=no in the .socket unit"
            )
        one.set_inheritable(False)
        one.setblocking(False)
    return made


def close(sockets: Iterable[socket.socket]) -> None:
    """Closes them, and removes the files of Unix sockets that were bound here."""
    for one in sockets:
        path = one.getsockname() if isinstance(one, _BoundPath) else None
        one.close()
        if path:
            with contextlib.suppress(OSError):
                Path(path).unlink()


def notify(environ: Mapping[str, str], state: str) -> None:
    """Tells systemd (sd_notify(3)), where it wants to know; nobody else."""
    path = environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.setblocking(False)
        one.sendto(state.encode(), "\0" + path[1:] if path[0] == "@" else path)


class _BoundPath(socket.socket):
    """A Unix socket whose file is ours to remove."""


def _tcp(address: Address) -> list[socket.socket]:
    """A socket per address of the host; for every address one that takes both families."""
    if not address.host:
        with contextlib.suppress(_NoSuchFamilyError):
            return [_bound(socket.AF_INET6, ("::", address.port), address, takes_both=True)]
        return [_bound(socket.AF_INET, ("0.0.0.0", address.port), address)]
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise _refused(address, error) from None
    made: list[socket.socket] = []
    missing: OSError | None = None
    for family, _, _, _, where in dict.fromkeys(found):
        try:
            made.append(_bound(family, where, address))
        except _NoSuchFamilyError as error:
            missing = error.cause
        except BaseException:
            close(made)
            raise
        if address.port == 0 and made:
            break  # Each would get another free port.
    if not made:
        raise _refused(address, missing or OSError(errno.EADDRNOTAVAIL, "no such address"))
    return made


class _NoSuchFamilyError(Exception):
    def __init__(self, cause: OSError) -> None:
        self.cause = cause


def _bound(
    family: int, where: tuple[object, ...], address: Address, *, takes_both: bool = False
) -> socket.socket:
    try:
        one = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise _NoSuchFamilyError(error) from None
    try:
        # After a kill -9 the old process's connections linger in TIME_WAIT for a minute.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not takes_both)
        one.bind(where)
        one.listen(_BACKLOG)
        one.setblocking(False)
    except OSError as error:
        one.close()
        if error.errno in _NO_SUCH_FAMILY:
            raise _NoSuchFamilyError(error) from None
        raise _refused(address, error) from None
    return one


def _unix(path: str) -> socket.socket:
    one = _BoundPath(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        one.bind(path)
        Path(path).chmod(_UNIX_MODE)
        one.listen(_BACKLOG)
        one.setblocking(False)
    except OSError as error:
        one.close()
        reason = error.strerror or error
        if error.errno == errno.EADDRINUSE:
            reason = "something is there already; stop what listens there, or choose another path"
        raise StartError(f"collector: cannot listen on unix:{path}: {reason}") from None
    return one


def _remove_stale(path: str) -> None:
    """A socket that nobody listens on was left by a process that was killed."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.setblocking(False)
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
        except OSError:
            return


def _refused(address: Address, error: OSError) -> StartError:
    host = address.host or "every address"
    return StartError(listen_error("collector", host, address.port, error, _OPTION))
