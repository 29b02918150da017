import pytest
from prometheus_client import CollectorRegistry, generate_latest

from dispatcher.effects import RequeueReason
from dispatcher.jobs import AttemptCause, Counts, FailureReason
from dispatcher.sessions import WorkerState, WorkerView
from dispatcher.telemetry import Snapshot, Telemetry


def worker(name: str, **fields) -> WorkerView:
    values = {"state": WorkerState.READY, "slots": 2, "takes_jobs": True, **fields}
    return WorkerView(name, **values)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def telemetry(registry) -> Telemetry:
    return Telemetry(registry)


def shown(telemetry: Telemetry, *workers: WorkerView, **counts: int) -> None:
    telemetry.show(lambda: Snapshot(Counts(**counts), 3.5, workers))


def test_the_jobs_of_all_states_add_up_to_the_accepted_ones(registry, telemetry):
    shown(telemetry, accepted=15, ready=1, leased=2, done=3, failed=4, cancelled=5)
    jobs = {
        state: registry.get_sample_value("virtscale_dispatcher_jobs", {"state": state})
        for state in ("ready", "leased", "done", "failed", "cancelled")
    }
    assert jobs == {"ready": 1, "leased": 2, "done": 3, "failed": 4, "cancelled": 5}
    assert registry.get_sample_value("virtscale_dispatcher_jobs_accepted_total") == 15
    assert registry.get_sample_value("virtscale_dispatcher_oldest_ready_age_seconds") == 3.5


def test_only_workers_that_take_jobs_offer_slots(registry, telemetry):
    shown(
        telemetry,
        worker("w1", leases=3, working=3),
        worker("w2", leases=1, working=1),
        worker("w3", state=WorkerState.DRAINING, takes_jobs=False, leases=1, working=1),
    )
    value = registry.get_sample_value
    assert value("virtscale_dispatcher_slots", {"state": "busy"}) == 3
    assert value("virtscale_dispatcher_slots", {"state": "free"}) == 1
    assert value("virtscale_dispatcher_prefetched_jobs") == 1
    assert value("virtscale_dispatcher_workers", {"state": "ready"}) == 2
    assert value("virtscale_dispatcher_workers", {"state": "draining"}) == 1
    assert value("virtscale_dispatcher_workers", {"state": "cordoned"}) == 0


def test_a_worker_that_is_away_has_no_rows(registry, telemetry):
    shown(
        telemetry,
        worker("here", instance_id="i1", generation="sha256:ab", busy_slots=1, completed=9),
        worker("away", state=WorkerState.DISCONNECTED, takes_jobs=False, slots=0),
    )
    text = generate_latest(registry).decode()
    assert 'worker="away"' not in text
    value = registry.get_sample_value
    labels = {"worker": "here", "instance": "i1", "generation": "sha256:ab"}
    assert value("virtscale_worker_info", labels) == 1
    assert value("virtscale_worker_busy_slots", {"worker": "here"}) == 1
    assert value("virtscale_worker_jobs_completed_total", {"worker": "here"}) == 9


def test_every_reason_is_there_from_the_start(registry, telemetry):
    value = registry.get_sample_value
    for reason in RequeueReason:
        assert value("virtscale_dispatcher_requeued_total", {"reason": reason.value}) == 0
    telemetry.requeued(RequeueReason.WORKER_LOST, 3)
    assert value("virtscale_dispatcher_requeued_total", {"reason": "worker_lost"}) == 3


def test_events_are_counted(registry, telemetry):
    telemetry.overloaded(5)
    telemetry.hello_refused()
    telemetry.result_malformed()
    telemetry.store.failed()
    telemetry.waited(0.3, 4)
    telemetry.served([2.0, 2.0, 0.5])
    value = registry.get_sample_value
    prefix = "virtscale_dispatcher_"
    assert value(prefix + "overload_refused_total") == 5
    assert value(prefix + "hello_refused_total") == 1
    assert value(prefix + "results_refused_total") == 1
    assert value(prefix + "store_failures_total") == 1
    assert value(prefix + "job_wait_seconds_sum") == pytest.approx(1.2)
    assert value(prefix + "job_wait_seconds_count") == 4
    assert value(prefix + "job_wait_seconds_bucket", {"le": "30.0"}) == 4, "the goal of the rules"
    assert value(prefix + "job_service_seconds_sum") == 4.5
    assert value(prefix + "job_service_seconds_bucket", {"le": "0.5"}) == 1
    assert value(prefix + "job_service_seconds_bucket", {"le": "2.5"}) == 3
    assert value(prefix + "job_service_seconds_bucket", {"le": "+Inf"}) == 3


def test_what_was_found_in_the_store_stays_as_it_was(registry, telemetry):
    counts = Counts(accepted=9, ready=4, done=5)
    telemetry.store.opened(counts, 1_700_000_000.5)
    counts.done += 1
    value = registry.get_sample_value
    assert value("virtscale_dispatcher_jobs_found", {"state": "ready"}) == 4
    assert value("virtscale_dispatcher_jobs_found", {"state": "done"}) == 5
    assert value("virtscale_dispatcher_store_opened_timestamp_seconds") == 1_700_000_000.5


def test_attempts_and_failures_are_counted_by_what_they_are(registry, telemetry):
    value = registry.get_sample_value
    for cause in AttemptCause:
        labels = {"cause": cause.name.lower()}
        assert value("virtscale_dispatcher_attempts_total", labels) == 0
    telemetry.attempted(AttemptCause.WRONG_RESULT)
    telemetry.gave_up(FailureReason.REFUSED)
    labels = {"cause": "wrong_result"}
    assert value("virtscale_dispatcher_attempts_total", labels) == 1
    assert value("virtscale_dispatcher_given_up_total", {"reason": "refused"}) == 1
    assert value("virtscale_dispatcher_given_up_total", {"reason": "attempts_exhausted"}) == 0
