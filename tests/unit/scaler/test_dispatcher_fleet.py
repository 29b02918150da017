"""The adapter against a gRPC server in this process."""

import asyncio

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from virtscale.v1 import fleet_pb2, fleet_pb2_grpc

from scaler.dispatcher_fleet import DispatcherFleet
from scaler.pool import WorkerRecord, WorkerState
from scaler.ports import DrainEnd, FleetError
from scaler.status_page.load import Backlog


class Service(fleet_pb2_grpc.FleetServiceServicer):
    def __init__(self):
        self.requests = []
        self.outcome = fleet_pb2.DRAIN_OUTCOME_DRAINED
        self.is_known = True
        self.ready = 3

    async def ListWorkers(self, request, context):
        return fleet_pb2.ListWorkersResponse(
            workers=[
                fleet_pb2.Worker(
                    worker_id="a",
                    state=fleet_pb2.WORKER_STATE_READY,
                    slots=2,
                    busy_slots=1,
                    leases=3,
                    connected_at=Timestamp(seconds=100, nanos=500_000_000),
                    oldest_lease_at=Timestamp(seconds=200),
                ),
                fleet_pb2.Worker(worker_id="b", state=fleet_pb2.WORKER_STATE_DISCONNECTED),
                fleet_pb2.Worker(worker_id="c", state=77),
            ]
        )

    async def GetBacklog(self, request, context):
        oldest = Duration(seconds=1, nanos=500_000_000) if self.ready else None
        return fleet_pb2.GetBacklogResponse(
            ready=self.ready, leased=2, done=1, oldest_ready_age=oldest
        )

    async def CordonWorker(self, request, context):
        self.requests.append(request)
        return fleet_pb2.CordonWorkerResponse(granted=request.max_leases != 1)

    async def DrainWorker(self, request, context):
        self.requests.append(request)
        return fleet_pb2.DrainWorkerResponse(outcome=self.outcome)

    async def UncordonWorker(self, request, context):
        if not self.is_known:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such worker")
        self.requests.append(request)
        return fleet_pb2.UncordonWorkerResponse()


class Scene:
    def __init__(self, service, fleet, server):
        self.service, self.fleet, self.server = service, fleet, server


@pytest.fixture
async def scene():
    server = grpc.aio.server()
    service = Service()
    fleet_pb2_grpc.add_FleetServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    fleet = DispatcherFleet(f"127.0.0.1:{port}", timeout_seconds=5.0)
    yield Scene(service, fleet, server)
    await fleet.close()
    await server.stop(None)


async def test_translates_workers(scene):
    assert await scene.fleet.workers() == (
        WorkerRecord("a", WorkerState.READY, 2, 1, 3, 100.5, 200.0),
        WorkerRecord("b", WorkerState.DISCONNECTED, 0, 0, 0, None, None),
        WorkerRecord("c", WorkerState.DISCONNECTED, 0, 0, 0, None, None),
    )


async def test_tells_of_the_queue_and_of_none(scene):
    assert await scene.fleet.backlog() == Backlog(3, 2, 1, 0, 1.5)
    scene.service.ready = 0
    assert await scene.fleet.backlog() == Backlog(0, 2, 1, 0, None)


async def test_cordons_with_a_limit_or_without(scene):
    assert not await scene.fleet.cordon("a", reason="scale_in", max_leases=1)
    assert await scene.fleet.cordon("a", reason="scale_in", max_leases=None)
    limited, unlimited = scene.service.requests
    assert (limited.worker_id, limited.reason, limited.max_leases) == ("a", "scale_in", 1)
    assert not unlimited.HasField("max_leases")


@pytest.mark.parametrize(
    ("outcome", "end"),
    [
        (fleet_pb2.DRAIN_OUTCOME_DRAINED, DrainEnd.DRAINED),
        (fleet_pb2.DRAIN_OUTCOME_DEADLINE, DrainEnd.DEADLINE),
        (fleet_pb2.DRAIN_OUTCOME_CANCELLED, DrainEnd.CANCELLED),
        (fleet_pb2.DRAIN_OUTCOME_LOST, DrainEnd.LOST),
    ],
)
async def test_drains_by_a_deadline(scene, outcome, end):
    scene.service.outcome = outcome
    assert await scene.fleet.drain("a", reason="scale_in", deadline_seconds=1.5) is end
    (request,) = scene.service.requests
    assert request.deadline == Duration(seconds=1, nanos=500_000_000)


async def test_uncordoning_an_unknown_worker_is_done_already(scene):
    await scene.fleet.uncordon("a")
    scene.service.is_known = False
    await scene.fleet.uncordon("a")
    assert len(scene.service.requests) == 1


async def test_a_dispatcher_that_is_away_is_an_error_of_ours(scene):
    await scene.server.stop(None)
    with pytest.raises(FleetError, match="dispatcher: UNAVAILABLE"):
        await asyncio.wait_for(scene.fleet.workers(), 10)
