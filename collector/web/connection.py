"""One client: its handshake, its requests one after the other, and how long each may take."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from enum import Enum, auto
from http import HTTPStatus
from typing import Protocol

import h11

from collector.web.messages import (
    Answer,
    MalformedError,
    Request,
    parse_target,
    text_answer,
)

_READ_BYTES = 1 << 16
_PIECE_BYTES = 1 << 18
"""An answer is handed over in pieces, each with a deadline of its own."""
_LARGEST_BODY = 1 << 16
"""What a request may carry, to be thrown away."""
_LARGEST_HEAD = 1 << 14
_SHUTDOWN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a client may take, and how many there may be."""

    connections: int = 256
    """At one time; then the one that has waited longest for its client is closed."""
    handshake_seconds: float = 10.0
    head_seconds: float = 10.0
    """From a request's first byte to the end of its head; before the first request from the
    connection's begin."""
    idle_seconds: float = 120.0
    """From an answer to the next request's first byte."""
    piece_seconds: float = 10.0
    """For a client to take 256 KiB of an answer."""


class Phase(Enum):
    """What a connection is waiting for."""

    CLIENT = auto()
    """Its client to speak."""
    ANSWER = auto()
    """An answer to be made."""
    SENDING = auto()
    """Its client to take the answer."""


class Desk(Protocol):
    """Where requests are answered."""

    async def answer(self, request: Request, certificate: Mapping[str, object] | None) -> Answer:
        """The answer; never raises."""
        ...


class Connection:
    """Serves one accepted socket until it ends."""

    def __init__(self, accepted: socket.socket, desk: Desk, limits: Limits) -> None:
        self._socket = accepted
        self._desk = desk
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=_LARGEST_HEAD)
        self._certificate: Mapping[str, object] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._has_transport = False
        self.phase = Phase.CLIENT
        self.since = self._loop.time()
        """When it came into its phase, by the loop's clock."""
        self.is_last = False
        """True: no further request is read."""

    async def run(self, context: ssl.SSLContext | None) -> None:
        """Serves the client; `context` is for its handshake. A client's faults end it silently."""
        with contextlib.suppress(OSError):
            await self._serve(context)

    def drop(self) -> None:
        """Lets go of the socket, however `run` has ended."""
        if self._writer is not None:
            self._writer.transport.abort()
        elif self._has_transport:
            # The loop still holds its descriptor: it closes what it finds at its end.
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        else:
            self._socket.close()

    async def _serve(self, context: ssl.SSLContext | None) -> None:
        reader, writer = await self._open(context)
        is_first = True
        while not self.is_last:
            answer = await self._next(reader, is_first=is_first)
            if answer is None:
                break
            await self._send(writer, *answer)
            is_first = False
            if self._protocol.our_state is not h11.DONE or self._protocol.their_state is not (
                h11.DONE
            ):
                break
            self._protocol.start_next_cycle()
        await self._close(writer)

    async def _open(
        self, context: ssl.SSLContext | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader = asyncio.StreamReader(limit=_READ_BYTES, loop=self._loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self._loop)
        self._has_transport = True
        transport, _ = await self._loop.connect_accepted_socket(
            lambda: protocol,
            self._socket,
            ssl=context,
            ssl_handshake_timeout=None if context is None else self._limits.handshake_seconds,
            ssl_shutdown_timeout=None if context is None else _SHUTDOWN_SECONDS,
        )
        # A piece counts as taken when nothing of it waits here.
        transport.set_write_buffer_limits(high=1, low=0)
        if context is not None:
            self._certificate = transport.get_extra_info("ssl_object").getpeercert()
        self._writer = asyncio.StreamWriter(transport, protocol, reader, self._loop)
        return reader, self._writer

    async def _next(
        self, reader: asyncio.StreamReader, *, is_first: bool
    ) -> tuple[Answer, bool] | None:
        """The answer to the next request, and whether it is sent without a body."""
        self._enter(Phase.CLIENT)
        try:
            event = await self._read_head(reader, is_first=is_first)
            if event is None:
                return None
            request = _request(event)
        except h11.RemoteProtocolError as error:
            # What follows cannot be told apart from what was wrong.
            self.is_last = True
            return text_answer(error.error_status_hint, str(error)), False
        except MalformedError as error:
            return text_answer(400, str(error)), False
        self._enter(Phase.ANSWER)
        answer = await self._desk.answer(request, self._certificate)
        return answer, request.method == "HEAD"

    async def _read_head(
        self, reader: asyncio.StreamReader, *, is_first: bool
    ) -> h11.Request | None:
        """The next request, its body thrown away; None when the client has gone."""
        request: h11.Request | None = None
        size, has_begun = 0, is_first or bool(self._protocol.trailing_data[0])
        patience = self._limits.head_seconds if has_begun else self._limits.idle_seconds
        async with asyncio.timeout(patience) as scope:
            while True:
                event = self._protocol.next_event()
                if isinstance(event, h11.Request):
                    request = event
                elif isinstance(event, h11.Data):
                    size += len(event.data)
                    if size > _LARGEST_BODY:
                        return request
                elif isinstance(event, h11.EndOfMessage):
                    return request
                elif event is h11.NEED_DATA:
                    if self._protocol.they_are_waiting_for_100_continue:
                        return request
                    self._protocol.receive_data(await reader.read(_READ_BYTES))
                    if not has_begun:
                        has_begun = True
                        scope.reschedule(self._loop.time() + self._limits.head_seconds)
                else:
                    return None

    async def _send(self, writer: asyncio.StreamWriter, answer: Answer, is_bare: bool) -> None:
        self._enter(Phase.SENDING)
        if self._protocol.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.is_last = True
            return
        headers = [
            ("Date", formatdate(usegmt=True)),
            ("Content-Type", answer.content_type),
            *answer.headers,
        ]
        if answer.has_length:
            headers.append(("Content-Length", str(len(answer.body))))
        if self.is_last:
            headers.append(("Connection", "close"))
        reason = HTTPStatus(answer.status).phrase.encode("ascii")
        response = h11.Response(status_code=answer.status, headers=headers, reason=reason)
        # The head goes with the first piece: one packet, and its reader is woken once.
        waiting = self._protocol.send(response) or b""
        for begin in range(0, 0 if is_bare else len(answer.body), _PIECE_BYTES):
            piece = h11.Data(data=answer.body[begin : begin + _PIECE_BYTES])
            await self._hand_over(writer, waiting + (self._protocol.send(piece) or b""))
            waiting = b""
        if waiting:
            await self._hand_over(writer, waiting)
        self._protocol.send(h11.EndOfMessage())

    async def _hand_over(self, writer: asyncio.StreamWriter, piece: bytes) -> None:
        writer.write(piece)
        async with asyncio.timeout(self._limits.piece_seconds):
            await writer.drain()

    async def _close(self, writer: asyncio.StreamWriter) -> None:
        """Ends in order: over TLS the client must see that nothing was cut off."""
        writer.close()
        async with asyncio.timeout(_SHUTDOWN_SECONDS):
            await writer.wait_closed()

    def _enter(self, phase: Phase) -> None:
        self.phase, self.since = phase, self._loop.time()


def _request(event: h11.Request) -> Request:
    path, query = parse_target(event.target)
    headers: dict[str, str] = {}
    for raw, value in event.headers:
        name, text = raw.decode("ascii"), value.decode("latin-1")
        headers[name] = f"{headers[name]}, {text}" if name in headers else text
    return Request(event.method.decode("ascii"), path, query, headers)
