"""How the store writes: group sizes, commit times, bytes on disk."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_ROWS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
_SECONDS = (
    *(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05),
    *(0.1, 0.2, 0.5, 1, 2, 5, 10),
)


class StoreMetrics:
    """Observes commits; may be called from any thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._standing_by = Gauge(
            "virtscale_dispatcher_standing_by",
            "1 while this dispatcher waits for its store: another one is active on the same "
            "database, or the database does not answer yet. 0 once it is active.",
            registry=registry,
        )
        self._rows = Histogram(
            "virtscale_dispatcher_store_commit_rows",
            "Rows that share one transaction and one flush to the disk.",
            buckets=_ROWS,
            registry=registry,
        )
        self._seconds = Histogram(
            "virtscale_dispatcher_store_commit_seconds",
            "Wall time of one transaction, its flush to the disk included.",
            buckets=_SECONDS,
            registry=registry,
        )

    def show_sizes(self, sizes: "Callable[[], Mapping[str, float]]") -> None:
        """Exports bytes by kind of file, asked for at each scrape."""
        self._registry.register(_Sizes(sizes))

    def stands_by(self, is_standing_by: bool) -> None:
        """The dispatcher waits, or is active."""
        self._standing_by.set(is_standing_by)

    def committed(self, rows: int, seconds: float) -> None:
        """A transaction is on disk."""
        self._rows.observe(rows)
        self._seconds.observe(seconds)


def file_sizes(path: Path) -> Mapping[str, float]:
    """Bytes of a SQLite store's files, those that are there."""
    found = {}
    for name, file in {"database": path, "log": path.with_name(path.name + "-wal")}.items():
        try:
            found[name] = float(file.stat().st_size)
        except OSError:
            continue
    return found


class _Sizes(Collector):
    def __init__(self, sizes: Callable[[], Mapping[str, float]]) -> None:
        self._sizes = sizes

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "virtscale_dispatcher_store_size_bytes",
            "Size of the store: the database (in PostgreSQL its tables and indexes), and in SQLite "
            "the log of what is to move into it.",
            labels=["file"],
        )
        for name, size in self._sizes().items():
            family.add_metric([name], size)
        yield family
