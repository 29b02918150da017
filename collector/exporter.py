"""One scrape: read the host once, however many ask at that moment, and answer always."""

import threading
from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from collector.exposition import Facts, Format, Renderer
from collector.ports import DomainSource, SourceError
from collector.records import HostReading
from servicekit import logs
from servicekit.clock import Clock
from servicekit.metrics import StartResponse

_SCRAPE_TIMEOUT_HEADER = "HTTP_X_PROMETHEUS_SCRAPE_TIMEOUT_SECONDS"
_MARGIN_SECONDS = 0.15
"""What rendering and the way back may take of the scraper's timeout."""
_SHORTEST_SECONDS = 0.1


class _Flight:
    """One reading of the host and those that wait for it."""

    def __init__(self) -> None:
        self.landed = threading.Event()
        self.body = b""


class Exporter:
    """Answers scrapes from a source of domains. Called from many threads."""

    def __init__(
        self,
        source: DomainSource,
        clock: Clock,
        *,
        timeout_seconds: float,
        registry: CollectorRegistry,
    ) -> None:
        self._source = source
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._registry = registry
        self._renderer = Renderer()
        self._log = logs.get()
        self._lock = threading.Lock()
        self._flight: _Flight | None = None
        self._fault: str | None = "no reading yet"

    def fault(self) -> str | None:
        """Why the last reading failed; None when it did not. Reads nothing itself."""
        return self._fault

    def application(
        self, environ: dict[str, Any], start_response: StartResponse
    ) -> Iterable[bytes]:
        """WSGI application of /metrics: domains first, then this process's own metrics."""
        body = self.scrape(self._budget(environ.get(_SCRAPE_TIMEOUT_HEADER)))
        body += generate_latest(self._registry)
        start_response(
            "200 OK",
            [("Content-Type", Format.TEXT.content_type), ("Content-Length", str(len(body)))],
        )
        return [body]

    def scrape(self, timeout_seconds: float) -> bytes:
        """Text of one reading. Scrapes that overlap share one query of libvirt."""
        with self._lock:
            flight = self._flight
            leads = flight is None
            if flight is None:
                flight = self._flight = _Flight()
        if not leads:
            if flight.landed.wait(timeout_seconds):
                return flight.body
            return self._down(timeout_seconds)
        try:
            flight.body = self._read(timeout_seconds)
        finally:
            with self._lock:
                self._flight = None
            flight.landed.set()
        return flight.body

    def _read(self, timeout_seconds: float) -> bytes:
        began = self._clock.monotonic()
        reading: HostReading | None = None
        fault: str | None = None
        try:
            reading = self._source.read(timeout_seconds)
        except SourceError as error:
            fault = str(error)
        except Exception as error:  # whatever it is, Prometheus gets an answer that says down
            fault = f"unexpected {type(error).__name__}: {error}"
            self._log.exception("scrape.failed")
        self._note(fault)
        facts = Facts(self._clock.monotonic() - began, self._source.reconnects)
        return self._renderer.render(reading, facts, Format.TEXT)

    def _down(self, waited_seconds: float) -> bytes:
        facts = Facts(waited_seconds, self._source.reconnects)
        return self._renderer.render(None, facts, Format.TEXT)

    def _note(self, fault: str | None) -> None:
        """Logs changes only: at a scrape a second the log of a long outage would be noise."""
        before, self._fault = self._fault, fault
        if fault is not None and fault != before:
            self._log.warning("libvirt.unreachable", reason=fault)
        elif fault is None and before is not None:
            self._log.info("libvirt.reached")

    def _budget(self, header: str | None) -> float:
        """Seconds for the reading: ours, or less when the scraper gives up earlier."""
        try:
            asked = float(header) - _MARGIN_SECONDS if header else self._timeout_seconds
        except ValueError:
            asked = self._timeout_seconds
        return max(_SHORTEST_SECONDS, min(self._timeout_seconds, asked))
