"""One scrape: read the host once, however many ask at that moment, and answer always."""

import gzip
import threading
from collections.abc import Callable

from prometheus_client import CollectorRegistry

from collector.exposition import Facts, Format, Renderer
from collector.own_metrics import OwnMetrics
from collector.ports import Source, SourceError
from collector.records import DEFAULT_GROUPS, Group, HostReading
from servicekit import logs
from servicekit.clock import Clock

_SHORTEST_SECONDS = 0.1
_COMPRESSION_LEVEL = 1
"""Level 9 takes eight times as long for answers a fifth smaller."""
_END = b"# EOF\n"
_LAST_WORD = (
    b"# HELP libvirt_up Whether the host's statistics could be read.\n"
    b"# TYPE libvirt_up gauge\nlibvirt_up 0.0\n"
)
"""The answer when even the renderer fails."""


class _Flight:
    """One reading of the host, and those that wait for it or use what it brought."""

    def __init__(self, groups: frozenset[Group], deadline: float) -> None:
        self.groups = groups
        self.deadline = deadline
        self.landed = threading.Event()
        self.reading: HostReading | None = None
        self.facts = Facts(0.0, 0)
        self._lock = threading.Lock()
        self._bodies: dict[tuple[Format, bool, bool], bytes] = {}

    def body(
        self,
        form: Format,
        *,
        is_probe: bool,
        is_compressed: bool,
        make: Callable[[Format, bool], bytes],
    ) -> bytes:
        """The answer in that form; each form is made once."""
        with self._lock:
            plain = self._bodies.get((form, is_probe, False))
            if plain is None:
                plain = self._bodies[form, is_probe, False] = make(form, is_probe)
            if not is_compressed:
                return plain
            packed = self._bodies.get((form, is_probe, True))
            if packed is None:
                packed = gzip.compress(plain, _COMPRESSION_LEVEL, mtime=0)
                self._bodies[form, is_probe, True] = packed
            return packed


class Exporter:
    """Answers scrapes from one source of domains. Called from many threads."""

    def __init__(
        self,
        source: Source,
        renderer: Renderer,
        clock: Clock,
        *,
        timeout_seconds: float,
        registry: CollectorRegistry | None = None,
        groups: frozenset[Group] = DEFAULT_GROUPS,
    ) -> None:
        """`groups` is what is switched on; `registry` holds this process's own metrics."""
        self.timeout_seconds = timeout_seconds
        self.groups = groups
        self._source = source
        self._renderer = renderer
        self._clock = clock
        self._own_metrics = OwnMetrics(registry) if registry is not None else None
        self._log = logs.get()
        self._lock = threading.Lock()
        # A source reads for one caller at a time.
        self._turn = threading.Lock()
        self._flights: dict[frozenset[Group], _Flight] = {}
        self._fault: str | None = "no reading yet"
        self._rendering_fault: str | None = None
        self._render_seconds = 0.0
        self.sharing = 0
        """How many scrapes use a reading that another has begun."""

    def fault(self) -> str | None:
        """Why the last scrape failed; None when it did not. Reads nothing itself."""
        return self._fault or self._rendering_fault

    def close(self) -> None:
        """Ends the source's connections."""
        self._source.close()

    def scrape(
        self,
        timeout_seconds: float,
        groups: frozenset[Group] | None = None,
        form: Format = Format.TEXT,
        *,
        is_compressed: bool = False,
        is_probe: bool = False,
    ) -> bytes:
        """The whole answer: the domains, then, unless it is a probe, this process's own metrics.

        Scrapes that overlap and ask for the same groups share one reading, whatever form they want.
        Never raises: what cannot be read is an answer that says so.
        """
        wanted = self.groups if groups is None else groups
        began = self._clock.monotonic()
        flight, is_shared = self._flight(wanted, began + timeout_seconds)
        if flight is None:
            flight = _Flight(wanted, began)
            flight.facts = Facts(self._clock.monotonic() - began, self._source.reconnects)
        try:
            return flight.body(
                form,
                is_probe=is_probe,
                is_compressed=is_compressed,
                make=lambda asked, probes: self._render(flight, asked) + self._own(asked, probes),
            )
        finally:
            # Until the first answer is complete, who asks overlaps with who has asked.
            self._end(flight)
            self._share(-is_shared)

    def _flight(self, groups: frozenset[Group], deadline: float) -> tuple[_Flight | None, bool]:
        """A reading that has landed, and whether another began it.

        None when the time is up before one has.
        """
        while True:
            with self._lock:
                flight = self._flights.get(groups)
                leads = flight is None
                if flight is None:
                    flight = self._flights[groups] = _Flight(groups, deadline)
                self.sharing += not leads
            if leads:
                return self._lead(flight), False
            has_landed = flight.landed.wait(max(0.0, deadline - self._clock.monotonic()))
            # Who led may have had less time than this scrape has left.
            if has_landed and (flight.reading is not None or flight.deadline >= deadline):
                return flight, True
            self._share(-1)
            if not has_landed:
                return None, False

    def _share(self, change: int) -> None:
        with self._lock:
            self.sharing += change

    def _lead(self, flight: _Flight) -> _Flight:
        try:
            self._read(flight)
        finally:
            if flight.reading is None:
                self._end(flight)
            flight.landed.set()
        return flight

    def _end(self, flight: _Flight) -> None:
        """Nobody joins it any more."""
        with self._lock:
            if self._flights.get(flight.groups) is flight:
                del self._flights[flight.groups]

    def _read(self, flight: _Flight) -> None:
        began = self._clock.monotonic()
        fault: str | None = None
        left = flight.deadline - self._render_seconds - began
        if self._turn.acquire(timeout=max(_SHORTEST_SECONDS, left)):
            try:
                left = flight.deadline - self._render_seconds - self._clock.monotonic()
                flight.reading = self._source.read(flight.groups, max(_SHORTEST_SECONDS, left))
            except SourceError as error:
                fault = str(error)
            except Exception as error:  # whatever it is, Prometheus gets an answer that says down
                fault = f"unexpected {type(error).__name__}: {error}"
                if fault != self._fault:
                    self._log.exception("scrape.failed")
            finally:
                self._turn.release()
        else:
            fault = "a reading of other collectors took all the time there was"
        flight.facts = Facts(self._clock.monotonic() - began, self._source.reconnects)
        self._note(fault)

    def _render(self, flight: _Flight, form: Format) -> bytes:
        began = self._clock.monotonic()
        try:
            body = self._renderer.render(flight.reading, flight.facts, form, flight.groups)
            # Reckoned with when the next reading is given its time.
            self._render_seconds = self._clock.monotonic() - began
            self._rendering_fault = None
        except Exception as error:
            fault = f"unexpected {type(error).__name__} in rendering: {error}"
            if fault != self._rendering_fault:
                self._log.exception("rendering.failed")
            self._rendering_fault = fault
            body = self._without_a_reading(flight, form)
        return body

    def _without_a_reading(self, flight: _Flight, form: Format) -> bytes:
        """What can be said of a reading that cannot be rendered."""
        try:
            return self._renderer.render(None, flight.facts, form)
        except Exception:
            return _LAST_WORD

    def _own(self, form: Format, is_probe: bool) -> bytes:
        """The process's own metrics, and what ends an answer."""
        end = b"" if form is Format.TEXT else _END
        if self._own_metrics is None or is_probe:
            return end
        try:
            return self._own_metrics.text(form)
        except Exception:
            self._log.exception("own_metrics.failed")
            return end

    def _note(self, fault: str | None) -> None:
        """Logs changes only: at a scrape a second the log of a long outage would be noise."""
        before, self._fault = self._fault, fault
        if fault is not None and fault != before:
            self._log.warning("libvirt.unreachable", reason=fault)
        elif fault is None and before is not None:
            self._log.info("libvirt.reached")
