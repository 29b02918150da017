"""The metrics about the store."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from dispatcher.jobs import JOB_STATES, Counts


class StoreTelemetry:
    """Counts what happens to the store."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._failures = Counter(
            "virtscale_dispatcher_store_failures_total",
            "Writes that the store could not do, each try counted.",
            registry=registry,
        )

        self._removed = Counter(
            "virtscale_dispatcher_removed",
            "Final jobs removed because the configured retention is over.",
            registry=registry,
        )
        self._writable = Gauge(
            "virtscale_dispatcher_store_writable",
            "1 while the store can be written; 0 after a failed write until one succeeds.",
            registry=registry,
        )
        self._writable.set(1)
        self._sound = Gauge(
            "virtscale_dispatcher_store_sound",
            "0 when the store's file was found to be damaged, else 1.",
            registry=registry,
        )
        self._sound.set(1)
        self._check = Gauge(
            "virtscale_dispatcher_store_check_seconds",
            "How long the check of the whole store after the start took; 0 until it has ended.",
            registry=registry,
        )
        self._opened = Gauge(
            "virtscale_dispatcher_store_opened_timestamp_seconds",
            "Unix time at which this process opened the store: what it counts began then.",
            registry=registry,
        )
        self._found = Gauge(
            "virtscale_dispatcher_jobs_found",
            "Jobs by state as this process found them in the store when it opened it. With them "
            "it is known what came between the start and the first scrape.",
            ["state"],
            registry=registry,
        )

    def opened(self, counts: Counts, at: float) -> None:
        """The store is open, with these jobs; `at` is Unix time."""
        for state in JOB_STATES:
            self._found.labels(state).set(getattr(counts, state))
        self._opened.set(at)

    def failed(self) -> None:
        """The store could not write."""
        self._failures.inc()

    def is_writable(self, is_writable: bool) -> None:
        """Writes fail, or succeed again."""
        self._writable.set(is_writable)

    def is_sound(self, is_sound: bool) -> None:
        """The file is damaged, or not."""
        self._sound.set(is_sound)

    def checked(self, seconds: float) -> None:
        """The check after the start has ended."""
        self._check.set(seconds)

    def removed(self, jobs: int) -> None:
        """Retention has removed jobs."""
        self._removed.inc(jobs)
