"""Every field of every request has a limit, and a row here: a new field without one fails.

The rows are found by walking the descriptors of the three services, so nobody can forget one.
"""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from virtscale.v1 import fleet_pb2, job_pb2, license_pb2, worker_pb2

from dispatcher import hashing
from tests.contract.dispatcher_process import JOIN_KEY, LEGACY, PATIENCE, DispatcherProcess

NUMBER = "KA-47-UT-9173"
INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
SERVICES = (
    license_pb2.DESCRIPTOR.services_by_name["LicenseService"],
    worker_pb2.DESCRIPTOR.services_by_name["WorkerService"],
    fleet_pb2.DESCRIPTOR.services_by_name["FleetService"],
)


@dataclass(frozen=True)
class Refused:
    """A message that breaks the limit, how the field is named, and the code."""

    request: Message
    named: str
    code: grpc.StatusCode = INVALID


@dataclass(frozen=True)
class AnyValue:
    """A field whose every value is allowed, or cut, and why."""

    why: str


def submit(**job: Any) -> license_pb2.SubmitJobsRequest:
    spec = job_pb2.JobSpec(**{"number": NUMBER, "profile": LEGACY, **job})
    return license_pb2.SubmitJobsRequest(request_id=str(uuid.uuid4()), jobs=[spec])


def stream(request: license_pb2.SubmitJobsRequest) -> license_pb2.StreamJobsRequest:
    return license_pb2.StreamJobsRequest.FromString(request.SerializeToString())


def loaded(**load: Any) -> license_pb2.SubmitJobsRequest:
    return submit(load=job_pb2.Load(**load))


def hello(**fields: Any) -> worker_pb2.WorkRequest:
    good: dict[str, Any] = {
        "worker_id": "w1",
        "instance_id": str(uuid.uuid4()),
        "join_token": hashing.join_token(JOIN_KEY, "w1"),
        "slots": 1,
        "profiles": [LEGACY],
    }
    return worker_pb2.WorkRequest(hello=worker_pb2.Hello(**{**good, **fields}))


def work(**part: Any) -> worker_pb2.WorkRequest:
    return worker_pb2.WorkRequest(**part)


LEASES = [worker_pb2.Lease(key=1, epoch=1)] * 20_001
SEEN_ELSEWHERE = AnyValue("its fields have rows of their own")
STRANGER = AnyValue("a lease that is not held is acknowledged or revoked, nothing else")


def result(**lease: int) -> worker_pb2.WorkRequest:
    return work(results={"outcomes": [{"lease": worker_pb2.Lease(**lease), "hashes": ["h"]}]})


ROWS: dict[str, list[Refused] | AnyValue] = {
    # -- clients
    "SubmitJobsRequest.request_id": [
        Refused(license_pb2.SubmitJobsRequest(request_id=bad, jobs=submit().jobs), "request_id")
        for bad in ("", "1", "x" * 5000, str(uuid.uuid1()))
    ],
    "SubmitJobsRequest.jobs": [
        Refused(license_pb2.SubmitJobsRequest(request_id=str(uuid.uuid4()), jobs=jobs), "jobs")
        for jobs in ([], [*submit().jobs] * 1001)
    ],
    "StreamJobsRequest.request_id": [
        Refused(license_pb2.StreamJobsRequest(request_id="1", jobs=submit().jobs), "request_id")
    ],
    "StreamJobsRequest.jobs": [
        Refused(license_pb2.StreamJobsRequest(request_id=str(uuid.uuid4())), "jobs"),
        Refused(stream(submit(number="KA-00-UT-9173")), "jobs[0].number"),
    ],
    "JobSpec.number": [
        Refused(submit(number=bad), "jobs[0].number")
        for bad in ("", "KA-00-UT-9173", "KA-47-UT-9173\x07", "9" * 65, "9" * 900_000)
    ],
    "JobSpec.profile": [Refused(submit(profile=bad), "jobs[0].profile") for bad in (77, -1)],
    "JobSpec.load": SEEN_ELSEWHERE,
    "JobSpec.reference": [Refused(submit(reference="r" * 129), "jobs[0].reference")],
    "Load.collision": SEEN_ELSEWHERE,
    "Load.verify": SEEN_ELSEWHERE,
    "Load.busy": SEEN_ELSEWHERE,
    "Collision.difficulty_bits": [
        Refused(
            loaded(collision=job_pb2.Collision(difficulty_bits=bad)),
            "jobs[0].load.collision.difficulty_bits",
        )
        for bad in (0, 41, 2**32 - 1)
    ],
    "Collision.seed": AnyValue("a seed may be any number"),
    "Verify.repetitions": [
        Refused(loaded(verify=job_pb2.Verify(repetitions=bad)), "jobs[0].load.verify.repetitions")
        for bad in (0, 10_000_001)
    ],
    "Busy.duration": [
        Refused(loaded(busy=job_pb2.Busy(duration=bad)), "jobs[0].load.busy.duration")
        for bad in (None, {"seconds": -1}, {"seconds": 3601}, {"seconds": 2**62}, {"nanos": -5})
    ],
    "GetJobRequest.job_id": [
        Refused(license_pb2.GetJobRequest(job_id=bad), "job_id", NOT_FOUND)
        for bad in ("", "x" * 5000, "00000000-1", "-1", NUMBER)
    ],
    "WaitJobsRequest.job_ids": [
        Refused(license_pb2.WaitJobsRequest(), "job_ids"),
        Refused(license_pb2.WaitJobsRequest(job_ids=["x"] * 1001), "job_ids"),
        Refused(license_pb2.WaitJobsRequest(job_ids=["x"]), "job_ids", NOT_FOUND),
    ],
    "WaitJobsRequest.timeout": [
        Refused(license_pb2.WaitJobsRequest(job_ids=["x"], timeout=bad), "timeout")
        for bad in ({"seconds": -1}, {"seconds": 301}, {"seconds": 2**62})
    ],
    "ListJobsRequest.page_size": [
        Refused(license_pb2.ListJobsRequest(page_size=1001), "page_size")
    ],
    "ListJobsRequest.page_token": [
        Refused(license_pb2.ListJobsRequest(page_token=bad), "page_token")
        for bad in ("x", "00000000-1", "x" * 5000)
    ],
    "ListJobsRequest.states": [
        Refused(license_pb2.ListJobsRequest(states=[77]), "states[0]"),  # type: ignore[list-item]
        Refused(license_pb2.ListJobsRequest(states=[1] * 17), "states"),  # type: ignore[list-item]
    ],
    "CancelJobsRequest.job_ids": [
        Refused(license_pb2.CancelJobsRequest(), "job_ids"),
        Refused(license_pb2.CancelJobsRequest(job_ids=["x"] * 1001), "job_ids"),
        Refused(license_pb2.CancelJobsRequest(job_ids=["x"]), "job_ids", NOT_FOUND),
    ],
    "WatchResultsRequest.cursor": [
        Refused(license_pb2.WatchResultsRequest(cursor=bad), "cursor")
        for bad in ("x", "00000000-1r", "r", "x" * 5000)
    ],
    "WatchResultsRequest.from_start": AnyValue("yes or no"),
    "WatchResultsRequest.until_end": AnyValue("yes or no"),
    "WatchResultsRequest.announce_start": AnyValue("yes or no"),
    "WatchResultsRequest.batched": AnyValue("yes or no"),
    "VerifyLicenseRequest.number": [
        Refused(
            license_pb2.VerifyLicenseRequest(number=bad, hash="0" * 64 + ":" + "0" * 32), "number"
        )
        for bad in ("", "9" * 65, "A\x07")
    ],
    "VerifyLicenseRequest.hash": [
        Refused(license_pb2.VerifyLicenseRequest(number=NUMBER, hash=bad), "hash")
        for bad in ("", "x", "$" * 5000, "0" * 64 + ":" + "0" * 33)
    ],
    # -- fleet
    "CordonWorkerRequest.worker_id": [
        Refused(fleet_pb2.CordonWorkerRequest(worker_id=bad), "worker_id")
        for bad in ("", "w" * 129, "w\n")
    ],
    "CordonWorkerRequest.reason": [
        Refused(fleet_pb2.CordonWorkerRequest(worker_id="w", reason="r" * 501), "reason")
    ],
    "CordonWorkerRequest.max_leases": AnyValue("any number of leases may be too many"),
    "DrainWorkerRequest.worker_id": [Refused(fleet_pb2.DrainWorkerRequest(), "worker_id")],
    "DrainWorkerRequest.reason": [
        Refused(fleet_pb2.DrainWorkerRequest(worker_id="w", reason="r" * 501), "reason")
    ],
    "DrainWorkerRequest.deadline": [
        Refused(fleet_pb2.DrainWorkerRequest(worker_id="w", deadline=bad), "deadline")
        for bad in ({"seconds": -1}, {"seconds": 7 * 86400 + 1})
    ],
    "UncordonWorkerRequest.worker_id": [Refused(fleet_pb2.UncordonWorkerRequest(), "worker_id")],
    # -- workers
    "WorkRequest.hello": [Refused(hello(), "hello")],
    "WorkRequest.credit": SEEN_ELSEWHERE,
    "WorkRequest.results": SEEN_ELSEWHERE,
    "WorkRequest.heartbeat": SEEN_ELSEWHERE,
    "WorkRequest.release": SEEN_ELSEWHERE,
    "WorkRequest.draining": SEEN_ELSEWHERE,
    "WorkRequest.goodbye": SEEN_ELSEWHERE,
    "Hello.worker_id": [
        Refused(hello(worker_id=bad), "hello.worker_id") for bad in ("", "w" * 129, "w\n")
    ],
    "Hello.instance_id": [Refused(hello(instance_id="i" * 129), "hello.instance_id")],
    "Hello.join_token": [Refused(hello(join_token="t" * 4097), "hello.join_token")],
    "Hello.slots": [Refused(hello(slots=bad), "hello.slots") for bad in (0, 4097, 2**32 - 1)],
    "Hello.software_version": [
        Refused(hello(software_version="v" * 129), "hello.software_version")
    ],
    "Hello.image_generation": [
        Refused(hello(image_generation="g" * 129), "hello.image_generation")
    ],
    "Hello.held": [Refused(hello(held=LEASES), "hello.held")],
    "Hello.store_id": [Refused(hello(store_id="s" * 129), "hello.store_id")],
    "Hello.uptime": [
        Refused(hello(uptime=bad), "hello.uptime") for bad in ({"seconds": -1}, {"seconds": 2**62})
    ],
    "Hello.profiles": [
        Refused(hello(profiles=bad), "hello.profiles") for bad in ([], [LEGACY] * 17, [77])
    ],
    "Lease.key": [Refused(result(key=2**63, epoch=1), "results.outcomes")],
    "Lease.epoch": [Refused(result(key=1, epoch=2**63), "results.outcomes")],
    "Lease.count": [
        Refused(result(key=1, epoch=1, count=bad), "results.outcomes")
        for bad in (65_537, 2**32 - 1)
    ],
    "Credit.jobs": [
        Refused(work(credit={"jobs": bad}), "credit.jobs") for bad in (1_000_001, 2**32 - 1)
    ],
    "Results.credit": [Refused(work(results={"credit": 1_000_001}), "results.credit")],
    "Results.outcomes": [Refused(work(results={"outcomes": [{}] * 20_001}), "results.outcomes")],
    "Outcome.lease": STRANGER,
    "Outcome.hashes": [Refused(result(key=1, epoch=1, count=2), "results.outcomes[0].hashes")],
    "Outcome.refusal": SEEN_ELSEWHERE,
    "Outcome.service_time": AnyValue("kept between 0 and ten years"),
    "Refusal.retryable": AnyValue("yes or no"),
    "Refusal.message": AnyValue("cut at 500 characters: a worker would send it again for ever"),
    "Heartbeat.held": [Refused(work(heartbeat={"held": LEASES}), "heartbeat.held")],
    "Heartbeat.busy_slots": [Refused(work(heartbeat={"busy_slots": 4097}), "heartbeat.busy_slots")],
    "Release.leases": [Refused(work(release={"leases": LEASES}), "release.leases")],
    "Release.credit": [Refused(work(release={"credit": 1_000_001}), "release.credit")],
    "Draining.reason": [Refused(work(draining={"reason": "r" * 501}), "draining.reason")],
    "Goodbye.reason": [Refused(work(goodbye={"reason": "r" * 501}), "goodbye.reason")],
}


def fields() -> set[str]:
    """`Message.field` of everything that a client, worker or scaler can send."""
    found: set[str] = set()
    left: list[Descriptor] = [method.input_type for each in SERVICES for method in each.methods]
    while left:
        message = left.pop()
        for field in message.fields:
            name = f"{message.name}.{field.name}"
            inner = field.message_type
            if name not in found and inner is not None and inner.full_name.startswith("virtscale."):
                left.append(inner)
            found.add(name)
    return found


def test_every_field_has_a_row_and_every_row_a_field() -> None:
    assert fields() == set(ROWS)
    assert all(row.why if isinstance(row, AnyValue) else row for row in ROWS.values())


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DispatcherProcess]:
    made = DispatcherProcess(tmp_path_factory.mktemp("limits"), number_formats=["in"])
    made.start()
    yield made
    asyncio.run(made.close())


@pytest.fixture
async def channel(process: DispatcherProcess) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(process.address) as made:
        yield made


def method_of(request: Message) -> str:
    for service in SERVICES:
        for method in service.methods:
            if method.input_type is request.DESCRIPTOR:
                return f"/{service.full_name}/{method.name}"
    raise AssertionError(f"no method takes {request.DESCRIPTOR.name}")


async def send(channel: grpc.aio.Channel, request: Message) -> grpc.aio.Call:
    call = channel.stream_stream(
        method_of(request), request_serializer=lambda message: message.SerializeToString()
    )()
    if isinstance(request, worker_pb2.WorkRequest) and not is_first(request):
        await call.write(hello())
    await call.write(request)
    await call.done_writing()
    # A status is seen only behind the answers before it.
    with contextlib.suppress(grpc.aio.AioRpcError):
        async for _ in call:
            pass
    return call


def is_first(request: worker_pb2.WorkRequest) -> bool:
    """A faulty Hello is the first message; a good one is at fault as the second."""
    second = ROWS["WorkRequest.hello"]
    assert isinstance(second, list)
    return request.HasField("hello") and request != second[0].request


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=f"{name}-{index}")
        for name, row in ROWS.items()
        if not isinstance(row, AnyValue)
        for index, case in enumerate(row)
    ],
)
async def test_what_breaks_a_limit_is_refused_and_the_field_named(
    process: DispatcherProcess, channel: grpc.aio.Channel, case: Refused
) -> None:
    call = await send(channel, case.request)
    code = await asyncio.wait_for(call.code(), PATIENCE)
    text = str(await call.details())
    assert (code, case.named in text) == (case.code, True), text
    trailing = dict(await call.trailing_metadata() or ())
    assert case.named.encode() in trailing["grpc-status-details-bin"]
    if code is INVALID:
        assert b"google.rpc.BadRequest" in trailing["grpc-status-details-bin"]
    assert "UT-9173" not in text + process.log.read_text()
    assert len(text) < 1000


async def test_nothing_of_a_refused_batch_is_accepted(
    process: DispatcherProcess, channel: grpc.aio.Channel
) -> None:
    good, bad = submit().jobs[0], submit(number="KA-00-UT-9173").jobs[0]
    request = license_pb2.SubmitJobsRequest(
        request_id=str(uuid.uuid4()), jobs=[good, bad] * 150 + [good]
    )
    call = await send(channel, request)
    assert await asyncio.wait_for(call.code(), PATIENCE) is INVALID
    details = dict(await call.trailing_metadata() or ())["grpc-status-details-bin"]
    # As many as fit into a status that clients take; the last one says how many are left out.
    assert details.count(b"district is 00") > 40
    assert b"jobs[1].number" in details
    assert b"jobs[41].number" in details
    assert b"more after it" in details
    backlog = channel.unary_unary(
        "/virtscale.v1.FleetService/GetBacklog",
        response_deserializer=fleet_pb2.GetBacklogResponse.FromString,
    )
    assert (await backlog(b"")).accepted == 0
