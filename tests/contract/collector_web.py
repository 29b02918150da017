"""The collector's web server on real sockets, and clients that behave badly."""

import asyncio
import contextlib
import http.client
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collector.web import listeners
from collector.web.addresses import address
from collector.web.config_watch import ConfigWatch
from collector.web.connection import Limits
from collector.web.guard import Guard
from collector.web.messages import Answer, Request, text_answer
from collector.web.passwords import Passwords
from collector.web.server import WebServer
from servicekit.clock import SystemClock

LOOPBACK = "127.0.0.1"
QUICK = Limits(
    connections=64, handshake_seconds=0.5, head_seconds=0.5, idle_seconds=0.5, piece_seconds=0.5
)
"""So short that a test sees them pass."""


@dataclass
class Served:
    """A running server."""

    server: WebServer
    config: ConfigWatch
    guard: Guard
    port: int

    def get(self, path: str = "/", **options: Any) -> Any:
        """See `get`."""
        return get(self.port, path, **options)


async def echo(request: Request) -> Answer:
    """Answers with what was asked; /large with 10 MB, /broken not at all."""
    if request.path == "/large":
        return Answer(200, b"x" * 10_000_000)
    if request.path == "/broken":
        raise ValueError("a bug")
    return text_answer(200, f"{request.method} {request.path}")


@contextlib.asynccontextmanager
async def served(
    config_file: Path | None = None, limits: Limits | None = None, handler: Any = echo
):
    """A server on a free port of the loopback."""
    clock = SystemClock()
    config = ConfigWatch(config_file, clock, look_seconds=0.01)
    passwords = Passwords()
    guard = Guard(config, clock, passwords)
    sockets = listeners.listen([address(f"{LOOPBACK}:0")])
    server = WebServer(handler, sockets, guard=guard, config=config, limits=limits)
    server.start()
    try:
        yield Served(server, config, guard, sockets[0].getsockname()[1])
    finally:
        await server.close()
        passwords.close()


def get(
    port: int,
    path: str = "/",
    *,
    method: str = "GET",
    context: ssl.SSLContext | None = None,
    **headers: str,
) -> Any:
    """Coroutine: status, body and headers of a request, from a thread."""
    return asyncio.to_thread(ask, port, path, method, context, headers)


def ask(
    port: int,
    path: str,
    method: str = "GET",
    context: ssl.SSLContext | None = None,
    headers: Any = None,
) -> tuple[int, bytes, http.client.HTTPMessage]:
    """Status, body and headers of one request on a connection of its own."""
    if context is None:
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=20)
    else:
        connection = http.client.HTTPSConnection("localhost", port, timeout=20, context=context)
    with contextlib.closing(connection):
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers


@contextlib.asynccontextmanager
async def connected(port: int, say: bytes = b"", **options: Any):
    """A raw client that has said `say`."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port, **options)
    try:
        writer.write(say)
        await writer.drain()
        yield reader, writer
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def until(condition: Any, seconds: float = 15.0) -> None:
    """Waits for a condition."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - clients and threads are at work
            await asyncio.sleep(0.005)
