"""Notices that the machine under this guest was exchanged: restored from disk, or moved.

The hypervisor then asks the network card to announce itself, and the kernel tells so on netlink.
Clocks do not show it: they stood still, too.
"""

import socket
import struct
from collections.abc import Iterator

_LINK_GROUP = 1
_MOST_BYTES = 65_536
# linux/netlink.h, linux/rtnetlink.h and linux/if_link.h
_NEW_LINK = 16
_LINK_HEADER_BYTES = 16
_EVENT = 44
_NOTIFY_PEERS = 4


class Announcements:
    """A socket that is readable when a network interface changed or was announced."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Begins to listen; where the kernel does not tell, nothing is ever readable."""
        try:
            opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        except (OSError, AttributeError):
            # The next heartbeat finds out as well, only later.
            return
        try:
            opened.setblocking(False)
            opened.bind((0, _LINK_GROUP))
        except OSError:
            opened.close()
            return
        self._socket = opened

    def file_descriptors(self) -> tuple[int, ...]:
        """What to poll."""
        return () if self._socket is None else (self._socket.fileno(),)

    def close(self) -> None:
        """Ends it."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def take(self) -> bool:
        """Whether an announcement was among what arrived since the last call."""
        found = False
        while self._socket is not None:
            try:
                data = self._socket.recv(_MOST_BYTES)
            except OSError:
                break
            found = found or is_announcement(data)
        return found


def is_announcement(data: bytes) -> bool:
    """Whether one of the netlink messages in `data` says that a network card announced itself."""
    place = 0
    while place + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, place)
        if length < 16:
            return False
        body = data[place + 16 + _LINK_HEADER_BYTES : place + length]
        if kind == _NEW_LINK and (_EVENT, _NOTIFY_PEERS) in _attributes(body):
            return True
        place += (length + 3) & ~3
    return False


def _attributes(data: bytes) -> Iterator[tuple[int, int]]:
    """Types and values of the attributes of four bytes."""
    place = 0
    while place + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, place)
        if length < 4:
            return
        if length == 8 and place + 8 <= len(data):
            yield kind, struct.unpack_from("=I", data, place + 4)[0]
        place += (length + 3) & ~3
