"""The gRPC server: options, services, listening."""

import socket
from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf.internal import api_implementation
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection
from prometheus_client import CollectorRegistry
from virtscale.v1 import (
    fleet_pb2,
    fleet_pb2_grpc,
    license_pb2,
    license_pb2_grpc,
    worker_pb2,
    worker_pb2_grpc,
)

from dispatcher import hashing
from dispatcher.grpc_api.call_metrics import MeasureCalls
from dispatcher.grpc_api.fleet_service import FleetServicer
from dispatcher.grpc_api.license_service import LicenseServicer
from dispatcher.grpc_api.malformed import RefuseMalformed
from dispatcher.grpc_api.turn_away import TurnAway
from dispatcher.grpc_api.worker_service import WorkerServicer
from dispatcher.jobs import JobNames
from dispatcher.ports import ClientDesk, FleetDesk, WorkDesk
from servicekit.lifecycle import StartError
from servicekit.metrics import listen_error

# What grpc itself refuses; `limits` refuses earlier, in words of ours.
_MAX_MESSAGE_BYTES = 4 * 1024 * 1024

_OPTIONS: Sequence[tuple[str, Any]] = (
    # Else a second dispatcher starts on the same port and takes half of the connections.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # Without it grpc waits a minute for a ping's answer, whatever keepalive_timeout_ms says.
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # Below the workers' own interval of 10 s, or jitter counts as abuse and closes their streams.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    # At the default of 1,000 grpc kills waiting calls at random, as CANCELLED without a reason.
    ("grpc.server.max_pending_requests", 100_000),
    ("grpc.server.max_pending_requests_hard_limit", 100_000),
)


class Server:
    """Serves the three services, health and reflection."""

    def __init__(
        self,
        *,
        clients: ClientDesk,
        workers: WorkDesk,
        fleet: FleetDesk,
        names: JobNames,
        cost: hashing.Cost,
        heartbeat_interval: float,
        lease_ttl: float,
        registry: CollectorRegistry,
    ) -> None:
        if api_implementation.Type() != "upb":
            raise StartError(
                f"protobuf runs its {api_implementation.Type()!r} implementation, about 90 times "
                "slower; install a protobuf wheel with upb"
            )
        described = [
            module.DESCRIPTOR.services_by_name[name]
            for module, name in (
                (license_pb2, "LicenseService"),
                (worker_pb2, "WorkerService"),
                (fleet_pb2, "FleetService"),
            )
        ]
        health = health_pb2.DESCRIPTOR.services_by_name["Health"]
        self._server = grpc.aio.server(
            # The first is the outermost: what the others refuse is counted too.
            interceptors=[
                MeasureCalls(registry, [*described, health]),
                TurnAway(clients),
                RefuseMalformed(),
            ],
            options=_OPTIONS,
        )
        self._health = health_aio.HealthServicer()
        license_pb2_grpc.add_LicenseServiceServicer_to_server(
            LicenseServicer(clients, names=names), self._server
        )
        worker_pb2_grpc.add_WorkerServiceServicer_to_server(
            WorkerServicer(
                workers,
                names=names,
                cost=cost,
                heartbeat_interval=heartbeat_interval,
                lease_ttl=lease_ttl,
            ),
            self._server,
        )
        fleet_pb2_grpc.add_FleetServiceServicer_to_server(FleetServicer(fleet), self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._services = [service.full_name for service in described]
        reflection.enable_server_reflection(
            [*self._services, health.full_name, reflection.SERVICE_NAME], self._server
        )

    async def start(self, host: str, port: int, credentials: grpc.ServerCredentials | None) -> int:
        """Listens and serves; returns the port (of use when 0 was asked for).

        Raises:
            StartError: the address cannot be used.

        """
        _probe(host, port)
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if credentials is None:
                bound = self._server.add_insecure_port(address)
            else:
                bound = self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise StartError(f"dispatcher: cannot listen on {address}: {error}") from None
        await self._server.start()
        for service in ("", *self._services):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        return bound

    async def refuse(self) -> None:
        """Says NOT_SERVING to whoever asks for health; calls are answered on."""
        for service in ("", *self._services):
            await self._health.set(service, health_pb2.HealthCheckResponse.NOT_SERVING)

    async def stop(self) -> None:
        """Ends all calls at once: clients repeat them, workers come back to the next process."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(0.2)


def _probe(host: str, port: int) -> None:
    """Binds the address once: grpc only says that it failed, not why."""
    if port == 0:
        return
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StartError(listen_error("dispatcher", host, port, error, "--listen")) from None
