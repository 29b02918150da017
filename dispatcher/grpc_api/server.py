"""The gRPC server: options, services, listening."""

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
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
from dispatcher.gate import Gate
from dispatcher.grpc_api.access_control import AccessControl
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


@dataclass(frozen=True)
class Listener:
    """A port to listen on; `option` is the flag that moves it."""

    host: str
    port: int
    credentials: grpc.ServerCredentials | None
    option: str

    @property
    def address(self) -> str:
        """As grpc wants it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class _Generic:
    """Takes services in without registering their methods.

    grpc.aio waits for the next call of each registered method by itself, and before every call it
    begins and ends all these waits: with our two dozen methods a sixth of a small call's CPU time.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """See `grpc.aio.Server`."""
        self._server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Any) -> None:
        """Nothing: the generic handlers of the same service have them all."""


class Server:
    """Serves clients and workers, health and reflection, on one listener or on two."""

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
        gate: Gate,
        has_worker_listener: bool,
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
                (fleet_pb2, "FleetService"),
                (worker_pb2, "WorkerService"),
            )
        ]
        health = health_pb2.DESCRIPTOR.services_by_name["Health"]
        # The first is the outermost: what the others refuse is counted too.
        interceptors = [
            MeasureCalls(registry, [*described, health]),
            AccessControl(gate),
            TurnAway(clients),
            RefuseMalformed(),
        ]
        self._server = grpc.aio.server(interceptors=interceptors, options=_OPTIONS)
        self._worker_server = (
            grpc.aio.server(interceptors=interceptors, options=_OPTIONS)
            if has_worker_listener
            else None
        )
        self._health = health_aio.HealthServicer()
        served_here: Any = _Generic(self._server)
        license_pb2_grpc.add_LicenseServiceServicer_to_server(
            LicenseServicer(clients, names=names), served_here
        )
        fleet_pb2_grpc.add_FleetServiceServicer_to_server(FleetServicer(fleet), served_here)
        served_with_workers: Any = _Generic(self._worker_server or self._server)
        worker_pb2_grpc.add_WorkerServiceServicer_to_server(
            WorkerServicer(
                workers,
                names=names,
                cost=cost,
                heartbeat_interval=heartbeat_interval,
                lease_ttl=lease_ttl,
                refusals=gate.refusals,
            ),
            served_with_workers,
        )
        served = [_name(license_pb2, "LicenseService"), _name(fleet_pb2, "FleetService")]
        at_workers = [_name(worker_pb2, "WorkerService")]
        self._services = served + at_workers
        if self._worker_server is None:
            served = self._services
        else:
            self._complete(self._worker_server, at_workers)
        self._complete(self._server, served)

    def _complete(self, server: grpc.aio.Server, services: Sequence[str]) -> None:
        """Adds what helps to find out about a server."""
        generic: Any = _Generic(server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, generic)
        names = [*services, _name(health_pb2, "Health"), reflection.SERVICE_NAME]
        reflection.enable_server_reflection(names, generic)

    async def start(self, clients: Listener, workers: Listener | None) -> tuple[int, int | None]:
        """Listens and serves; returns the ports (of use when 0 was asked for).

        Raises:
            StartError: an address cannot be used.

        """
        bound = _bind(self._server, clients)
        bound_workers = None
        if workers is not None:
            assert self._worker_server is not None
            bound_workers = _bind(self._worker_server, workers)
            await self._worker_server.start()
        await self._server.start()
        for service in ("", *self._services):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        return bound, bound_workers

    async def refuse(self) -> None:
        """Says NOT_SERVING to whoever asks for health; calls are answered on."""
        for service in ("", *self._services):
            await self._health.set(service, health_pb2.HealthCheckResponse.NOT_SERVING)

    async def stop(self) -> None:
        """Ends all calls at once: clients repeat them, workers come back to the next process."""
        await self._health.enter_graceful_shutdown()
        servers = [each for each in (self._server, self._worker_server) if each is not None]
        await asyncio.gather(*(server.stop(0.2) for server in servers))


def _name(module: Any, service: str) -> str:
    return str(module.DESCRIPTOR.services_by_name[service].full_name)


def _bind(server: grpc.aio.Server, listener: Listener) -> int:
    _probe(listener.host, listener.port, listener.option)
    try:
        if listener.credentials is None:
            return int(server.add_insecure_port(listener.address))
        return int(server.add_secure_port(listener.address, listener.credentials))
    except RuntimeError as error:
        raise StartError(f"dispatcher: cannot listen on {listener.address}: {error}") from None


def _probe(host: str, port: int, option: str) -> None:
    """Binds the address once: grpc only says that it failed, not why."""
    if port == 0:
        return
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StartError(listen_error("dispatcher", host, port, error, option)) from None
