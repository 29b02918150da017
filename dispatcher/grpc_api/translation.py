"""Messages to values and back. No protobuf object travels further than this package."""

import math
import uuid
from collections.abc import Iterable

from google.protobuf import duration_pb2, timestamp_pb2
from virtscale.v1 import fleet_pb2, job_pb2, worker_pb2

from dispatcher import hashing
from dispatcher.effects import DrainOutcome
from dispatcher.jobs import (
    Busy,
    Collision,
    FailureReason,
    Hashed,
    Job,
    JobNames,
    JobSpec,
    JobState,
    Lease,
    Load,
    Outcome,
    Profile,
    Refused,
    Verify,
)
from dispatcher.numbers import InvalidRequestError, Violation
from dispatcher.ports import Assignment
from dispatcher.sessions import Hello, WorkerState, WorkerView

_MAX_NAME_CHARACTERS = 128
_MAX_MESSAGE_CHARACTERS = 500
_MAX_SERVICE_SECONDS = 10.0 * 365 * 86400

_PROFILES = {
    job_pb2.HASH_PROFILE_LEGACY_SHA256: Profile.LEGACY_SHA256,
    job_pb2.HASH_PROFILE_HMAC_SHA256: Profile.HMAC_SHA256,
    job_pb2.HASH_PROFILE_ARGON2ID: Profile.ARGON2ID,
}
_PROFILE_VALUES = {profile: value for value, profile in _PROFILES.items()}
_STATES = {
    job_pb2.JOB_STATE_READY: JobState.READY,
    job_pb2.JOB_STATE_LEASED: JobState.LEASED,
    job_pb2.JOB_STATE_DONE: JobState.DONE,
    job_pb2.JOB_STATE_FAILED: JobState.FAILED,
    job_pb2.JOB_STATE_CANCELLED: JobState.CANCELLED,
}
_STATE_VALUES = {state: value for value, state in _STATES.items()}
_FAILURE_VALUES = {
    FailureReason.REFUSED: job_pb2.FAILURE_REASON_REFUSED,
    FailureReason.ATTEMPTS_EXHAUSTED: job_pb2.FAILURE_REASON_ATTEMPTS_EXHAUSTED,
}
_WORKER_STATE_VALUES = {
    WorkerState.READY: fleet_pb2.WORKER_STATE_READY,
    WorkerState.CORDONED: fleet_pb2.WORKER_STATE_CORDONED,
    WorkerState.DRAINING: fleet_pb2.WORKER_STATE_DRAINING,
    WorkerState.DISCONNECTED: fleet_pb2.WORKER_STATE_DISCONNECTED,
}
_OUTCOME_VALUES = {
    DrainOutcome.DRAINED: fleet_pb2.DRAIN_OUTCOME_DRAINED,
    DrainOutcome.DEADLINE: fleet_pb2.DRAIN_OUTCOME_DEADLINE,
    DrainOutcome.CANCELLED: fleet_pb2.DRAIN_OUTCOME_CANCELLED,
    DrainOutcome.LOST: fleet_pb2.DRAIN_OUTCOME_LOST,
}


# -- from clients --------------------------------------------------------------------------------


def request_id(text: str) -> str:
    """A checked idempotency key."""
    try:
        value = uuid.UUID(text)
    except ValueError:
        value = None
    if value is None or value.version != 4:
        raise InvalidRequestError(
            Violation("request_id", "must be a UUID4 in text form, new for every batch")
        )
    return str(value)


def job_specs(jobs: Iterable[job_pb2.JobSpec]) -> list[JobSpec]:
    """The jobs of a batch as they came; `numbers.new_jobs` checks them."""
    return [
        JobSpec(job.number, _profile(job.profile), _load(job.load), job.reference) for job in jobs
    ]


def _profile(value: int) -> Profile | int | None:
    if value == job_pb2.HASH_PROFILE_UNSPECIFIED:
        return None
    return _PROFILES.get(value, value)  # type: ignore[call-overload,no-any-return]


def _load(load: job_pb2.Load) -> Load:
    match load.WhichOneof("kind"):
        case "collision":
            return Collision(load.collision.difficulty_bits, load.collision.seed)
        case "verify":
            return Verify(load.verify.repetitions)
        case "busy":
            return Busy(seconds(load.busy.duration))
    return None


def states(values: Iterable[int]) -> frozenset[JobState]:
    """A checked filter."""
    found = set()
    for index, value in enumerate(values):
        if value not in _STATES:
            raise InvalidRequestError(Violation(f"states[{index}]", f"{value} is no job state"))
        found.add(_STATES[value])  # type: ignore[index]
    return frozenset(found)


# -- to clients ----------------------------------------------------------------------------------


def job_message(job: Job, names: JobNames) -> job_pb2.Job:
    """A job as clients see it."""
    message = job_pb2.Job(
        job_id=names.name(job.key),
        state=_STATE_VALUES[job.state],
        accepted_at=timestamp(job.accepted_at),
        attempts=job.attempts,
        reference=job.reference,
    )
    if job.result is not None:
        message.result.CopyFrom(
            job_pb2.Result(
                job_id=message.job_id,
                profile=_PROFILE_VALUES[job.profile],
                hash=job.result.hash,
                completed_at=timestamp(job.result.completed_at),
                worker_id=job.result.worker_id,
                service_time=duration(job.result.service_seconds),
                reference=job.reference,
            )
        )
    if job.failure is not None:
        message.failure.CopyFrom(
            job_pb2.Failure(reason=_FAILURE_VALUES[job.failure.reason], message=job.failure.message)
        )
    return message


# -- workers -------------------------------------------------------------------------------------


def hello(message: worker_pb2.Hello, names: JobNames) -> Hello:
    """A checked Hello. Unknown profiles are left out: a newer worker may know more."""
    profiles = frozenset(_PROFILES[value] for value in message.profiles if value in _PROFILES)
    if not profiles:
        raise InvalidRequestError(Violation("hello.profiles", "names no known profile"))
    return Hello(
        worker_id=message.worker_id,
        instance_id=message.instance_id,
        slots=message.slots,
        profiles=profiles,
        held=tuple(leases(message.held, names)),
        generation=message.image_generation,
        software_version=message.software_version,
        boot_seconds=seconds(message.uptime) if message.HasField("uptime") else None,
    )


def name_fault(name: str) -> str | None:
    """What is wrong with a worker's name; None when nothing is."""
    if not 1 <= len(name) <= _MAX_NAME_CHARACTERS:
        return f"has {len(name)} characters; send 1 to {_MAX_NAME_CHARACTERS}"
    if not name.isprintable():
        return "has an unprintable character"
    return None


def leases(messages: Iterable[worker_pb2.Lease], names: JobNames) -> list[Lease]:
    """Leases of this store's jobs; others are left out."""
    return [
        Lease(key, message.epoch)
        for message in messages
        if (key := names.key(message.job_id)) is not None
    ]


def outcomes(message: worker_pb2.Results, names: JobNames) -> list[Outcome]:
    """Results and refusals of this store's jobs."""
    found: list[Outcome] = []
    for each in message.outcomes:
        key = names.key(each.lease.job_id)
        if key is None:
            continue
        lease = Lease(key, each.lease.epoch)
        if each.WhichOneof("outcome") == "hash":
            spent = min(max(seconds(each.service_time), 0.0), _MAX_SERVICE_SECONDS)
            found.append(Hashed(lease, each.hash, spent))
        else:
            text = each.refusal.message[:_MAX_MESSAGE_CHARACTERS] or "the worker gave no reason"
            found.append(Refused(lease, each.refusal.retryable, text))
    return found


def strangers(message: worker_pb2.Results, names: JobNames) -> list[worker_pb2.Lease]:
    """Leases of another store's jobs: nobody here needs their results."""
    return [each.lease for each in message.outcomes if names.key(each.lease.job_id) is None]


def lease_message(lease: Lease, names: JobNames) -> worker_pb2.Lease:
    """A lease as workers see it."""
    return worker_pb2.Lease(job_id=names.name(lease.key), epoch=lease.epoch)


def lease_messages(found: Iterable[Lease], names: JobNames) -> list[worker_pb2.Lease]:
    """Leases as workers see them."""
    return [lease_message(lease, names) for lease in found]


def assignment_message(
    assignment: Assignment, names: JobNames, cost: hashing.Cost
) -> worker_pb2.Assignment:
    """A job as workers see it."""
    payload = assignment.payload
    message = worker_pb2.Assignment(
        lease=lease_message(assignment.lease, names),
        profile=_PROFILE_VALUES[payload.profile],
        input=payload.input,
        key_id=payload.key_id,
    )
    match payload.load:
        case Collision(difficulty_bits=bits, seed=seed):
            message.load.collision.difficulty_bits = bits
            message.load.collision.seed = seed
        case Verify(repetitions=repetitions):
            message.load.verify.repetitions = repetitions
        case Busy(seconds=busy_seconds):
            message.load.busy.duration.CopyFrom(duration(busy_seconds))
    if payload.profile is Profile.ARGON2ID:
        message.argon2_cost.memory_kib = cost.memory_kib
        message.argon2_cost.passes = cost.passes
        message.argon2_cost.lanes = cost.lanes
    return message


# -- fleet ---------------------------------------------------------------------------------------


def worker_message(worker: WorkerView, wall: float) -> fleet_pb2.Worker:
    """A worker as the scaler sees it."""
    message = fleet_pb2.Worker(
        worker_id=worker.worker_id,
        state=_WORKER_STATE_VALUES[worker.state],
        slots=worker.slots,
        busy_slots=worker.busy_slots,
        leases=worker.leases,
        completed=worker.completed,
        instance_id=worker.instance_id,
        image_generation=worker.generation,
    )
    if worker.connected_age is not None:
        message.connected_at.CopyFrom(timestamp(wall - worker.connected_age))
    if worker.heartbeat_age is not None:
        message.heartbeat_age.CopyFrom(duration(worker.heartbeat_age))
    if worker.boot_seconds is not None:
        message.boot_time.CopyFrom(duration(worker.boot_seconds))
    if worker.oldest_lease_age is not None:
        message.oldest_lease_at.CopyFrom(timestamp(wall - worker.oldest_lease_age))
    return message


def drain_outcome(outcome: DrainOutcome) -> fleet_pb2.DrainOutcome:
    """How a drain ended."""
    return _OUTCOME_VALUES[outcome]


# -- time ----------------------------------------------------------------------------------------


def seconds(message: duration_pb2.Duration) -> float:
    """A duration's seconds."""
    return message.seconds + message.nanos / 1e9


def duration(value: float) -> duration_pb2.Duration:
    """A duration of that many seconds."""
    whole = math.floor(value)
    return duration_pb2.Duration(seconds=whole, nanos=int((value - whole) * 1e9))


def timestamp(value: float) -> timestamp_pb2.Timestamp:
    """A time in seconds since the Unix epoch."""
    whole = math.floor(value)
    return timestamp_pb2.Timestamp(seconds=whole, nanos=int((value - whole) * 1e9))
