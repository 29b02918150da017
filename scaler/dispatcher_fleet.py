"""Workers through the dispatcher's FleetService. The only importer of `virtscale.v1` here."""

from types import MappingProxyType
from typing import Any

import grpc
import grpc.aio
from google.protobuf.duration_pb2 import Duration
from virtscale.v1 import fleet_pb2, fleet_pb2_grpc

from scaler.pool import WorkerRecord, WorkerState
from scaler.ports import DrainEnd, FleetError
from scaler.status_page.load import Backlog
from servicekit.tls import TokenFile, handshake_hint

_STATES = MappingProxyType(
    {
        fleet_pb2.WORKER_STATE_READY: WorkerState.READY,
        fleet_pb2.WORKER_STATE_CORDONED: WorkerState.CORDONED,
        fleet_pb2.WORKER_STATE_DRAINING: WorkerState.DRAINING,
        fleet_pb2.WORKER_STATE_DISCONNECTED: WorkerState.DISCONNECTED,
    }
)
_ENDS = MappingProxyType(
    {
        fleet_pb2.DRAIN_OUTCOME_DRAINED: DrainEnd.DRAINED,
        fleet_pb2.DRAIN_OUTCOME_DEADLINE: DrainEnd.DEADLINE,
        fleet_pb2.DRAIN_OUTCOME_CANCELLED: DrainEnd.CANCELLED,
        fleet_pb2.DRAIN_OUTCOME_LOST: DrainEnd.LOST,
    }
)
_OPTIONS = (
    # A dispatcher that comes back must be noticed within a turn or two, not after gRPC's minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.enable_http_proxy", 0),
)
_DRAIN_GRACE_SECONDS = 5.0


class DispatcherFleet:
    """Asks one dispatcher."""

    def __init__(
        self,
        target: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        token: TokenFile | None = None,
        timeout_seconds: float = 2.0,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._token = token
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(target, credentials, options=_OPTIONS)
        self._stub: Any = fleet_pb2_grpc.FleetServiceStub(self._channel)

    async def workers(self) -> tuple[WorkerRecord, ...]:
        """See `FleetControl.workers`."""
        answer = await self._call(self._stub.ListWorkers, fleet_pb2.ListWorkersRequest())
        return tuple(_record(worker) for worker in answer.workers)

    async def cordon(self, worker_id: str, *, reason: str, max_leases: int | None) -> bool:
        """See `FleetControl.cordon`."""
        request = fleet_pb2.CordonWorkerRequest(worker_id=worker_id, reason=reason)
        if max_leases is not None:
            request.max_leases = max_leases
        answer = await self._call(self._stub.CordonWorker, request)
        return bool(answer.granted)

    async def drain(self, worker_id: str, *, reason: str, deadline_seconds: float) -> DrainEnd:
        """See `FleetControl.drain`."""
        deadline = Duration()
        deadline.FromMilliseconds(max(1, int(deadline_seconds * 1000)))
        request = fleet_pb2.DrainWorkerRequest(
            worker_id=worker_id, reason=reason, deadline=deadline
        )
        answer = await self._call(
            self._stub.DrainWorker, request, deadline_seconds + _DRAIN_GRACE_SECONDS
        )
        return _ENDS.get(answer.outcome, DrainEnd.LOST)

    async def uncordon(self, worker_id: str) -> None:
        """See `FleetControl.uncordon`."""
        request = fleet_pb2.UncordonWorkerRequest(worker_id=worker_id)
        try:
            await self._call(self._stub.UncordonWorker, request)
        except _UnknownWorkerError:
            return

    async def backlog(self) -> Backlog:
        """The counts of jobs, for the status page.

        Raises:
            FleetError: the dispatcher does not answer.

        """
        answer = await self._call(self._stub.GetBacklog, fleet_pb2.GetBacklogRequest())
        oldest = answer.oldest_ready_age
        has_oldest = answer.HasField("oldest_ready_age")
        return Backlog(
            ready=answer.ready,
            leased=answer.leased,
            done=answer.done,
            failed=answer.failed,
            oldest_seconds=oldest.seconds + oldest.nanos / 1e9 if has_oldest else None,
        )

    async def close(self) -> None:
        """Ends the connection."""
        await self._channel.close()

    async def _call(self, method: Any, request: Any, timeout_seconds: float | None = None) -> Any:
        try:
            return await method(
                request,
                timeout=timeout_seconds or self._timeout_seconds,
                metadata=() if self._token is None else self._token.metadata(),
            )
        except grpc.aio.AioRpcError as error:
            detail = error.details() or ""
            text = f"dispatcher: {error.code().name}: {detail}{handshake_hint(detail)}"
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise _UnknownWorkerError(text) from None
            raise FleetError(text) from None


class _UnknownWorkerError(FleetError):
    """The dispatcher knows no such worker."""


def _record(worker: Any) -> WorkerRecord:
    return WorkerRecord(
        worker_id=worker.worker_id,
        state=_STATES.get(worker.state, WorkerState.DISCONNECTED),
        slots=worker.slots,
        busy_slots=worker.busy_slots,
        leases=worker.leases,
        connected_since=_seconds(worker, "connected_at"),
        oldest_lease_since=_seconds(worker, "oldest_lease_at"),
        silent_seconds=_seconds(worker, "heartbeat_age"),
    )


def _seconds(message: Any, field: str) -> float | None:
    if not message.HasField(field):
        return None
    moment = getattr(message, field)
    seconds: float = moment.seconds + moment.nanos / 1e9
    return seconds
