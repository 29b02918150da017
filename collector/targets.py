"""The hosts that one process reads: those that are configured, and those that /probe may name."""

import contextlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qsl, urlsplit

from collector.exposition import Format
from collector.records import Group
from servicekit.clock import Clock

_MOST_GUESTS = 32
_IDLE_SECONDS = 900.0
_LONGEST_URI = 512
_HARMLESS_PARAMETERS = frozenset({"mode", "socket"})


class UnknownTargetError(Exception):
    """No such target, or none that may be read. The text is for who asked."""


class CrowdedError(Exception):
    """More targets at one time than there is room for."""


class Scraper(Protocol):
    """What is asked of a target's exporter."""

    def scrape(
        self,
        timeout_seconds: float,
        groups: frozenset[Group] | None = None,
        form: Format = Format.TEXT,
        *,
        is_compressed: bool = False,
        is_probe: bool = False,
    ) -> bytes:
        """See `Exporter.scrape`."""
        ...

    def close(self) -> None:
        """See `Exporter.close`."""
        ...


@dataclass
class _Guest:
    """An exporter of a URI that is not configured."""

    exporter: Scraper
    users: int = 0
    used_at: float = field(default=0.0)


class Targets:
    """Finds the exporter of a target. Called from many threads.

    Configured ones live as long as the process. Others are made when they are asked for, and closed
    when nobody has asked for a quarter of an hour or their place is wanted.
    """

    def __init__(
        self,
        configured: Mapping[str, Scraper],
        make: Callable[[str], Scraper],
        allow: re.Pattern[str] | None,
        clock: Clock,
    ) -> None:
        """`make` makes the exporter of a URI that `allow` matches as a whole."""
        self._configured = dict(configured)
        self._make = make
        self._allow = allow
        self._clock = clock
        self._lock = threading.Lock()
        self._guests: dict[str, _Guest] = {}

    @property
    def names(self) -> list[str]:
        """Of the configured targets; the first is the one of /metrics."""
        return list(self._configured)

    def check(self, asked: str) -> None:
        """Refuses what cannot be read, without making anything.

        Raises:
            UnknownTargetError: neither a configured name nor an allowed URI.

        """
        if asked not in self._configured:
            _check_uri(asked, self._allow, self.names)

    @contextlib.contextmanager
    def use(self, asked: str) -> Iterator[Scraper]:
        """The exporter of a name or URI that `check` lets pass.

        Raises:
            UnknownTargetError: see `check`.
            CrowdedError: all places of targets that are not configured are in use.

        """
        configured = self._configured.get(asked)
        if configured is not None:
            yield configured
            return
        self.check(asked)
        guest, closed = self._enter(asked)
        for one in closed:
            one.close()
        try:
            yield guest.exporter
        finally:
            with self._lock:
                guest.users -= 1
                guest.used_at = self._clock.monotonic()

    def close(self) -> None:
        """Closes all."""
        for exporter in (*self._configured.values(), *(one.exporter for one in self._taken())):
            exporter.close()

    def _enter(self, asked: str) -> tuple[_Guest, list[Scraper]]:
        """The guest, in use now, and those whose time is over."""
        with self._lock:
            now = self._clock.monotonic()
            idle = {uri: one for uri, one in self._guests.items() if not one.users and uri != asked}
            leaving = [uri for uri, one in idle.items() if now - one.used_at > _IDLE_SECONDS]
            if asked not in self._guests and len(self._guests) - len(leaving) >= _MOST_GUESTS:
                staying = idle.keys() - set(leaving)
                if not staying:
                    raise CrowdedError(f"{_MOST_GUESTS} targets are being read; try again later")
                leaving.append(min(staying, key=lambda uri: idle[uri].used_at))
            closed = [self._guests.pop(uri).exporter for uri in leaving]
            guest = self._guests.get(asked)
            if guest is None:
                guest = self._guests[asked] = _Guest(self._make(asked))
            guest.users += 1
            return guest, closed

    def _taken(self) -> list[_Guest]:
        with self._lock:
            taken, self._guests = list(self._guests.values()), {}
        return taken


def _check_uri(asked: str, allow: re.Pattern[str] | None, names: list[str]) -> None:
    """A URI from the network, allowed by the operator's pattern, must also be harmless.

    libvirt's URIs can name programs to run (`command=`, `netcat=`, the transport `ext`) and files
    to use, which whoever wrote a pattern for hosts has hardly meant to give away.
    """
    known = f"known targets: {', '.join(names)}"
    if allow is None:
        raise UnknownTargetError(f"no target is named {asked[:60]!r}; {known}")
    if len(asked) > _LONGEST_URI or not asked.isprintable() or not allow.fullmatch(asked):
        text = f"no target is named {asked[:60]!r}, nor does --probe.allow match it; {known}"
        raise UnknownTargetError(text)
    try:
        parts = urlsplit(asked)
        parameters = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
        host = parts.hostname or ""
    except ValueError:
        raise UnknownTargetError("the target is no libvirt URI") from None
    if not parts.scheme or "://" not in asked:
        raise UnknownTargetError("the target is no libvirt URI")
    refused = sorted({name for name in parameters if name not in _HARMLESS_PARAMETERS})
    # libvirt also separates parameters by semicolons.
    if refused or ";" in parts.query:
        raise UnknownTargetError(
            f"parameters of a URI ({', '.join(refused)[:60]}) are for configured targets only; "
            "add it to `targets` in the configuration"
        )
    user = (parts.username or "").lower()
    if parts.scheme.endswith("+ext") or host.startswith("-") or user.startswith("-"):
        raise UnknownTargetError("such a URI is for configured targets only")
