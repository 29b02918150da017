"""What the scaler exports about alerts that reach it. What they do is in `scaler.telemetry`."""

from prometheus_client import CollectorRegistry, Counter

from scaler.alert_api import Receipt


class AlertTelemetry:
    """Counts notifications and questions. From any thread."""

    def __init__(self, pool: str, registry: CollectorRegistry) -> None:
        self._pool = pool
        self._notifications = Counter(
            "virtscale_scaler_alert_notifications",
            "Notifications by what became of them, from the webhook for Alertmanager.",
            ["pool", "result"],
            registry=registry,
        )
        self._truncated = Counter(
            "virtscale_scaler_alerts_truncated",
            "Alerts that Alertmanager left out of notifications (max_alerts), by its own count.",
            ["pool"],
            registry=registry,
        )
        self._questions = Counter(
            "virtscale_scaler_alert_resyncs",
            "Questions for the alerts that fire, by server and whether it answered.",
            ["pool", "server", "result"],
            registry=registry,
        )
        for receipt in Receipt:
            self._notifications.labels(pool, receipt.value)
        self._truncated.labels(pool)

    def received(self, receipt: Receipt, truncated: int) -> None:
        """A notification came."""
        self._notifications.labels(self._pool, receipt.value).inc()
        self._truncated.labels(self._pool).inc(truncated)

    def asked(self, server: str, is_answered: bool) -> None:
        """A server was asked."""
        result = "answered" if is_answered else "failed"
        self._questions.labels(self._pool, server, result).inc()
