"""Where to listen, as written: `HOST:PORT`, `:PORT`, `[::1]:PORT`, `unix:PATH`. Pure."""

import re
from dataclasses import dataclass

_TCP = re.compile(r"(?P<host>\[[0-9a-fA-F:.%a-z]+\]|[^\s:\[\]]*):(?P<port>\d{1,5})")
_UNIX = re.compile(r"unix:(?P<path>/\S+)")
_LAST_PORT = 65535
_LONGEST_PATH = 107
"""What the kernel's address of a Unix socket holds."""


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP address, or a Unix socket when `path` is set. An empty host is every address."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        """As it is written."""
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address(text: str) -> Address:
    """Reads an address.

    Raises:
        ValueError: it is none.

    """
    unix = _UNIX.fullmatch(text)
    if unix is not None:
        if len(unix["path"].encode()) > _LONGEST_PATH:
            raise ValueError(f"must have a path of at most {_LONGEST_PATH} bytes")
        return Address(path=unix["path"])
    tcp = _TCP.fullmatch(text)
    if tcp is None or int(tcp["port"]) > _LAST_PORT:
        raise ValueError(
            "must be HOST:PORT such as 127.0.0.1:9177, with a port up to 65535, :PORT or unix:PATH"
        )
    return Address(tcp["host"].strip("[]"), int(tcp["port"]))
