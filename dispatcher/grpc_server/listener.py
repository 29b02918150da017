"""Accepts connections, in the clear or with TLS, and keeps count of them."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from enum import Enum

from dispatcher.grpc_server.calls import Arrival, RefusedCall
from dispatcher.grpc_server.served import Patience, Served
from dispatcher.grpc_server.service import Service
from dispatcher.grpc_server.streams import Limits

_BACKLOG = 1_024
_ACCEPT_RETRY_SECONDS = 0.1
_CLOSE_SECONDS = 0.2
_ALPN = "h2"


class FailedHandshake(Enum):
    """Why a connection never came to be."""

    CERTIFICATE = "certificate"
    """The peer showed none that we trust, or does not trust ours."""
    NO_HTTP2 = "no_http2"
    PROTOCOL = "protocol"
    """It speaks no TLS, or none that we speak."""
    TIMEOUT = "timeout"
    GONE = "gone"
    """It hung up."""


class Listener:
    """One port. `context` is asked for each new connection: certificates change."""

    def __init__(
        self,
        service: Service,
        *,
        most: Callable[[str], int],
        context: Callable[[], ssl.SSLContext] | None,
        on_failed_handshake: Callable[[FailedHandshake], None] = lambda _reason: None,
        limits: Limits | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._service = service
        self._most = most
        self._context = context
        self._on_failed_handshake = on_failed_handshake
        self._limits = limits
        self._patience = patience or Patience()
        self._sockets: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._entering: set[asyncio.Task[None]] = set()
        self._connections: set[Served] = set()

    def bind(self, host: str, port: int) -> int:
        """Takes the port, on every address of the host; returns it (of use when 0 was asked for).

        Raises:
            OSError: an address cannot be used.

        """
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, kind, protocol, _, address in dict.fromkeys(found):
                listening = socket.socket(family, kind, protocol)
                self._sockets.append(listening)
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    # "::" means every address, as gRPC has it, not only those of IPv6.
                    listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != "::")
                listening.bind((address[0], port, *address[2:]))
                listening.listen(_BACKLOG)
                listening.setblocking(False)
                port = listening.getsockname()[1]
        except OSError:
            self._close_sockets()
            raise
        return port

    def start(self) -> None:
        """Accepts from now on."""
        self._accepting = [
            asyncio.ensure_future(self._accept(listening)) for listening in self._sockets
        ]

    def review(self, judge: Callable[[Arrival], RefusedCall | None]) -> None:
        """Ends the open calls that are refused now."""
        for connection in tuple(self._connections):
            connection.review(judge)

    async def stop(self, grace: float) -> None:
        """Accepts nothing more, lets calls end for a moment, ends the rest and all connections."""
        for task in (*self._accepting, *self._entering):
            task.cancel()
        await asyncio.gather(*self._accepting, *self._entering, return_exceptions=True)
        self._close_sockets()
        for connection in tuple(self._connections):
            connection.leave()
        await self._service.stop(grace)
        # What the ends of the calls have to say is sent in the loop's next turn.
        await asyncio.sleep(0)
        closing = [connection.lost for connection in self._connections]
        for connection in tuple(self._connections):
            connection.close()
        if closing:
            # Peers answer the end of TLS; nobody waits for those that do not.
            await asyncio.wait(closing, timeout=_CLOSE_SECONDS)
        for connection in tuple(self._connections):
            connection.abort()
        # The loop closes sockets in its next turn, those of cut handshakes too.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def _close_sockets(self) -> None:
        for listening in self._sockets:
            listening.close()
        self._sockets.clear()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(listening)
            except OSError:
                # Out of file descriptors, or the peer has gone already: others may come.
                await asyncio.sleep(_ACCEPT_RETRY_SECONDS)
                continue
            task = asyncio.ensure_future(self._enter(accepted))
            self._entering.add(task)
            task.add_done_callback(self._entering.discard)
            # While others wait to be accepted nothing else would let the loop go on.
            await asyncio.sleep(0)

    async def _enter(self, accepted: socket.socket) -> None:
        context = None if self._context is None else self._context()
        with contextlib.suppress(OSError):
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                self._serve,
                accepted,
                ssl=context,
                ssl_handshake_timeout=None if context is None else self._patience.beginning,
                ssl_shutdown_timeout=None if context is None else self._patience.answer,
            )
        except OSError as error:
            accepted.close()
            if context is not None:
                self._on_failed_handshake(_reason(error))
            return
        if context is not None:
            secured = transport.get_extra_info("ssl_object")
            if secured.selected_alpn_protocol() != _ALPN:
                self._on_failed_handshake(FailedHandshake.NO_HTTP2)
                transport.abort()

    def _serve(self) -> Served:
        return Served(
            self._service,
            self._most,
            self._connections,
            limits=self._limits,
            patience=self._patience,
        )


def _reason(error: OSError) -> FailedHandshake:
    if isinstance(error, ssl.SSLCertVerificationError):
        return FailedHandshake.CERTIFICATE
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return FailedHandshake.GONE
    if isinstance(error, ssl.SSLError):
        is_trust = any(word in (error.reason or "") for word in ("CERTIFICATE", "UNKNOWN_CA"))
        return FailedHandshake.CERTIFICATE if is_trust else FailedHandshake.PROTOCOL
    # asyncio's word for a handshake that takes too long.
    is_late = isinstance(error, ConnectionAbortedError | TimeoutError)
    return FailedHandshake.TIMEOUT if is_late else FailedHandshake.GONE
