"""Every metric of the dispatcher. The gauges are computed at the scrape, from one snapshot."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client import Counter as CounterMetric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from dispatcher.access import Refusal
from dispatcher.distributions import Distribution
from dispatcher.effects import RequeueReason
from dispatcher.jobs import JOB_STATES, AttemptCause, Counts, FailureReason
from dispatcher.sessions import WorkerState, WorkerView
from dispatcher.store_telemetry import StoreTelemetry

_SECONDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000),
)
# 30 s is the goal that prometheus/rules/goal.yml counts against; a goal must be a bucket.
_WAIT_SECONDS = tuple(sorted((*_SECONDS, 30)))
_STATES = (WorkerState.READY, WorkerState.CORDONED, WorkerState.DRAINING)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The dispatcher at one instant."""

    counts: Counts
    oldest_ready_age: float
    workers: tuple[WorkerView, ...]


class Telemetry:
    """Counts events and shows snapshots."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._service = Distribution(
            "virtscale_dispatcher_job_service_seconds",
            "CPU time that finished jobs took inside their guests, as their workers reported it.",
            _SECONDS,
        )
        self._squares = CounterMetric(
            "virtscale_dispatcher_job_service_seconds_squared_total",
            "Sum of the squares of the service times: with the sum and the count it gives their "
            "exact spread, which the buckets only suggest. A run of short jobs counts by its mean.",
            registry=registry,
        )
        self._wait = Distribution(
            "virtscale_dispatcher_job_wait_seconds",
            "Wall time from a job's acceptance to its first lease, since this process started. "
            "Jobs from before that count, too, unless a worker may have had them already.",
            _WAIT_SECONDS,
        )
        for distribution in (self._service, self._wait):
            registry.register(distribution)
        self._count_failures(registry)
        self._overloaded = CounterMetric(
            "virtscale_dispatcher_overload_refused_total",
            "Jobs refused because too many were unfinished; a call that was refused unread counts "
            "as one.",
            registry=registry,
        )
        self._turned_away = CounterMetric(
            "virtscale_dispatcher_submits_turned_away_total",
            "SubmitJobs calls refused unread because too many others waited for the disk.",
            registry=registry,
        )
        self._count_access(registry)
        self._malformed = CounterMetric(
            "virtscale_dispatcher_results_refused_total",
            "Results refused because they cannot be the hash of their job.",
            registry=registry,
        )
        self.store = StoreTelemetry(registry)

    def _count_failures(self, registry: CollectorRegistry) -> None:
        self._requeued = CounterMetric(
            "virtscale_dispatcher_requeued_total",
            "Leases whose jobs went back to the ready ones, by reason.",
            ["reason"],
            registry=registry,
        )
        for reason in RequeueReason:
            self._requeued.labels(reason.value)
        self._attempts = CounterMetric(
            "virtscale_dispatcher_attempts",
            "Failed attempts at jobs, by cause. What is nobody's fault costs no attempt.",
            ["cause"],
            registry=registry,
        )
        for cause in AttemptCause:
            self._attempts.labels(cause.name.lower())
        self._given_up = CounterMetric(
            "virtscale_dispatcher_given_up",
            "Jobs that failed, by reason; attempts_exhausted are the dead letters.",
            ["reason"],
            registry=registry,
        )
        for failure in FailureReason:
            self._given_up.labels(failure.name.lower())

    def _count_access(self, registry: CollectorRegistry) -> None:
        self._hello_refused = CounterMetric(
            "virtscale_dispatcher_hello_refused_total",
            "Sessions refused because of a wrong join token.",
            registry=registry,
        )
        self._access_refused = CounterMetric(
            "virtscale_dispatcher_access_refused_total",
            "Calls and sessions refused for want of a credential or a role, by kind.",
            ["kind"],
            registry=registry,
        )
        for refusal in Refusal:
            self._access_refused.labels(refusal.value)
        self._expiry = Gauge(
            "virtscale_dispatcher_certificate_expiry_timestamp_seconds",
            "Unix time at which the first certificate of a listener ends: its own, or a CA's.",
            ["listener"],
            registry=registry,
        )
        self._failed_handshakes = CounterMetric(
            "virtscale_dispatcher_failed_handshakes_total",
            "TLS connections that never came to be, by listener and reason.",
            ["listener", "reason"],
            registry=registry,
        )
        self._reloads = CounterMetric(
            "virtscale_dispatcher_credential_reloads_total",
            "Changed files of certificates or tokens, by setting and whether they could be used.",
            ["setting", "outcome"],
            registry=registry,
        )

    def show(self, snapshot: Callable[[], Snapshot]) -> None:
        """Shows what `snapshot` returns, at every scrape. It is called from the scrape's thread."""
        self._registry.register(_SnapshotCollector(snapshot))

    def waited(self, seconds: float, jobs: int) -> None:
        """So many jobs that were accepted together were leased for the first time."""
        self._wait.observe(seconds, jobs)

    def served(self, seconds: Iterable[float]) -> None:
        """Results are stored."""
        # Workers report the mean of each batch: few values, each many times.
        for value, times in Counter(seconds).items():
            self._service.observe(value, times)
            self._squares.inc(value * value * times)

    def requeued(self, reason: RequeueReason, jobs: int) -> None:
        """Jobs went back."""
        self._requeued.labels(reason.value).inc(jobs)

    def attempted(self, cause: AttemptCause) -> None:
        """An attempt failed."""
        self._attempts.labels(cause.name.lower()).inc()

    def gave_up(self, reason: FailureReason) -> None:
        """A failure is stored."""
        self._given_up.labels(reason.name.lower()).inc()

    def overloaded(self, jobs: int) -> None:
        """A batch was refused."""
        self._overloaded.inc(jobs)

    def turned_away(self) -> None:
        """A call was refused before it was read."""
        self._turned_away.inc()

    def hello_refused(self) -> None:
        """A worker's token was wrong."""
        self._hello_refused.inc()

    def access_refused(self, refusal: Refusal) -> None:
        """A call or a session was refused."""
        self._access_refused.labels(refusal.value).inc()

    def certificate_expires(self, listener: str, at: float) -> None:
        """A listener's certificate in use ends at that Unix time."""
        self._expiry.labels(listener).set(at)

    def expecting_handshakes(self, listener: str, reasons: Iterable[str]) -> None:
        """A listener asks for TLS; why a connection may fail there."""
        for reason in reasons:
            self._failed_handshakes.labels(listener, reason)

    def handshake_failed(self, listener: str, reason: str) -> None:
        """A connection never came to be."""
        self._failed_handshakes.labels(listener, reason).inc()

    def watching(self, setting: str) -> None:
        """That setting's files are watched."""
        for outcome in ("done", "failed"):
            self._reloads.labels(setting, outcome)

    def reloaded(self, setting: str, *, is_good: bool) -> None:
        """That setting's files were read again."""
        self._reloads.labels(setting, "done" if is_good else "failed").inc()

    def result_malformed(self) -> None:
        """A result was no hash of its job."""
        self._malformed.inc()


class _SnapshotCollector(Collector):
    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        snapshot = self._snapshot()
        yield from _jobs(snapshot)
        yield from _slots(snapshot.workers)
        yield from _workers(snapshot.workers)


def _jobs(snapshot: Snapshot) -> Iterator[Metric]:
    counts = snapshot.counts
    jobs = GaugeMetricFamily(
        "virtscale_dispatcher_jobs",
        "Accepted jobs by state, over the store's life. Their sum is the accepted jobs.",
        labels=["state"],
    )
    for state in JOB_STATES:
        jobs.add_metric([state], getattr(counts, state))
    yield jobs
    yield CounterMetricFamily(
        "virtscale_dispatcher_jobs_accepted",
        "Jobs accepted, over the store's life.",
        value=counts.accepted,
    )
    yield GaugeMetricFamily(
        "virtscale_dispatcher_oldest_ready_age_seconds",
        "Wall time since the oldest ready job was accepted; 0 when none is ready.",
        value=snapshot.oldest_ready_age,
    )


def _slots(workers: tuple[WorkerView, ...]) -> Iterator[Metric]:
    family = GaugeMetricFamily(
        "virtscale_dispatcher_slots",
        "Slots of the workers that take jobs, by whether a leased job fills them.",
        labels=["state"],
    )
    taking = [worker for worker in workers if worker.takes_jobs]
    busy = sum(min(worker.slots, worker.working) for worker in taking)
    family.add_metric(["busy"], busy)
    family.add_metric(["free"], sum(worker.slots for worker in taking) - busy)
    yield family
    yield GaugeMetricFamily(
        "virtscale_dispatcher_prefetched_jobs",
        "Leased jobs that wait inside a worker that takes jobs, because its slots are busy.",
        value=sum(max(0, worker.leases - worker.slots) for worker in taking),
    )
    states = GaugeMetricFamily(
        "virtscale_dispatcher_workers",
        "Connected workers by what they do.",
        labels=["state"],
    )
    for state in _STATES:
        states.add_metric([state.value], sum(worker.state is state for worker in workers))
    yield states


def _workers(workers: tuple[WorkerView, ...]) -> Iterator[Metric]:
    info = InfoMetricFamily(
        "virtscale_worker",
        "Connected workers: process instance and image generation, from their Hello.",
        labels=["worker", "instance", "generation"],
    )
    slots = GaugeMetricFamily(
        "virtscale_worker_slots", "Jobs the worker works on at a time.", labels=["worker"]
    )
    busy = GaugeMetricFamily(
        "virtscale_worker_busy_slots",
        "Slots at work, by the worker's last heartbeat.",
        labels=["worker"],
    )
    leases = GaugeMetricFamily(
        "virtscale_worker_leases", "Jobs the worker holds a lease on.", labels=["worker"]
    )
    completed = CounterMetricFamily(
        "virtscale_worker_jobs_completed",
        "Results stored from the worker in its present session.",
        labels=["worker"],
    )
    for worker in workers:
        if worker.state is WorkerState.DISCONNECTED:
            continue
        name = [worker.worker_id]
        info.add_metric([*name, worker.instance_id, worker.generation], {})
        slots.add_metric(name, worker.slots)
        busy.add_metric(name, worker.busy_slots)
        leases.add_metric(name, worker.leases)
        completed.add_metric(name, worker.completed)
    yield from (info, slots, busy, leases, completed)
