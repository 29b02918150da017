"""Ports for servers that a test stops and starts again on the same address.

Outside the ephemeral range: from there the kernel hands ports to anybody's outgoing connections,
and a server that is down for a moment may find its port taken. Of test processes that run side by
side each has a part of the range: between the look and the start, too, a port is one's own.
"""

import os
import random
import socket
from pathlib import Path

_LOWEST = 20_000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_given: set[int] = set()
"""No port is given twice: who asks for one after the other has not started a server yet."""


def free_ports(count: int = 1) -> int:
    """The first of `count` consecutive ports of 127.0.0.1 that nobody listens on."""
    lowest, end = _part()
    for _ in range(1000):
        first = random.randrange(lowest, end - count)
        ports = range(first, first + count)
        if _given.isdisjoint(ports) and all(map(_is_free, ports)):
            _given.update(ports)
            return first
    raise AssertionError(f"no {count} free ports from {lowest} to {end}")


def _part() -> tuple[int, int]:
    """Where this process looks: from the first to below the second."""
    end = min(32_768, int(_EPHEMERAL.read_text(encoding="ascii").split()[0]))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    size = (end - _LOWEST) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return _LOWEST + number * size, _LOWEST + (number + 1) * size


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
