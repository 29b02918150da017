"""What an operator may set."""

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from collector.exposition import NameSet
from collector.records import DEFAULT_GROUPS, Group
from collector.web.addresses import Address, address
from servicekit.config import Contradiction, ContradictionError, Settings
from servicekit.logs import Format, Level

DEFAULT_TARGET = "default"
"""Name of the target that `url` sets."""
_URI = re.compile(r"[a-z][a-z0-9+.-]*://\S*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_LONGEST_PATTERN = 1000


def uri(value: str) -> str:
    """A libvirt URI.

    Raises:
        ValueError: it is none.

    """
    if not _URI.fullmatch(value):
        raise ValueError("must be a libvirt URI such as qemu:///system or test:///default")
    return value


def _target(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("must be a name of letters, digits, dots, hyphens and underscores")
    return value


def _pattern(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if len(value) > _LONGEST_PATTERN:
        raise ValueError(f"must have at most {_LONGEST_PATTERN} characters")
    try:
        return re.compile(value)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"must be a regular expression: {error}") from None


def _listed(value: Any) -> Any:
    """One where a list is expected: a list of one."""
    return (value,) if isinstance(value, str) else value


def _address(value: str) -> str:
    address(value)
    return value


def _separated(value: Any) -> Any:
    """`inovex,tinkoff` as on the command line."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


_Pattern = Annotated[re.Pattern[str], BeforeValidator(_pattern)]
_Addresses = Annotated[
    tuple[Annotated[str, AfterValidator(_address)], ...],
    BeforeValidator(_listed),
    Field(min_length=1),
]


class CollectorSettings(Settings):
    """Configuration of the collector."""

    url: Annotated[str, AfterValidator(uri)] | None = None
    """libvirt URI of the host to read; opened read-only. qemu:///system when there are no
    `targets` either."""
    targets: dict[Annotated[str, AfterValidator(_target)], Annotated[str, AfterValidator(uri)]] = (
        Field(default_factory=dict)
    )
    """Further libvirt URIs by name, each read at /probe?target=NAME. Without `url`, /metrics reads
    the first of them."""
    probe_allow: _Pattern | None = None
    """URIs that /probe?target=URI may read although they are not configured: those that match this
    regular expression as a whole."""
    listen_address: _Addresses = ("127.0.0.1:9177",)
    """HOST:PORT, :PORT for every address, or unix:PATH; one or a list. Port 0 takes a free one and
    logs it."""
    systemd_socket: bool = False
    """Listen on the sockets that systemd hands over, instead of `listen_address`."""
    web_config_file: Path | None = None
    """TLS, passwords and headers, in the format of Prometheus's exporters; read again when it or a
    file that it names changes."""
    max_requests: Annotated[int, Field(ge=0, le=1000)] = 40
    """Scrapes at one time; more are answered 503. 0 for no limit."""
    collectors: dict[Group, bool] = Field(default_factory=dict)
    """Which groups of metrics to switch on or off, against their defaults."""
    collector_defaults: bool = True
    """Whether groups are on that are on by default; else only those that `collectors` switches
    on."""
    domain_include: _Pattern | None = None
    """Only domains whose whole name matches this regular expression."""
    domain_exclude: _Pattern | None = None
    """No domains whose whole name matches this regular expression."""
    compat_names: Annotated[frozenset[NameSet], BeforeValidator(_separated)] = frozenset()
    """Exporters whose names for metrics are served beside ours: inovex, tinkoff, kumina."""
    timeout_seconds: Annotated[float, Field(ge=0.1, le=60)] = 5.0
    """Longest reading of libvirt; a shorter timeout of the scraper wins."""
    hedge_after_seconds: Annotated[float, Field(ge=0.02, le=30)] = 0.3
    """How long to wait for a query before asking again on another connection."""
    shards: Annotated[int, Field(ge=1, le=16)] | None = None
    """Connections among which the domains are divided; chosen by their number when not set."""
    loglevel: Level = "info"
    """debug, info, warning or error."""
    logfile: Path | None = None
    """File to append to; standard error when not set."""
    logformat: Format = "json"
    """json or text."""

    @model_validator(mode="after")
    def _agrees(self) -> "CollectorSettings":
        found = []
        if not self.groups:
            text = "no collector is switched on; switch one on with --collector.NAME"
            found.append(Contradiction(("collectors", "collector_defaults"), text))
        if self.url is not None and DEFAULT_TARGET in self.targets:
            text = f"targets: {DEFAULT_TARGET!r} is the name of `url`; give that target another"
            found.append(Contradiction(("url", "targets"), text))
        if self.systemd_socket and "listen_address" in self.model_fields_set:
            text = "listen_address and systemd_socket exclude each other; leave one out"
            found.append(Contradiction(("listen_address", "systemd_socket"), text))
        if found:
            raise ContradictionError(found)
        return self

    @property
    def groups(self) -> frozenset[Group]:
        """What is switched on."""
        begin = DEFAULT_GROUPS if self.collector_defaults else frozenset()
        on = {group for group, is_on in self.collectors.items() if is_on}
        off = {group for group, is_on in self.collectors.items() if not is_on}
        return frozenset((begin | on) - off)

    @property
    def uris(self) -> dict[str, str]:
        """All targets by name; the first is what /metrics reads."""
        if self.url is not None:
            return {DEFAULT_TARGET: self.url, **self.targets}
        return dict(self.targets) or {DEFAULT_TARGET: "qemu:///system"}

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where to listen."""
        return tuple(address(one) for one in self.listen_address)
