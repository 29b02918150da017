"""What the exporter itself costs by the number of domains, of which libvirt is asked nothing.

`python -m bench.collector_growth REQUEST FILE`: REQUEST is JSON with `domains` and `scrapes`.
The child is the exporter with its own renderer and a made-up source, as a process of its own so
that its memory is its own; prometheus_client's renderer then writes the very same series.
"""

import gzip
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from bench.report import print_bars, print_rows
from bench.rig import Rig
from bench.synthetic_domains import SyntheticHost
from bench.usage import resident_bytes
from collector.records import DEFAULT_GROUPS, Group, HostReading

SIZES = (10, 30, 100, 300, 1_000, 3_000, 10_000)
QUICK_SIZES = (10, 100)
JUDGED = 1_000
_SECONDS = 600.0
_GZIP_LEVEL = 1
_VCPUS = 3
"""Makes 65 series per domain, with its disk and interface."""


def measure(rig: Rig, sizes: Iterable[int], scrapes: int) -> Iterator[dict[str, Any]]:
    """One point per size, each from a process of its own."""
    for size in sizes:
        asked = {"domains": size, "scrapes": scrapes}
        yield rig.report(f"growth-{size}", "bench.collector_growth", asked, _SECONDS)


def show(points: list[dict[str, Any]]) -> None:
    """Prints the table and a plot."""
    print("\nexporter alone, made-up domains, CPU ms per scrape")
    rows: list[tuple[str, ...]] = [
        ("domains", "series", "text", "OpenMetrics", "+ gzip", "us/domain", "resident MB", "peer")
    ]
    rows += [
        (
            f"{one['domains']:,}",
            f"{one['series']:,}",
            *(f"{one[key]:,.1f}" for key in ("text_ms", "openmetrics_ms", "zipped_ms")),
            f"{one['zipped_ms'] * 1000 / one['domains']:,.0f}",
            f"{one['resident_bytes'] / 1e6:,.0f}",
            f"{one['peer_ms']:,.1f}",
        )
        for one in points
    ]
    print_rows(rows)
    print("peer: prometheus_client writing the same series as OpenMetrics, nothing else")
    bars = [(f"{one['domains']:,}", one["zipped_ms"]) for one in points]
    print_bars("CPU of the exporter per scrape", bars, "ms")


def main() -> None:
    """Measures one size."""
    asked, path = json.loads(sys.argv[1]), Path(sys.argv[2])
    path.write_text(json.dumps(_point(asked["domains"], asked["scrapes"])))


def _point(domains: int, scrapes: int) -> dict[str, Any]:
    from prometheus_client import CollectorRegistry

    from collector.exporter import Exporter
    from collector.exposition import Format, Renderer
    from servicekit.clock import SystemClock

    source = _SyntheticSource(domains)
    exporter = Exporter(
        source,
        Renderer(frozenset()),
        SystemClock(),
        timeout_seconds=10.0,
        registry=CollectorRegistry(),
        groups=DEFAULT_GROUPS,
    )

    def scrape(form: Format) -> bytes:
        return exporter.scrape(10.0, form=form)

    spent = {}
    for name, form in (("text_ms", Format.TEXT), ("openmetrics_ms", Format.OPENMETRICS)):
        scrape(form)
        spent[name] = _milliseconds(partial(scrape, form), scrapes, lambda: source.spent_seconds)
    body = scrape(Format.OPENMETRICS)
    zipping = _milliseconds(lambda: gzip.compress(body, _GZIP_LEVEL), scrapes)
    # Before the peer comes, which keeps far more in memory.
    resident = resident_bytes(os.getpid())
    return {
        "domains": domains,
        "series": sum(1 for line in body.splitlines() if line and not line.startswith(b"#")),
        "bytes": len(body),
        **spent,
        "zipped_ms": spent["openmetrics_ms"] + zipping,
        "resident_bytes": resident,
        "peer_ms": _peer_milliseconds(scrape(Format.TEXT).decode(), min(scrapes, 5)),
    }


class _SyntheticSource:
    """See `collector.ports.Source`; notes what making the readings up has taken."""

    reconnects = 0

    def __init__(self, domains: int) -> None:
        self._host = SyntheticHost(domains, vcpus=_VCPUS)
        self.spent_seconds = 0.0

    def read(self, groups: frozenset[Group], timeout_seconds: float) -> HostReading:
        """The next reading, whatever is asked."""
        began = time.process_time()
        reading = self._host.reading()
        self.spent_seconds += time.process_time() - began
        return reading

    def close(self) -> None:
        """Nothing to end."""


def _milliseconds(
    act: Callable[[], object], times: int, not_counted: Callable[[], float] = lambda: 0.0
) -> float:
    """Median CPU time, less what `not_counted` grew meanwhile."""
    spent = []
    for _ in range(times):
        began = time.process_time() - not_counted()
        act()
        spent.append(time.process_time() - not_counted() - began)
    return statistics.median(spent) * 1000


def _peer_milliseconds(text: str, times: int) -> float:
    from prometheus_client import CollectorRegistry, Metric
    from prometheus_client.openmetrics.exposition import generate_latest
    from prometheus_client.parser import text_string_to_metric_families

    families = list(text_string_to_metric_families(text))

    class _Ready:
        def collect(self) -> Iterable[Metric]:
            return families

        def describe(self) -> Iterable[Metric]:
            return []

    registry = CollectorRegistry()
    registry.register(_Ready())
    render: Callable[[CollectorRegistry], bytes] = generate_latest
    return _milliseconds(partial(render, registry), times)


if __name__ == "__main__":
    main()
