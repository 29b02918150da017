"""What the collector tells of itself, beside the process's own metrics."""

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from collector.pages import Pages
from collector.web.config_watch import ConfigWatch
from collector.web.guard import Guard
from collector.web.server import WebServer


class Refusals(Collector):
    """`virtscale_collector_web_refused_total` and the number of clients that had to make room."""

    def __init__(self, guard: Guard, server: WebServer) -> None:
        self._guard = guard
        self._server = server

    def collect(self) -> list[CounterMetricFamily]:
        """See prometheus_client."""
        refused = CounterMetricFamily(
            "virtscale_collector_web_refused",
            "Requests refused by the web config: its rate limit, certificates or passwords.",
            labels=["by"],
        )
        for kind, count in self._guard.refusals.items():
            refused.add_metric([kind], count)
        return [
            refused,
            CounterMetricFamily(
                "virtscale_collector_web_evictions",
                "Silent or slow clients that were closed because all places were taken.",
                value=self._server.evictions,
            ),
        ]


def register(
    registry: CollectorRegistry,
    *,
    config: ConfigWatch,
    guard: Guard,
    server: WebServer,
    pages: Pages,
) -> None:
    """Adds the web server's metrics to `registry`."""
    _gauge(
        registry,
        "virtscale_collector_web_config_current",
        "1 when the web config file and its certificates are in force as they are now, 0 when they "
        "cannot be used and the last good ones hold.",
    ).set_function(lambda: float(config.is_current))
    _gauge(
        registry,
        "virtscale_collector_web_config_read_timestamp_seconds",
        "When the web config in force was read.",
    ).set_function(lambda: config.read_at)
    if config.current.not_after is not None:
        _gauge(
            registry,
            "virtscale_collector_web_certificate_end_timestamp_seconds",
            "When the first of the certificates in force ends. Absent without TLS.",
        ).set_function(lambda: config.current.not_after or 0.0)
    _gauge(registry, "virtscale_collector_web_connections", "Clients connected now.").set_function(
        lambda: float(server.connections)
    )
    _gauge(
        registry, "virtscale_collector_web_scrapes", "Scrapes that are being made now."
    ).set_function(lambda: float(pages.scrapes_under_way))
    registry.register(Refusals(guard, server))


def _gauge(registry: CollectorRegistry, name: str, text: str) -> Gauge:
    return Gauge(name, text, registry=registry)
