"""Messages to values and back. No protobuf object travels further than this package."""

import math
import uuid
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import repeat

from google.protobuf import duration_pb2, timestamp_pb2
from virtscale.v1 import fleet_pb2, job_pb2, worker_pb2

from dispatcher import hashing, plates
from dispatcher.effects import DrainOutcome
from dispatcher.jobs import (
    Busy,
    Collision,
    FailureReason,
    Hashed,
    Job,
    JobKey,
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
_MAX_LEASES = 65_536
_MAX_KEY = 1 << 62
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
        JobSpec(
            job.number,
            _profile(job.profile),
            _load(job.load) if job.HasField("load") else None,
            job.reference,
        )
        for job in jobs
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
    name = names.name(job.key)
    message = job_pb2.Job(
        job_id=name,
        state=_STATE_VALUES[job.state],
        accepted_at=timestamp(job.accepted_at),
        attempts=job.attempts,
        reference=job.reference,
    )
    if (stored := job.result) is not None:
        result = message.result
        result.job_id = name
        result.profile = _PROFILE_VALUES[job.profile]
        result.hash = stored.hash
        result.completed_at.CopyFrom(timestamp(stored.completed_at))
        result.worker_id = stored.worker_id
        result.service_time.CopyFrom(duration(stored.service_seconds))
        result.reference = job.reference
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
    held = leases(message.held, "hello.held")
    return Hello(
        worker_id=message.worker_id,
        instance_id=message.instance_id,
        slots=message.slots,
        profiles=profiles,
        held=tuple(held) if message.store_id in ("", names.store_id) else (),
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


def leases(messages: Iterable[worker_pb2.Lease], field: str) -> list[Lease]:
    """The leases of all runs, one by one."""
    return [
        Lease(JobKey(key), epoch)
        for key, epoch, count in _runs(messages, field)
        for key, epoch in zip(range(key, key + count), range(epoch, epoch + count), strict=True)
    ]


def _runs(messages: Iterable[worker_pb2.Lease], field: str) -> list[tuple[int, int, int]]:
    """Checked runs: first key, first epoch, count."""
    runs = [(message.key, message.epoch, message.count or 1) for message in messages]
    total = sum(count for _, _, count in runs)
    if total > _MAX_LEASES:
        raise InvalidRequestError(
            Violation(field, f"has {total} leases; send at most {_MAX_LEASES} in one message")
        )
    if any(key > _MAX_KEY or epoch > _MAX_KEY for key, epoch, _ in runs):
        raise InvalidRequestError(
            Violation(field, "has a key or an epoch that no store has; send what Jobs said")
        )
    return runs


def outcomes(message: worker_pb2.Results) -> list[Outcome]:
    """Results and refusals, job by job."""
    found: list[Outcome] = []
    runs = _runs((each.lease for each in message.outcomes), "results.outcomes")
    for place, (each, (key, epoch, count)) in enumerate(zip(message.outcomes, runs, strict=True)):
        keys = map(JobKey, range(key, key + count))
        each_lease = map(Lease, keys, range(epoch, epoch + count))
        hashes = each.hashes
        if each.HasField("refusal"):
            text = plates.redact(each.refusal.message[:_MAX_MESSAGE_CHARACTERS])
            text = text or "the worker gave no reason"
            found += [Refused(lease, each.refusal.retryable, text) for lease in each_lease]
            continue
        if len(hashes) != count:
            raise InvalidRequestError(
                Violation(
                    f"results.outcomes[{place}].hashes",
                    f"has {len(hashes)} hashes for {count} jobs; send one for each, or a refusal",
                )
            )
        spent = min(max(seconds(each.service_time), 0.0), _MAX_SERVICE_SECONDS)
        found += map(Hashed, each_lease, hashes, repeat(spent))
    return found


def lease_messages(found: Iterable[Lease]) -> list[worker_pb2.Lease]:
    """Leases as workers see them: in runs."""
    messages: list[worker_pb2.Lease] = []
    first_key = first_epoch = count = 0
    for key, epoch in found:
        if key == first_key + count and epoch == first_epoch + count:
            count += 1
            continue
        if count:
            messages.append(worker_pb2.Lease(key=first_key, epoch=first_epoch, count=count))
        first_key, first_epoch, count = key, epoch, 1
    if count:
        messages.append(worker_pb2.Lease(key=first_key, epoch=first_epoch, count=count))
    return messages


def assignment_messages(
    assignments: Sequence[Assignment], cost: hashing.Cost
) -> list[worker_pb2.Assignment]:
    """Jobs as workers see them: those that follow one another and are hashed alike in one."""
    messages: list[worker_pb2.Assignment] = []
    alike: tuple[object, ...] = ()
    inputs: list[bytes] = []
    key = epoch = 0
    for lease, (profile, value, key_id, load) in assignments:
        kind = (profile, key_id, load)
        if kind != alike or lease != (key + len(inputs), epoch + len(inputs)):
            if inputs:
                messages[-1].lease.count = len(inputs)
                messages[-1].inputs.extend(inputs)
            (key, epoch), alike, inputs = lease, kind, []
            messages.append(_assignment(lease, profile, key_id, load, cost))
        inputs.append(value)
    if inputs:
        messages[-1].lease.count = len(inputs)
        messages[-1].inputs.extend(inputs)
    return messages


def _assignment(
    lease: Lease, profile: Profile, key_id: str, load: Load, cost: hashing.Cost
) -> worker_pb2.Assignment:
    message = worker_pb2.Assignment(
        lease=worker_pb2.Lease(key=lease.key, epoch=lease.epoch),
        profile=_PROFILE_VALUES[profile],
        key_id=key_id,
    )
    match load:
        case Collision(difficulty_bits=bits, seed=seed):
            message.load.collision.difficulty_bits = bits
            message.load.collision.seed = seed
        case Verify(repetitions=repetitions):
            message.load.verify.repetitions = repetitions
        case Busy(seconds=busy_seconds):
            message.load.busy.duration.CopyFrom(duration(busy_seconds))
    if profile is Profile.ARGON2ID:
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


@lru_cache(maxsize=256)
def duration(value: float) -> duration_pb2.Duration:
    """A duration of that many seconds. Shared: not to be changed."""
    whole = math.floor(value)
    return duration_pb2.Duration(seconds=whole, nanos=int((value - whole) * 1e9))


# Jobs of a batch share their times; messages copy what they are given.
@lru_cache(maxsize=256)
def timestamp(value: float) -> timestamp_pb2.Timestamp:
    """A time in seconds since the Unix epoch. Shared: not to be changed."""
    whole = math.floor(value)
    return timestamp_pb2.Timestamp(seconds=whole, nanos=int((value - whole) * 1e9))
