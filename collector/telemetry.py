"""What the collector tells of its web server, beside the process's own metrics."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


@dataclass(frozen=True, slots=True)
class WebState:
    """The web server at one moment."""

    is_config_current: bool
    """False while the web config file as it is now cannot be used."""
    config_read_at: float
    """Unix time at which what is in force was read."""
    certificate_ends_at: float | None
    """Unix time; None without TLS."""
    connections: int
    scrapes: int
    refusals: Mapping[str, int]
    """By what refused them."""
    evictions: int


class WebMetrics(Collector):
    """`virtscale_collector_web_*`, from the state at the moment of the scrape."""

    def __init__(self, state: Callable[[], WebState]) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client."""
        state = self._state()
        prefix = "virtscale_collector_web_"
        yield GaugeMetricFamily(
            f"{prefix}config_current",
            "1 when the web config file and the files it names are in force as they are now, 0 "
            "when they cannot be used and the last good ones hold.",
            float(state.is_config_current),
        )
        yield GaugeMetricFamily(
            f"{prefix}config_read_timestamp_seconds",
            "When the web config in force was read.",
            state.config_read_at,
        )
        if state.certificate_ends_at is not None:
            yield GaugeMetricFamily(
                f"{prefix}certificate_end_timestamp_seconds",
                "When the first of the certificates in force ends. Absent without TLS.",
                state.certificate_ends_at,
            )
        yield GaugeMetricFamily(
            f"{prefix}connections", "Clients that are connected now.", float(state.connections)
        )
        yield GaugeMetricFamily(
            f"{prefix}scrapes", "Scrapes that are being made now.", float(state.scrapes)
        )
        refused = CounterMetricFamily(
            f"{prefix}refused",
            "Requests refused by the web config: its rate limit, certificates or passwords.",
            labels=["by"],
        )
        for kind, count in state.refusals.items():
            refused.add_metric([kind], count)
        yield refused
        yield CounterMetricFamily(
            f"{prefix}evictions",
            "Silent or slow clients that were closed because all places were taken.",
            value=state.evictions,
        )
