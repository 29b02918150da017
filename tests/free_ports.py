"""Ports for servers that a test stops and starts again on the same address.

Outside the ephemeral range: from there the kernel hands ports to anybody's outgoing connections,
and a server that is down for a moment may find its port taken.
"""

import random
import socket
from pathlib import Path

_LOWEST = 20_000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_ports(count: int = 1) -> int:
    """The first of `count` consecutive ports of 127.0.0.1 that nobody listens on."""
    end = min(32_768, int(_EPHEMERAL.read_text(encoding="ascii").split()[0]))
    for _ in range(1000):
        first = random.randrange(_LOWEST, end - count)
        if all(_is_free(port) for port in range(first, first + count)):
            return first
    raise AssertionError(f"no {count} free ports from {_LOWEST} to {end}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
