"""gRPC metrics of a real server with a servicer that does what a test says."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry, generate_latest
from virtscale.v1 import job_pb2, license_pb2, license_pb2_grpc

from dispatcher.grpc_api.call_metrics import MeasureCalls
from dispatcher.grpc_api.malformed import RefuseMalformed
from dispatcher.grpc_server.listener import Listener
from dispatcher.grpc_server.service import Service

SERVICE = "virtscale.v1.LicenseService"


class Servicer(license_pb2_grpc.LicenseServiceServicer):
    def __init__(self) -> None:
        self.is_waiting = asyncio.Event()

    async def GetJob(self, request: Any, context: Any) -> Any:
        if request.job_id == "unknown":
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such job")
        if request.job_id == "slow":
            self.is_waiting.set()
            await asyncio.Event().wait()
        if request.job_id == "bug":
            raise RuntimeError("a bug")
        return license_pb2.GetJobResponse()

    async def StreamJobs(self, request_iterator: Any, context: Any) -> None:  # type: ignore[override]
        async for _ in request_iterator:
            await context.write(license_pb2.StreamJobsResponse())
            await context.write(license_pb2.StreamJobsResponse())

    async def WatchResults(self, request: Any, context: Any) -> AsyncIterator[Any]:
        for _ in range(3):
            yield license_pb2.WatchResultsResponse()
        if request.cursor == "refused":
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no cursor")


class World:
    def __init__(self, registry: CollectorRegistry, servicer: Servicer, channel: Any) -> None:
        self.registry = registry
        self.servicer = servicer
        self.channel = channel
        self.stub: Any = license_pb2_grpc.LicenseServiceStub(channel)

    def value(self, name: str, method: str, kind: str = "unary", **labels: str) -> float | None:
        own = {"grpc_type": kind, "grpc_service": SERVICE, "grpc_method": method}
        return self.registry.get_sample_value(name, own | labels)

    async def handled(self, method: str, code: str, kind: str = "unary") -> None:
        """Waits: the client may hear of an end before the server has counted it."""
        async with asyncio.timeout(15):
            while not self.value("grpc_server_handled_total", method, kind, grpc_code=code):  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    registry = CollectorRegistry()
    service = license_pb2.DESCRIPTOR.services_by_name["LicenseService"]
    server: Any = Service([MeasureCalls(registry, [service]), RefuseMalformed()])
    servicer = Servicer()
    license_pb2_grpc.add_LicenseServiceServicer_to_server(servicer, server)
    listener = Listener(server, most=lambda _method: 1 << 20, context=None)
    port = listener.bind("127.0.0.1", 0)
    listener.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield World(registry, servicer, channel)
    await listener.stop(0)


async def test_a_unary_call_is_counted_and_timed(world: World) -> None:
    assert world.value("grpc_server_started_total", "GetJob") == 0
    for _ in range(3):
        await world.stub.GetJob(license_pb2.GetJobRequest(job_id="x"))
    await world.handled("GetJob", "OK")
    for name in ("started", "msg_received", "msg_sent"):
        assert world.value(f"grpc_server_{name}_total", "GetJob") == 3
    assert world.value("grpc_server_handled_total", "GetJob", grpc_code="OK") == 3
    assert world.value("grpc_server_handling_seconds_count", "GetJob") == 3


@pytest.mark.parametrize(("job_id", "expected"), [("unknown", "NotFound"), ("bug", "Unknown")])
async def test_how_a_call_ended_is_counted(world: World, job_id: str, expected: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await world.stub.GetJob(license_pb2.GetJobRequest(job_id=job_id))
    await world.handled("GetJob", expected)
    assert world.value("grpc_server_handled_total", "GetJob", grpc_code="OK") == 0
    assert world.value("grpc_server_msg_sent_total", "GetJob") == 0


async def test_a_caller_that_gave_up_is_told_from_one_whose_time_was_over(world: World) -> None:
    call = world.stub.GetJob(license_pb2.GetJobRequest(job_id="slow"))
    await world.servicer.is_waiting.wait()
    call.cancel()
    await world.handled("GetJob", "Canceled")
    with pytest.raises(grpc.aio.AioRpcError):
        await world.stub.GetJob(license_pb2.GetJobRequest(job_id="slow"), timeout=0.2)
    await world.handled("GetJob", "DeadlineExceeded")


async def test_messages_of_streams_are_counted_both_ways(world: World) -> None:
    call = world.stub.StreamJobs()
    for _ in range(4):
        await call.write(license_pb2.StreamJobsRequest(jobs=[job_pb2.JobSpec()]))
    await call.done_writing()
    assert len([each async for each in call]) == 8
    await world.handled("StreamJobs", "OK", "bidi_stream")
    assert world.value("grpc_server_msg_received_total", "StreamJobs", "bidi_stream") == 4
    assert world.value("grpc_server_msg_sent_total", "StreamJobs", "bidi_stream") == 8
    assert world.value("grpc_server_handling_seconds_count", "StreamJobs", "bidi_stream") is None


async def test_an_answering_stream_is_counted_whatever_its_end(world: World) -> None:
    call = world.stub.WatchResults(license_pb2.WatchResultsRequest())
    assert len([each async for each in call]) == 3
    await world.handled("WatchResults", "OK", "server_stream")
    with pytest.raises(grpc.aio.AioRpcError):
        async for _ in world.stub.WatchResults(license_pb2.WatchResultsRequest(cursor="refused")):
            pass
    await world.handled("WatchResults", "InvalidArgument", "server_stream")
    assert world.value("grpc_server_msg_sent_total", "WatchResults", "server_stream") == 6
    assert world.value("grpc_server_msg_received_total", "WatchResults", "server_stream") == 2


async def test_what_another_interceptor_refuses_is_counted(world: World) -> None:
    raw = world.channel.unary_unary(f"/{SERVICE}/GetJob")
    with pytest.raises(grpc.aio.AioRpcError):
        await raw(b"\xff\xff")
    await world.handled("GetJob", "InvalidArgument")


async def test_names_that_anybody_may_send_make_no_series(world: World) -> None:
    for path in (f"/{SERVICE}/NoSuchMethod", "/some.Service/Call"):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await world.channel.unary_unary(path)(b"")
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    health = health_pb2_grpc.HealthStub(world.channel)
    with pytest.raises(grpc.aio.AioRpcError):
        await health.Check(health_pb2.HealthCheckRequest())
    text = generate_latest(world.registry).decode()
    assert "NoSuchMethod" not in text
    assert "some.Service" not in text
