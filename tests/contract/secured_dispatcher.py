"""A dispatcher with certificates and tokens made by the stack's own code, and its peers."""

import time
from pathlib import Path
from typing import Any

import grpc
from virtscale.v1 import fleet_pb2, license_pb2, worker_pb2

from stack import access_tokens, certificates
from stack.certificates import Pair, Site
from tests.contract.dispatcher_process import DispatcherProcess, ScriptedWorker
from tests.free_ports import free_ports

ROLES = ("submit", "read", "fleet", "admin")
SERVICES = {
    service.full_name: service
    for module in (license_pb2, fleet_pb2, worker_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
}


def site_in(directory: Path) -> Site:
    """An authority with a dispatcher's certificate and a token for each role."""
    site = Site(directory)
    site.make_ca("test", time.time())
    issue(site, "server", "dispatcher", certificates.server_names([]))
    for role in ROLES:
        token = access_tokens.add(site.tokens, role, [role])
        certificates.write_private(site.token(role), token.encode())
    return site


def issue(site: Site, kind: certificates.Kind, name: str, names: list[str], days: int = 9) -> Pair:
    site.make(kind, name, names=names, now=time.time(), days=days)
    return site.pair(kind, name)


def worker_pair(site: Site, name: str) -> Pair:
    return issue(site, "worker", name, certificates.worker_names(name))


def credentials(site: Site, pair: Pair | None = None) -> grpc.ChannelCredentials:
    """What a peer that trusts the site's authority shows."""
    root = site.ca.certificate.read_bytes()
    if pair is None:
        return grpc.ssl_channel_credentials(root)
    return grpc.ssl_channel_credentials(root, pair.key.read_bytes(), pair.certificate.read_bytes())


class SecuredDispatcher(DispatcherProcess):
    """Two listeners: tokens for clients, mTLS for workers."""

    def __init__(self, directory: Path, site: Site, **settings: Any) -> None:
        self.site = site
        self.worker_port = free_ports()
        server = site.pair("server")
        files = {"certificate": str(server.certificate), "key": str(server.key)}
        super().__init__(
            directory,
            **{
                "listen_workers": f"127.0.0.1:{self.worker_port}",
                "worker_tls": {**files, "client_ca": str(site.ca.certificate)},
                "tokens_file": str(site.tokens),
                **settings,
            },
        )

    @property
    def worker_address(self) -> str:
        return f"127.0.0.1:{self.worker_port}"

    def worker(self, name: str, *, pair: Pair | None = None, **options: Any) -> ScriptedWorker:  # type: ignore[override]
        shown = pair or worker_pair(self.site, name)
        return ScriptedWorker(
            self.worker_address, name, credentials=credentials(self.site, shown), **options
        )

    def token(self, name: str) -> str:
        return self.site.token(name).read_text().strip()

    def logged(self) -> str:
        return self.log.read_text(errors="replace")


def header(token: str | None) -> tuple[tuple[str, str], ...]:
    return () if token is None else (("authorization", f"Bearer {token}"),)


async def outcome(
    channel: grpc.aio.Channel, method: str, token: str | None = None
) -> tuple[grpc.StatusCode, str]:
    """How a call of a method with an empty request ends."""
    service, name = method.strip("/").split("/")
    found = SERVICES[service].methods_by_name[name]
    kind = f"{_arity(found.client_streaming)}_{_arity(found.server_streaming)}"
    call = getattr(channel, kind)(method)
    # A cursor that is none: WatchResults would wait for results for ever.
    body = license_pb2.WatchResultsRequest(cursor="none").SerializeToString()
    request = body if name == "WatchResults" else b""
    try:
        sent = iter(()) if found.client_streaming else request
        running = call(sent, metadata=header(token), timeout=30)
        if found.server_streaming:
            async for _ in running:
                pass
        else:
            await running
    except grpc.aio.AioRpcError:
        pass
    return await running.code(), await running.details() or ""


def _arity(is_streaming: bool) -> str:
    return "stream" if is_streaming else "unary"


def methods(*services: str) -> list[str]:
    """Full names of the methods of services such as `LicenseService`."""
    return [
        f"/{full}/{method.name}"
        for full, service in SERVICES.items()
        if service.name in services
        for method in service.methods
    ]


def issue_expired(site: Site, worker_id: str) -> Pair:
    """A worker's certificate of the site's authority that ended an hour ago."""
    day = 86_400
    names = certificates.worker_names(worker_id)
    past = Site(site.directory)
    past.make("worker", "expired", names=names, now=time.time() - day - 3600, days=1)
    return past.pair("worker", "expired")
