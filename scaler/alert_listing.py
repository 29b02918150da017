"""Asks Alertmanager and Prometheus which alerts fire, so that a lost notification does no harm."""

import asyncio
import contextlib
import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import requests

from scaler.alert_messages import MessageError, read_alertmanager, read_prometheus
from scaler.alerts import Notice
from scaler.daemon_threads import DaemonThreads
from servicekit import logs
from servicekit.clock import Clock
from servicekit.lifecycle import Stop

_MAX_ANSWER_BYTES = 8 * 1_048_576
_CHUNK_BYTES = 65_536


class ListingError(Exception):
    """A server did not say which alerts fire. The text is for a person."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that lists alerts: its name in logs and metrics, where, and how it says so."""

    name: str
    url: str
    read: Callable[[Any], tuple[Notice, ...]]


def alertmanager(url: str) -> Server:
    """An Alertmanager; what is silenced or inhibited there does not count as firing."""
    query = "active=true&unprocessed=true&silenced=false&inhibited=false"
    return Server("alertmanager", f"{url.rstrip('/')}/api/v2/alerts?{query}", read_alertmanager)


def prometheus(url: str) -> Server:
    """A Prometheus; it knows of no silences."""
    return Server("prometheus", f"{url.rstrip('/')}/api/v1/alerts", read_prometheus)


class Desk(Protocol):
    """Takes listings; see `AlertDesk`."""

    def see(self, listed: Sequence[Notice], asked_at: float) -> int:
        """How many of them a rule is for."""
        ...


class Resynchronisation:
    """Asks every server every `seconds`, and at once when it begins."""

    def __init__(
        self,
        servers: Sequence[Server],
        desk: Desk,
        clock: Clock,
        *,
        seconds: float,
        timeout_seconds: float,
        changed: Callable[[], None],
        count: Callable[[str, bool], None] = lambda server, is_answered: None,
    ) -> None:
        self._servers = tuple(servers)
        self._desk = desk
        self._clock = clock
        self._seconds = seconds
        self._timeout_seconds = timeout_seconds
        self._changed = changed
        self._count = count
        self._session = requests.Session()
        self._session.trust_env = False
        self._threads = DaemonThreads(1, "alerts")
        self._logger = logs.get()
        self._failing: dict[str, str] = {}

    async def run(self, stop: Stop) -> None:
        """Until the end is requested."""
        while not stop.is_requested:
            await self.once()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._seconds)

    async def once(self) -> None:
        """Asks every server once. One that does not answer changes nothing."""
        for server in self._servers:
            asked_at = self._clock.monotonic()
            error = ""
            try:
                ask = functools.partial(self._ask, server)
                listed = await self._threads.call(ask, self._timeout_seconds * 2)
                if self._desk.see(listed, asked_at):
                    self._changed()
            except ListingError as failure:
                error = str(failure)
            except TimeoutError:
                error = "no answer in time"
            self._count(server.name, not error)
            if error != self._failing.get(server.name, ""):
                self._failing[server.name] = error
                tell = self._logger.warning if error else self._logger.info
                tell("alerts.listed", server=server.name, error=error or None)

    def close(self) -> None:
        """Ends the connections."""
        self._threads.close()
        self._session.close()

    def _ask(self, server: Server) -> tuple[Notice, ...]:
        try:
            with self._session.get(
                server.url, timeout=self._timeout_seconds, allow_redirects=False, stream=True
            ) as response:
                if response.status_code != 200:
                    raise ListingError(f"HTTP status {response.status_code}")
                content = bytearray()
                for chunk in response.iter_content(_CHUNK_BYTES):
                    content += chunk
                    if len(content) > _MAX_ANSWER_BYTES:
                        raise ListingError(f"the answer has more than {_MAX_ANSWER_BYTES} bytes")
            return server.read(_json(bytes(content)))
        except requests.Timeout:
            raise ListingError("no answer in time") from None
        except requests.ConnectionError:
            raise ListingError("cannot connect") from None
        except (requests.RequestException, MessageError) as error:
            raise ListingError(str(error)) from None


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise ListingError("the answer is not JSON") from None
