"""Limits of every field of a request, checked before a servicer sees it.

One function per message, all faults of a message at once. What a batch's jobs hold is checked in
`numbers`, stored hashes and numbers to verify in `submissions`: those are not the API's own rules.
Job ids need no limit: what is none of ours is NOT_FOUND. A worker's refusal is cut, not refused:
its text comes from an exception, and a worker would send it again for ever.
"""

from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf import duration_pb2
from google.protobuf.message import Message
from virtscale.v1 import fleet_pb2, license_pb2, worker_pb2

from dispatcher.grpc_api import translation
from dispatcher.numbers import MAX_BATCH, InvalidRequestError, Violation

# A thousand jobs have 800 kB at most, four thousand results 1 MB. Small for another reason as well:
# a message of empty parts becomes fifty times as large when it is parsed.
MAX_MESSAGE_BYTES = 1024 * 1024
MAX_WORK_BYTES = 2 * 1024 * 1024
MAX_WAIT_SECONDS = 300.0
MAX_PAGE = 1000
MAX_DRAIN_SECONDS = 7 * 86400.0
MAX_REASON_CHARACTERS = 500
MAX_LEASES = 20_000
MAX_CREDIT = 1_000_000
MAX_SLOTS = 4096

_MAX_STATES = 16
_MAX_PROFILES = 16
_MAX_NAME_CHARACTERS = 128
_MAX_TOKEN_CHARACTERS = 4096
_MAX_UPTIME_SECONDS = 10.0 * 365 * 86400
_WORKER_SERVICE = f"/{worker_pb2.DESCRIPTOR.services_by_name['WorkerService'].full_name}/"

Faults = Iterable[Violation | None]


def message_bytes(method: str) -> int:
    """How large a message of a method, such as `/virtscale.v1.WorkerService/Work`, may be."""
    return MAX_WORK_BYTES if method.startswith(_WORKER_SERVICE) else MAX_MESSAGE_BYTES


def check(message: Message) -> None:
    """Checks a request; messages without a rule of their own pass.

    Raises:
        InvalidRequestError: with every fault.

    """
    rule = _RULES.get(type(message))
    if rule is not None and (faults := [fault for fault in rule(message) if fault is not None]):
        raise InvalidRequestError(*faults)


# -- clients ---------------------------------------------------------------------------------------


def _batch(message: Any) -> Faults:
    # Before the jobs become objects of ours: a message may hold millions.
    yield _count("jobs", len(message.jobs), 1, MAX_BATCH)


def _named_jobs(message: Any) -> Faults:
    yield _count("job_ids", len(message.job_ids), 1, MAX_BATCH)


def _wait(message: license_pb2.WaitJobsRequest) -> Faults:
    yield from _named_jobs(message)
    if message.HasField("timeout"):
        yield _duration("timeout", message.timeout, MAX_WAIT_SECONDS)


def _list(message: license_pb2.ListJobsRequest) -> Faults:
    yield _value("page_size", message.page_size, 0, MAX_PAGE)
    yield _count("states", len(message.states), 0, _MAX_STATES)


# -- fleet -----------------------------------------------------------------------------------------


def _worker(message: Any) -> Faults:
    yield _name("worker_id", message.worker_id)


def _reasoned(message: Any) -> Faults:
    yield from _worker(message)
    yield _text("reason", message.reason, MAX_REASON_CHARACTERS)


def _drain(message: fleet_pb2.DrainWorkerRequest) -> Faults:
    yield from _reasoned(message)
    if message.HasField("deadline"):
        yield _duration("deadline", message.deadline, MAX_DRAIN_SECONDS)


# -- workers ---------------------------------------------------------------------------------------


def _work(message: worker_pb2.WorkRequest) -> Faults:
    kind = message.WhichOneof("message")
    if kind is None:
        return
    content = getattr(message, kind)
    for fault in _PARTS[kind](content):
        if fault is not None:
            yield Violation(f"{kind}.{fault.field}", fault.description)


def _hello(message: worker_pb2.Hello) -> Faults:
    yield _name("worker_id", message.worker_id)
    yield _name("instance_id", message.instance_id)
    yield _text("join_token", message.join_token, _MAX_TOKEN_CHARACTERS)
    yield _value("slots", message.slots, 1, MAX_SLOTS)
    yield _text("software_version", message.software_version, _MAX_NAME_CHARACTERS)
    yield _text("image_generation", message.image_generation, _MAX_NAME_CHARACTERS)
    yield from _leases("held", message.held)
    yield _text("store_id", message.store_id, _MAX_NAME_CHARACTERS)
    if message.HasField("uptime"):
        yield _duration("uptime", message.uptime, _MAX_UPTIME_SECONDS)
    yield _count("profiles", len(message.profiles), 1, _MAX_PROFILES)


def _credit(message: worker_pb2.Credit) -> Faults:
    yield _value("jobs", message.jobs, 0, MAX_CREDIT)


def _results(message: worker_pb2.Results) -> Faults:
    yield _count("outcomes", len(message.outcomes), 0, MAX_LEASES)
    yield _value("credit", message.credit, 0, MAX_CREDIT)


def _heartbeat(message: worker_pb2.Heartbeat) -> Faults:
    yield from _leases("held", message.held)
    yield _value("busy_slots", message.busy_slots, 0, MAX_SLOTS)


def _release(message: worker_pb2.Release) -> Faults:
    yield from _leases("leases", message.leases)
    yield _value("credit", message.credit, 0, MAX_CREDIT)


def _parting(message: Any) -> Faults:
    yield _text("reason", message.reason, MAX_REASON_CHARACTERS)


def _leases(field: str, leases: Any) -> Faults:
    yield _count(field, len(leases), 0, MAX_LEASES)


# -- rules -----------------------------------------------------------------------------------------


def _value(field: str, value: int, least: int, most: int) -> Violation | None:
    return (
        None if least <= value <= most else Violation(field, f"is {value}; {_range(least, most)}")
    )


def _count(field: str, count: int, least: int, most: int) -> Violation | None:
    if least <= count <= most:
        return None
    return Violation(field, f"has {count} entries; {_range(least, most)}")


def _text(field: str, text: str, most: int) -> Violation | None:
    if len(text) <= most:
        return None
    return Violation(field, f"has {len(text)} characters; {_range(0, most)}")


def _name(field: str, name: str) -> Violation | None:
    fault = translation.name_fault(name)
    return None if fault is None else Violation(field, fault)


def _duration(field: str, value: duration_pb2.Duration, most: float) -> Violation | None:
    seconds = translation.seconds(value)
    if 0 <= seconds <= most:
        return None
    return Violation(field, f"is {seconds:g} s; send 0 to {most:g} s")


def _range(least: int, most: int) -> str:
    return f"send at most {most}" if least == 0 else f"send {least} to {most}"


_PARTS: dict[str, Callable[[Any], Faults]] = {
    "hello": _hello,
    "credit": _credit,
    "results": _results,
    "heartbeat": _heartbeat,
    "release": _release,
    "draining": _parting,
    "goodbye": _parting,
}
_RULES: dict[type[Message], Callable[[Any], Faults]] = {
    license_pb2.SubmitJobsRequest: _batch,
    license_pb2.StreamJobsRequest: _batch,
    license_pb2.WaitJobsRequest: _wait,
    license_pb2.ListJobsRequest: _list,
    license_pb2.CancelJobsRequest: _named_jobs,
    fleet_pb2.CordonWorkerRequest: _reasoned,
    fleet_pb2.DrainWorkerRequest: _drain,
    fleet_pb2.UncordonWorkerRequest: _worker,
    worker_pb2.WorkRequest: _work,
}
