"""What an operator may set."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from servicekit.config import Settings
from servicekit.logs import Format, Level

_URI = re.compile(r"[a-z][a-z0-9+.-]*://\S*")
_ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:]+\]|[^\s:]+):(?P<port>\d{1,5})")
_LAST_PORT = 65535


def _uri(value: str) -> str:
    if not _URI.fullmatch(value):
        raise ValueError("must be a libvirt URI such as qemu:///system or test:///default")
    return value


def _address(value: str) -> str:
    match = _ADDRESS.fullmatch(value)
    if match is None or int(match["port"]) > _LAST_PORT:
        raise ValueError("must be HOST:PORT such as 127.0.0.1:9177, with a port up to 65535")
    return value


class CollectorSettings(Settings):
    """Configuration of the collector."""

    url: Annotated[str, AfterValidator(_uri)] = "qemu:///system"
    """libvirt URI of the host to read; opened read-only."""
    listen_address: Annotated[str, AfterValidator(_address)] = "127.0.0.1:9177"
    """HOST:PORT of /metrics; port 0 takes a free one and logs it."""
    timeout_seconds: Annotated[float, Field(ge=0.1, le=60)] = 5.0
    """Longest reading of libvirt; a shorter timeout of the scraper wins."""
    hedge_after_seconds: Annotated[float, Field(ge=0.02, le=30)] = 0.3
    """How long to wait for a query before asking again on another connection."""
    loglevel: Level = "info"
    """debug, info, warning or error."""
    logfile: Path | None = None
    """File to append to; standard error when not set."""
    logformat: Format = "json"
    """json or text."""

    @property
    def host(self) -> str:
        """Host part of the listen address."""
        return self.listen_address.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """Port of the listen address."""
        return int(self.listen_address.rpartition(":")[2])
