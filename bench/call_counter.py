"""Counts the calls that pass between an exporter and libvirtd, by reading their heads.

A message of libvirt's protocol begins with seven words, most significant byte first: its length
with these words, program, version, procedure, type, serial and status. Type 0 is a call.
"""

import contextlib
import socket
import struct
import threading
from collections import Counter
from pathlib import Path

_HEAD = struct.Struct(">7I")
_REMOTE = 0x20008086
_CALL = 0
BULK = 344
"""The procedure virConnectGetAllDomainStats and virDomainListGetStats."""
_CHUNK = 1 << 16


class Calls:
    """Finds the calls in a stream of bytes that may be cut anywhere. Pure."""

    def __init__(self) -> None:
        self._left = 0
        self._buffer = b""

    def feed(self, data: bytes) -> list[int]:
        """The procedures of the calls that begin in these bytes.

        Raises:
            ValueError: this is not libvirt's protocol.

        """
        found: list[int] = []
        self._buffer += data
        while True:
            if self._left:
                skipped = min(self._left, len(self._buffer))
                self._buffer = self._buffer[skipped:]
                self._left -= skipped
            if self._left or len(self._buffer) < _HEAD.size:
                return found
            length, program, _, procedure, kind, _, _ = _HEAD.unpack_from(self._buffer)
            if length < _HEAD.size:
                raise ValueError(f"a message of {length} bytes")
            self._left = length
            if (program, kind) == (_REMOTE, _CALL):
                found.append(procedure)


class CallCounter:
    """A socket that stands before libvirtd's own. Used as a context manager."""

    def __init__(self, path: Path, upstream: Path) -> None:
        self.uri = f"qemu+unix:///session?socket={path}"
        self._upstream = str(upstream)
        self._lock = threading.Lock()
        self._counts: Counter[int] = Counter()
        self._sockets: list[socket.socket] = []
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()

    def __enter__(self) -> "CallCounter":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            for one in (self._server, *self._sockets):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()

    def take(self) -> Counter[int]:
        """Calls by procedure since the last time."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        return counts

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            daemon = socket.socket(socket.AF_UNIX)
            daemon.connect(self._upstream)
            with self._lock:
                self._sockets += [client, daemon]
            for source, target, calls in ((client, daemon, Calls()), (daemon, client, None)):
                threading.Thread(
                    target=self._pump, args=(source, target, calls), daemon=True
                ).start()

    def _pump(self, source: socket.socket, target: socket.socket, calls: Calls | None) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                if calls is not None:
                    found = calls.feed(data)
                    with self._lock:
                        self._counts.update(found)
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)
