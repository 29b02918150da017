"""The gRPC server: options, services, listening."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.internal import api_implementation
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc
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
from dispatcher.grpc_server.listener import FailedHandshake, Listener
from dispatcher.grpc_server.service import Judge, Service
from dispatcher.jobs import JobNames
from dispatcher.ports import ClientDesk, FleetDesk, WorkDesk
from dispatcher.telemetry import Telemetry
from servicekit.lifecycle import StartError
from servicekit.metrics import listen_error
from servicekit.tls import ServerTls

# What is not even gathered; `limits` refuses earlier, in words of ours.
_MAX_MESSAGE_BYTES = 4 * 1024 * 1024
_STOP_SECONDS = 0.2


@dataclass(frozen=True)
class Address:
    """Where to listen; `option` is the flag that moves it."""

    host: str
    port: int
    tls: ServerTls | None
    option: str


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
        telemetry: Telemetry,
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
        access = AccessControl(gate)
        # Who lost a role loses the calls that are open, too.
        gate.on_change = lambda: self._review(access)
        judges: list[Judge] = [
            MeasureCalls(registry, [*described, health]),
            access,
            TurnAway(clients),
            RefuseMalformed(),
        ]
        self._service = Service(judges)
        self._worker_service = Service(judges) if has_worker_listener else None
        self._listeners: list[Listener] = []
        self._telemetry = telemetry
        self._health = health_aio.HealthServicer()
        served_here: Any = self._service
        license_pb2_grpc.add_LicenseServiceServicer_to_server(
            LicenseServicer(clients, names=names), served_here
        )
        fleet_pb2_grpc.add_FleetServiceServicer_to_server(FleetServicer(fleet), served_here)
        served_with_workers: Any = self._worker_service or self._service
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
        if self._worker_service is None:
            served = self._services
        else:
            self._complete(self._worker_service, at_workers)
        self._complete(self._service, served)

    def _complete(self, service: Any, services: Sequence[str]) -> None:
        """Adds what helps to find out about a server."""
        health_pb2_grpc.add_HealthServicer_to_server(self._health, service)
        names = [*services, _name(health_pb2, "Health"), reflection.SERVICE_NAME]
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(
            reflection.aio.ReflectionServicer(names), service
        )

    async def start(self, clients: Address, workers: Address | None) -> tuple[int, int | None]:
        """Listens and serves; returns the ports (of use when 0 was asked for).

        Raises:
            StartError: an address cannot be used.

        """
        bound = self._bind(self._service, clients, "clients")
        bound_workers = None
        if workers is not None:
            assert self._worker_service is not None
            bound_workers = self._bind(self._worker_service, workers, "workers")
        for service in ("", *self._services):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        for listener in self._listeners:
            listener.start()
        return bound, bound_workers

    def _bind(self, service: Service, address: Address, name: str) -> int:
        tls = address.tls
        if tls is not None:
            self._telemetry.expecting_handshakes(name, [each.value for each in FailedHandshake])
        listener = Listener(
            service,
            most=lambda _method: _MAX_MESSAGE_BYTES,
            context=None if tls is None else lambda: tls.context,
            on_failed_handshake=lambda why: self._telemetry.handshake_failed(name, why.value),
        )
        self._listeners.append(listener)
        try:
            return listener.bind(address.host, address.port)
        except OSError as error:
            raise StartError(
                listen_error("dispatcher", address.host, address.port, error, address.option)
            ) from None

    def _review(self, access: AccessControl) -> None:
        for listener in self._listeners:
            listener.review(access.refusal)

    async def refuse(self) -> None:
        """Says NOT_SERVING to whoever asks for health; calls are answered on."""
        for service in ("", *self._services):
            await self._health.set(service, health_pb2.HealthCheckResponse.NOT_SERVING)

    async def stop(self) -> None:
        """Ends all calls at once: clients repeat them, workers come back to the next process."""
        await self._health.enter_graceful_shutdown()
        await asyncio.gather(*(listener.stop(_STOP_SECONDS) for listener in self._listeners))


def _name(module: Any, service: str) -> str:
    return str(module.DESCRIPTOR.services_by_name[service].full_name)
