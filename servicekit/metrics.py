"""The /metrics server of a service, and what every service exports about itself."""

import errno
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from socketserver import ThreadingMixIn
from typing import Any, Protocol
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, Gauge, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder

from servicekit.lifecycle import StartError

StartResponse = Callable[..., Any]
Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

_REQUEST_TIMEOUT_SECONDS = 10.0
_MOST_CONNECTIONS = 512
"""Each has a thread. Further ones are closed at once: better than to run out of memory."""


class Readiness(Protocol):
    """Says why the service cannot do its work now; None when it can."""

    def __call__(self) -> str | None:
        """The reason, or None."""
        ...


def service_version() -> str:
    """Version of the installed distribution; `unknown` when run from bare files."""
    try:
        return version("virtscale")
    except PackageNotFoundError:
        return "unknown"


def new_registry(service: str) -> CollectorRegistry:
    """A registry with process metrics and `<service>_build_info`; nothing registers itself."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    Gauge(
        f"virtscale_{service}_build_info",
        "Constant 1; the label names the software's version.",
        ["version"],
        registry=registry,
    ).labels(service_version()).set(1)
    return registry


class MetricsServer:
    """Serves /metrics, /-/healthy, /-/ready and a landing page in threads of its own.

    `routes` adds applications by path prefix, longest first; `landing` takes the place of the
    landing page. A slow or silent client holds only its own thread, for at most 10 s; an
    application that goes on writing holds it for as long as it does, and has to bound how many do.
    `tls` gives the context of the next connection; without it nothing is encrypted.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        service: str,
        host: str,
        port: int,
        ready: Readiness = lambda: None,
        routes: dict[str, Application] | None = None,
        landing: Application | None = None,
        most_connections: int = _MOST_CONNECTIONS,
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self._registry = registry
        self._service = service
        self._ready = ready
        self._routes = sorted((routes or {}).items(), key=lambda item: -len(item[0]))
        self._landing = landing
        try:
            self._server = _Server((host, port), _Handler, most_connections)
        except OSError as error:
            raise StartError(listen_error(f"{service} metrics", host, port, error)) from None
        self._server.tls = tls
        self._server.set_app(self._application)
        self._thread = threading.Thread(
            target=self._server.serve_forever, name=f"{service}-metrics", daemon=True
        )

    @property
    def port(self) -> int:
        """The port it listens on (of use when 0 was asked for)."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begins to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stops answering and frees the port."""
        # `shutdown` waits for a loop that ends, so it must not be called when none was started.
        if self._thread.ident is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def _application(
        self, environ: dict[str, Any], start_response: StartResponse
    ) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        for prefix, application in self._routes:
            if path == prefix or path.startswith(prefix.rstrip("/") + "/"):
                return application(environ, start_response)
        if path == "/" and self._landing is not None:
            return self._landing(environ, start_response)
        if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            return respond(start_response, "405 Method Not Allowed", "only GET\n")
        if path == "/metrics":
            return self._metrics(environ, start_response)
        if path == "/-/healthy":
            return respond(start_response, "200 OK", "healthy\n")
        if path == "/-/ready":
            reason = self._ready()
            if reason is None:
                return respond(start_response, "200 OK", "ready\n")
            return respond(start_response, "503 Service Unavailable", f"not ready: {reason}\n")
        if path == "/":
            links = "".join(
                f'<li><a href="{link}">{link}</a></li>'
                for link in ["/metrics", "/-/healthy", "/-/ready", *(p for p, _ in self._routes)]
            )
            page = f"<!doctype html><title>virtscale {self._service}</title>"
            page += f"<h1>virtscale {self._service}</h1><ul>{links}</ul>"
            return respond(start_response, "200 OK", page, content_type="text/html")
        return respond(start_response, "404 Not Found", "no such page; see /\n")

    def _metrics(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        registry: Any = self._registry
        names = parse_qs(environ.get("QUERY_STRING", "")).get("name[]")
        if names:
            registry = registry.restricted_registry(names)
        encode, content_type = choose_encoder(environ.get("HTTP_ACCEPT", ""))
        body = encode(registry)
        start_response("200 OK", [("Content-Type", content_type)])
        return [body]


def respond(
    start_response: StartResponse,
    status: str,
    text: str,
    *,
    content_type: str = "text/plain",
    headers: Iterable[tuple[str, str]] = (),
) -> list[bytes]:
    """A short UTF-8 WSGI answer."""
    body = text.encode()
    told = [
        ("Content-Type", f"{content_type}; charset=utf-8"),
        ("Content-Length", str(len(body))),
        *headers,
    ]
    start_response(status, told)
    return [body]


def listen_error(
    what: str, host: str, port: int, error: OSError, option: str = "--listen-address"
) -> str:
    """One sentence for a person: which address cannot be used, why, and what to do.

    `option` is the flag that moves the listener.
    """
    if error.errno == errno.EADDRINUSE:
        return (
            f"{what}: port {port} on {host} is in use by another program; "
            f"stop it (find it with: ss -ltnp 'sport = :{port}') or choose another port with "
            f"{option} HOST:PORT"
        )
    if error.errno == errno.EACCES:
        return (
            f"{what}: no permission to listen on port {port}; choose one above 1023 with {option}"
        )
    return f"{what}: cannot listen on {host}:{port}: {error.strerror or error}"


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    tls: Callable[[], ssl.SSLContext] | None = None
    # Without it a second service could share the port and take half of the scrapes.
    allow_reuse_port = False

    def __init__(
        self, address: tuple[str, int], handler: type[WSGIRequestHandler], most_connections: int
    ) -> None:
        self._room = threading.BoundedSemaphore(most_connections)
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self.tls is None:
            return connection, address
        # The handshake comes with the first read, in the connection's own thread and time.
        wrapped = self.tls().wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        )
        return wrapped, address

    def process_request(self, request: Any, client_address: Any) -> None:
        """Gives the connection a thread, when there is room for one."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:
            # The system gives no more threads.
            self._room.release()
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """See `ThreadingMixIn`."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that breaks off, or speaks no TLS, is no news; a fault of ours is."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def server_bind(self) -> None:
        # After a kill -9 the old process's connections linger in TIME_WAIT for a minute.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # The base class looks up the host's name, which can hang where DNS does not answer.
        socket.socket.bind(self.socket, self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()


class _Handler(WSGIRequestHandler):
    timeout = _REQUEST_TIMEOUT_SECONDS

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are not news."""
