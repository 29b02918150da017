"""The scaler's and operators' calls."""

from typing import Any

from virtscale.v1 import fleet_pb2, fleet_pb2_grpc

from dispatcher import plates
from dispatcher.grpc_api import errors, translation
from dispatcher.ports import FleetDesk, StoreUnavailableError

_DEFAULT_DRAIN_SECONDS = 60.0


class FleetServicer(fleet_pb2_grpc.FleetServiceServicer):
    """Checks, asks the desk, translates."""

    def __init__(self, desk: FleetDesk) -> None:
        self._desk = desk

    async def ListWorkers(
        self, request: fleet_pb2.ListWorkersRequest, context: Any
    ) -> fleet_pb2.ListWorkersResponse:
        """See fleet.proto."""
        wall = self._desk.wall()
        return fleet_pb2.ListWorkersResponse(
            workers=[translation.worker_message(worker, wall) for worker in self._desk.workers()]
        )

    async def CordonWorker(
        self, request: fleet_pb2.CordonWorkerRequest, context: Any
    ) -> fleet_pb2.CordonWorkerResponse:
        """See fleet.proto."""
        limit = request.max_leases if request.HasField("max_leases") else None
        try:
            answer = await self._desk.cordon(
                request.worker_id, plates.redact(request.reason), limit
            )
        except StoreUnavailableError as error:
            await errors.abort(context, error)
        return fleet_pb2.CordonWorkerResponse(granted=answer.is_granted, leases=answer.leases)

    async def DrainWorker(
        self, request: fleet_pb2.DrainWorkerRequest, context: Any
    ) -> fleet_pb2.DrainWorkerResponse:
        """See fleet.proto."""
        seconds = _DEFAULT_DRAIN_SECONDS
        if request.HasField("deadline"):
            seconds = translation.seconds(request.deadline)
        try:
            outcome, taken_back = await self._desk.drain(
                request.worker_id, plates.redact(request.reason), seconds
            )
        except StoreUnavailableError as error:
            await errors.abort(context, error)
        return fleet_pb2.DrainWorkerResponse(
            outcome=translation.drain_outcome(outcome), leases_taken_back=taken_back
        )

    async def UncordonWorker(
        self, request: fleet_pb2.UncordonWorkerRequest, context: Any
    ) -> fleet_pb2.UncordonWorkerResponse:
        """See fleet.proto."""
        try:
            was_cordoned = await self._desk.uncordon(request.worker_id)
        except StoreUnavailableError as error:
            await errors.abort(context, error)
        return fleet_pb2.UncordonWorkerResponse(was_cordoned=was_cordoned)

    async def GetBacklog(
        self, request: fleet_pb2.GetBacklogRequest, context: Any
    ) -> fleet_pb2.GetBacklogResponse:
        """See fleet.proto."""
        backlog = self._desk.backlog()
        counts = backlog.counts
        message = fleet_pb2.GetBacklogResponse(
            accepted=counts.accepted,
            ready=counts.ready,
            leased=counts.leased,
            done=counts.done,
            failed=counts.failed,
            cancelled=counts.cancelled,
            slots=backlog.slots,
        )
        if backlog.oldest_ready_age is not None:
            message.oldest_ready_age.CopyFrom(translation.duration(backlog.oldest_ready_age))
        return message
