"""How the store writes: group sizes, commit times, bytes on disk."""

from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_ROWS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
_SECONDS = (
    *(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05),
    *(0.1, 0.2, 0.5, 1, 2, 5, 10),
)


class StoreMetrics:
    """Observes commits; may be called from any thread."""

    def __init__(self, registry: CollectorRegistry, path: Path | None) -> None:
        """`path` is the store's file; None for one in memory, which has no size."""
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
        if path is not None:
            registry.register(_Sizes(path))

    def committed(self, rows: int, seconds: float) -> None:
        """A transaction is on disk."""
        self._rows.observe(rows)
        self._seconds.observe(seconds)


class _Sizes(Collector):
    def __init__(self, path: Path) -> None:
        self._files = {"database": path, "log": path.with_name(path.name + "-wal")}

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "virtscale_dispatcher_store_size_bytes",
            "Size of the store's files: the database, and the log of what is to move into it.",
            labels=["file"],
        )
        for name, path in self._files.items():
            try:
                family.add_metric([name], path.stat().st_size)
            except OSError:
                continue
        yield family
