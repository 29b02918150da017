"""Values to messages and back. The one module of the client that knows the generated code."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import grpc.aio
from google.protobuf import duration_pb2, timestamp_pb2

from virtscale import rpc_status
from virtscale.client.errors import DispatcherError, Violation, error_of
from virtscale.client.values import (
    Attempt,
    Backlog,
    Busy,
    Collision,
    Exported,
    Job,
    JobSpec,
    Load,
    Profile,
    State,
    Verify,
    Worker,
)
from virtscale.v1 import fleet_pb2, fleet_pb2_grpc, job_pb2, license_pb2, license_pb2_grpc

_PROFILES: dict[Profile, job_pb2.HashProfile] = {
    "legacy-sha256": job_pb2.HASH_PROFILE_LEGACY_SHA256,
    "hmac-sha256": job_pb2.HASH_PROFILE_HMAC_SHA256,
    "argon2id": job_pb2.HASH_PROFILE_ARGON2ID,
}
_PROFILE_NAMES = {value: name for name, value in _PROFILES.items()}
_STATES: dict[State, job_pb2.JobState] = {
    "ready": job_pb2.JOB_STATE_READY,
    "leased": job_pb2.JOB_STATE_LEASED,
    "done": job_pb2.JOB_STATE_DONE,
    "failed": job_pb2.JOB_STATE_FAILED,
    "cancelled": job_pb2.JOB_STATE_CANCELLED,
}
_STATE_NAMES = {value: name for name, value in _STATES.items()}
_WORKER_STATES: dict[int, Literal["ready", "cordoned", "draining", "disconnected"]] = {
    fleet_pb2.WORKER_STATE_READY: "ready",
    fleet_pb2.WORKER_STATE_CORDONED: "cordoned",
    fleet_pb2.WORKER_STATE_DRAINING: "draining",
    fleet_pb2.WORKER_STATE_DISCONNECTED: "disconnected",
}

Requests = license_pb2
FleetRequests = fleet_pb2


def licenses(channel: grpc.aio.Channel) -> Any:
    """The clients' service."""
    return license_pb2_grpc.LicenseServiceStub(channel)


def fleet(channel: grpc.aio.Channel) -> Any:
    """The fleet's service."""
    return fleet_pb2_grpc.FleetServiceStub(channel)


def error(address: str, failed: grpc.aio.AioRpcError) -> DispatcherError:
    """The error that fits a failed call."""
    raw = dict(failed.trailing_metadata() or ()).get(rpc_status.METADATA_KEY)
    details = rpc_status.read(raw) if isinstance(raw, bytes) else rpc_status.Details()
    return error_of(
        address,
        failed.code().name,
        failed.details() or "",
        violations=[Violation(*each) for each in details.violations],
        retry_seconds=details.retry_seconds,
    )


# -- to the dispatcher ---------------------------------------------------------------------------


def job_message(spec: JobSpec) -> job_pb2.JobSpec:
    """A job to submit."""
    return job_pb2.JobSpec(
        number=spec.number,
        profile=(
            job_pb2.HASH_PROFILE_UNSPECIFIED if spec.profile is None else _PROFILES[spec.profile]
        ),
        load=_load_message(spec.load),
        reference=spec.reference,
    )


def submit_request(request_id: str, specs: Sequence[JobSpec]) -> license_pb2.SubmitJobsRequest:
    """A batch."""
    return license_pb2.SubmitJobsRequest(
        request_id=request_id, jobs=[job_message(spec) for spec in specs]
    )


def stream_request(request_id: str, specs: Sequence[JobSpec]) -> license_pb2.StreamJobsRequest:
    """A batch on a stream."""
    return license_pb2.StreamJobsRequest(
        request_id=request_id, jobs=[job_message(spec) for spec in specs]
    )


def states(names: Sequence[State]) -> list[job_pb2.JobState]:
    """A filter."""
    return [_STATES[name] for name in names]


def _load_message(load: Load) -> job_pb2.Load | None:
    match load:
        case Collision(difficulty_bits=bits, seed=seed):
            return job_pb2.Load(collision=job_pb2.Collision(difficulty_bits=bits, seed=seed))
        case Verify(repetitions=repetitions):
            return job_pb2.Load(verify=job_pb2.Verify(repetitions=repetitions))
        case Busy(seconds=amount):
            return job_pb2.Load(busy=job_pb2.Busy(duration=duration(amount)))
    return None


# -- from the dispatcher -------------------------------------------------------------------------


def stream_events(
    response: license_pb2.StreamJobsResponse,
) -> Iterator[tuple[str, Sequence[str]] | Job]:
    """What a response of a submitting stream says: accepted batches, final jobs."""
    match response.WhichOneof("event"):
        case "accepted":
            yield response.accepted.request_id, response.accepted.job_ids
        case "finished_jobs":
            for message in response.finished_jobs.jobs:
                yield job(message)


def job(message: job_pb2.Job) -> Job:
    """A job. States that this client does not know count as ready: not final."""
    state: State = _STATE_NAMES.get(message.state, "ready")
    if not message.HasField("result"):
        return Job(
            job_id=message.job_id,
            state=state,
            reference=message.reference,
            accepted_at=_unix(message.accepted_at),
            attempts=message.attempts,
            failure=message.failure.message,
            failure_reason=_name(job_pb2.FailureReason, message.failure.reason, "FAILURE_REASON_"),
            attempt_history=_attempts(message),
        )
    result = message.result
    return Job(
        job_id=message.job_id,
        state=state,
        reference=message.reference or result.reference,
        accepted_at=_unix(message.accepted_at),
        attempts=message.attempts,
        profile=_PROFILE_NAMES.get(result.profile, ""),
        hash=result.hash,
        worker_id=result.worker_id,
        completed_at=_unix(result.completed_at) if result.HasField("completed_at") else None,
        service_seconds=_seconds(result.service_time),
        attempt_history=_attempts(message),
    )


def exported(message: license_pb2.WatchResultsResponse) -> list[Exported]:
    """The results in an answer; from a dispatcher that does not know batches it is one."""
    if message.HasField("job"):
        return [Exported(job(message.job), message.cursor)]
    pairs = zip(message.jobs, message.cursors, strict=True)
    return [Exported(job(each), cursor) for each, cursor in pairs]


def _attempts(message: job_pb2.Job) -> tuple[Attempt, ...]:
    return tuple(
        Attempt(
            ordinal=attempt.ordinal,
            cause=_name(job_pb2.AttemptCause, attempt.cause, "ATTEMPT_CAUSE_"),
            worker_id=attempt.worker_id,
            at=_unix(attempt.failed_at),
            certain=attempt.certain,
            message=attempt.message,
        )
        for attempt in message.attempt_history
    )


def _name(kind: Any, value: int, prefix: str) -> str:
    """A value's name in lower case; empty when it is unset, a number when it is newer than we."""
    if value == 0:
        return ""
    known = kind.values()
    return str(kind.Name(value)).removeprefix(prefix).lower() if value in known else str(value)


def worker(message: fleet_pb2.Worker) -> Worker:
    """A worker."""
    return Worker(
        worker_id=message.worker_id,
        state=_WORKER_STATES.get(message.state, "disconnected"),
        slots=message.slots,
        busy_slots=message.busy_slots,
        leases=message.leases,
        completed=message.completed,
        connected_at=_unix(message.connected_at) if message.HasField("connected_at") else None,
        oldest_lease_at=(
            _unix(message.oldest_lease_at) if message.HasField("oldest_lease_at") else None
        ),
        boot_seconds=_seconds(message.boot_time) if message.HasField("boot_time") else None,
    )


def backlog(message: fleet_pb2.GetBacklogResponse) -> Backlog:
    """The counts."""
    return Backlog(
        accepted=message.accepted,
        ready=message.ready,
        leased=message.leased,
        done=message.done,
        failed=message.failed,
        cancelled=message.cancelled,
        oldest_ready_seconds=(
            _seconds(message.oldest_ready_age) if message.HasField("oldest_ready_age") else None
        ),
        slots=message.slots,
    )


def duration(seconds: float) -> duration_pb2.Duration:
    """A duration of that many seconds."""
    whole = int(seconds)
    return duration_pb2.Duration(seconds=whole, nanos=int((seconds - whole) * 1e9))


def _seconds(message: duration_pb2.Duration) -> float:
    return message.seconds + message.nanos / 1e9


def _unix(message: timestamp_pb2.Timestamp) -> float:
    return message.seconds + message.nanos / 1e9
