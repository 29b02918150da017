"""What the scaler exports about its decision store."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from scaler.entries import StoreState


class HistoryMetrics(Collector):
    """Asks the store at each scrape."""

    def __init__(self, registry: CollectorRegistry, state: Callable[[], StoreState]) -> None:
        self._state = state
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """All families."""
        state = self._state()
        yield GaugeMetricFamily(
            "virtscale_scaler_decision_store_bytes",
            "Size of the decision store's pages in use, from SQLite.",
            state.size_bytes,
        )
        yield CounterMetricFamily(
            "virtscale_scaler_decision_store_failures",
            "Writes of the decision store that failed; decisions go on without it.",
            state.failures,
        )
        yield CounterMetricFamily(
            "virtscale_scaler_decision_store_lost",
            "Entries of the decision store that were given up while it could not be written.",
            state.lost,
        )

    def describe(self) -> Iterator[Metric]:
        """Nothing: the store may not be open yet."""
        return iter(())
