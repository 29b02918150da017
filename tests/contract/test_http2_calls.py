"""The benchmarks' own HTTP/2 client against a real gRPC server."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from virtscale.v1 import license_pb2, license_pb2_grpc

from bench.http2_calls import Call, Calls, Method, connect

ROOT = Path(__file__).resolve().parents[2]
SERVICE = "/virtscale.v1.LicenseService"


def details(text: str) -> bytes:
    """As the dispatcher sends them: bytes that are no text."""
    return b"\x08\x08\xff\x00type.googleapis.com/google.rpc.RetryInfo" + text.encode()


class Servicer(license_pb2_grpc.LicenseServiceServicer):
    """Does what the request id says."""

    def __init__(self) -> None:
        self.never = asyncio.Event()
        self.running = self.most_running = 0
        self.is_cancelled = asyncio.Event()

    async def SubmitJobs(self, request: Any, context: Any) -> Any:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            return await self._answer(request, context)
        finally:
            self.running -= 1

    async def _answer(self, request: Any, context: Any) -> Any:
        name, _, rest = request.request_id.partition(" ")
        if name == "refuse":
            context.set_trailing_metadata((("grpc-status-details-bin", details(rest)),))
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, rest)
        if name == "slow":
            try:
                await self.never.wait()
            except asyncio.CancelledError:
                self.is_cancelled.set()
                raise
        return license_pb2.SubmitJobsResponse(job_ids=[rest])

    async def WatchResults(self, request: Any, context: Any) -> Any:
        for number in range(int(request.cursor)):
            yield license_pb2.WatchResultsResponse(cursor=str(number))


Serve = Callable[..., Awaitable[tuple[Servicer, grpc.aio.Server, str]]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    servers = []

    async def begin(*options: tuple[str, Any]) -> tuple[Servicer, grpc.aio.Server, str]:
        server = grpc.aio.server(options=options)
        servers.append(server)
        servicer = Servicer()
        license_pb2_grpc.add_LicenseServiceServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return servicer, server, f"127.0.0.1:{port}"

    yield begin
    for server in servers:
        await server.stop(0)


def submit(address: str, *ids: str, deadline: float = 30.0) -> list[Call]:
    method = Method(f"{SERVICE}/SubmitJobs", address, deadline)
    requests = [license_pb2.SubmitJobsRequest(request_id=each) for each in ids]
    return [method.call(each.SerializeToString()) for each in requests]


async def finished(connection: Calls, calls: list[Call]) -> list[str]:
    connection.start(calls)
    await connection.drained()
    return [call.code for call in calls]


def job_id(call: Call) -> str:
    return str(license_pb2.SubmitJobsResponse.FromString(call.message).job_ids[0])


async def test_calls_are_answered(serve):
    _, _, address = await serve()
    connection = await connect(address, 30)
    ids = [f"echo {number}" + "x" * (number * 1_000) for number in range(100)]
    calls = submit(address, *ids)
    assert set(await finished(connection, calls)) == {"OK"}
    assert [job_id(call) for call in calls] == [each.partition(" ")[2] for each in ids]
    assert all(call.sent <= call.answered <= time.monotonic() for call in calls)
    connection.close()


async def test_a_refusal_comes_with_its_details(serve):
    _, _, address = await serve()
    connection = await connect(address, 30)
    # Differing messages: no block equals another, and more than are remembered.
    calls = submit(address, *(f"refuse {number}" for number in range(1_200)))
    for first in range(0, len(calls), 40):
        found = await finished(connection, calls[first : first + 40])
        assert set(found) == {"RESOURCE_EXHAUSTED"}
    assert await finished(connection, submit(address, "echo me")) == ["OK"]
    for number, call in enumerate(calls):
        assert call.details == details(str(number))
    connection.close()


async def test_an_unknown_method_is_unimplemented(serve):
    _, _, address = await serve()
    connection = await connect(address, 30)
    call = Method(f"{SERVICE}/Nothing", address, 30).call(b"")
    assert await finished(connection, [call]) == ["UNIMPLEMENTED"]
    connection.close()


async def test_a_slow_call_ends_at_its_deadline_on_both_sides(serve):
    servicer, _, address = await serve()
    connection = await connect(address, 1.0)
    slow, quick = calls = submit(address, "slow", "echo me", deadline=1.0)
    assert await finished(connection, calls) == ["DEADLINE_EXCEEDED", "OK"]
    assert 1.0 <= slow.answered - slow.sent < 10
    assert quick.answered < slow.answered
    await asyncio.wait_for(servicer.is_cancelled.wait(), 20)
    assert await finished(connection, submit(address, "echo me", deadline=1.0)) == ["OK"]
    connection.close()


async def test_twenty_thousand_calls_respect_the_servers_limit(serve):
    servicer, _, address = await serve(("grpc.max_concurrent_streams", 100))
    connection = await connect(address, 60)
    calls = submit(address, *(f"echo {number}" for number in range(20_000)), deadline=60)
    found = Counter(await finished(connection, calls))
    # grpc's server counts a stream for a moment after it has said that it ended, and refuses the
    # next one; with a thousand calls pending it cancels some. grpc's own client sees the same.
    assert set(found) <= {"OK", "UNAVAILABLE", "CANCELLED"}
    assert found.total() == 20_000
    assert found["OK"] > 1_000
    for number, call in enumerate(calls):
        assert call.code != "OK" or job_id(call) == str(number)
    assert servicer.most_running <= 100
    connection.close()


async def test_a_server_that_stops_ends_what_it_has_not_answered(serve):
    servicer, server, address = await serve()
    connection = await connect(address, 30)
    calls = submit(address, "slow", "slow")
    connection.start(calls)
    deadline = time.monotonic() + 20
    while servicer.running < 2:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    await server.stop(0)
    await connection.drained()
    assert {call.code for call in calls} <= {"UNAVAILABLE", "CANCELLED"}
    assert await finished(connection, submit(address, "echo me")) == ["UNAVAILABLE"]
    with pytest.raises(OSError):
        await connect(address, 30)


async def test_a_streamed_answer_arrives_whole(serve):
    _, _, address = await serve()
    connection = await connect(address, float("inf"))
    request = license_pb2.WatchResultsRequest(cursor="500")
    call = Method(f"{SERVICE}/WatchResults", address, float("inf")).call(
        request.SerializeToString()
    )
    taken: list[bytes] = []
    call.on_message = lambda message, _: taken.append(message)
    assert await finished(connection, [call]) == ["OK"]
    cursors = [license_pb2.WatchResultsResponse.FromString(each).cursor for each in taken]
    assert cursors == [str(number) for number in range(500)]
    connection.close()


async def test_the_generator_makes_every_call_once_and_never_early(serve, tmp_path):
    _, _, address = await serve()
    written = tmp_path / "rows.json"
    asked = {
        "address": address,
        "rate": 400.0,
        "begin_at": time.monotonic() + 2,
        "seconds": 1.0,
        "seed": 5,
        "start": 0,
        "deadline": 10.0,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.generator", json.dumps(asked), written),
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"},
        stderr=subprocess.PIPE,
    )
    _, errors = await asyncio.wait_for(process.communicate(), 40)
    assert process.returncode == 0, errors
    found = json.loads(written.read_text())
    assert found["cpu_seconds"] > 0
    assert 300 < len(found["rows"]) < 500
    for row in found["rows"]:
        assert row["code"] == "OK"
        assert row["due"] <= row["sent"] <= row["answered"]
        assert "job_id" in row
