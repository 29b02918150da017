"""What a servicer sees of its call: the part of `grpc.aio.ServicerContext` that is of use here.

A write is complete when its bytes are with the connection, so that a servicer that is cancelled
never leaves half a message behind.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn, Protocol

import grpc

from dispatcher.grpc_server.heads import Head, Metadata, trailers
from dispatcher.grpc_server.messages import Fault, Message, MessageError

Code = grpc.StatusCode | int


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a connection."""

    name: str
    """As in `ipv4:127.0.0.1:40000`."""
    facts: dict[str, list[bytes]]
    """Of its certificate, under gRPC's names; empty without one."""


@dataclass(slots=True)
class Arrival:
    """A call before anything of it is read: what decides which handler serves it."""

    method: str
    invocation_metadata: Metadata
    peer: Peer
    on_end: Callable[[int | None], None] | None = None
    """Called once, when the call is over, with its status; None when the client went away."""


@dataclass(frozen=True)
class RefusedCall:
    """In a handler's place: the call ends here, without a task and without its message."""

    code: int
    text: str
    metadata: Metadata = ()

    @cached_property
    def block(self) -> bytes:
        """The header block that is the whole answer; made once for all calls that get it."""
        return trailers(self.code, self.text, self.metadata, is_only=True)


class Line(Protocol):
    """The way to a call's peer."""

    def send(self, number: int, message: bytes) -> bool:
        """Sends a message; False when the peer's window keeps some of it here."""
        ...

    def took(self, number: int, size: int) -> None:
        """A message of so many bytes was taken."""
        ...

    def can_write(self) -> "asyncio.Future[None] | None":
        """None; or what is done when the connection takes bytes again."""
        ...

    def failed(self, number: int, error: MessageError) -> None:
        """A message cannot be read: the call is over."""
        ...


class Call:
    """One call, from its head to its status."""

    __slots__ = (
        *("_code", "_drained", "_due", "_line", "_peer", "_text", "_trailing", "handler", "head"),
        *("excuse", "is_over", "number", "on_end", "requests", "task", "timer"),
    )

    def __init__(
        self, line: Line, number: int, head: Head, peer: Peer, now: float, handler: Any
    ) -> None:
        self._line = line
        self._peer = peer
        self._code: Code = 0
        self._text = ""
        self._trailing: Metadata = ()
        self._due = None if head.timeout is None else now + head.timeout
        self.number = number
        self.head = head
        self.handler = handler
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.requests: Requests | None = None
        self._drained: asyncio.Future[None] | None = None
        self.on_end: Callable[[int | None], None] | None = None
        self.excuse: Callable[[], bool] | None = None
        self.is_over = False
        """Nobody waits for an answer."""

    def close(self, code: int | None) -> None:
        """The call is over, with this status; None when the client does not wait for one."""
        if self.is_over:
            return
        self.is_over = True
        if self.timer is not None:
            self.timer.cancel()
        if self.on_end is not None:
            self.on_end(code)

    # -- for servicers ---------------------------------------------------------------------------

    async def write(self, message: Any) -> None:
        """Sends a message; returns when the peer and the connection have room for another."""
        if self.is_over:
            return
        if not self._line.send(self.number, self.handler.response_serializer(message)):
            if self._drained is None:
                self._drained = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._drained)
        if (writable := self._line.can_write()) is not None:
            await asyncio.shield(writable)

    async def answer(self, message: Any) -> None:
        """Sends the only message; the status follows at once."""
        if not self.is_over:
            self._line.send(self.number, self.handler.response_serializer(message))

    def excuse_silence(self, while_true: Callable[[], bool]) -> None:
        """As long as that is true, the peer's silence is no sign of its death."""
        self.excuse = while_true

    def has_drained(self) -> None:
        """What was written is with the connection, or never will be."""
        if self._drained is not None:
            self._drained.set_result(None)
            self._drained = None

    def status(self) -> tuple[int, str, Metadata]:
        """What the call is to end with."""
        code = self._code
        return code if isinstance(code, int) else code.value[0], self._text, self._trailing

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Metadata = ()
    ) -> NoReturn:
        """Ends the call with a status."""
        self._code = code
        self._text = details
        if trailing_metadata:
            self._trailing = tuple(trailing_metadata)
        raise grpc.aio.AbortError("Locally aborted.")

    def set_code(self, code: grpc.StatusCode) -> None:
        """The status that the call will end with."""
        self._code = code

    def set_details(self, details: str) -> None:
        """The text of that status."""
        self._text = details

    def set_trailing_metadata(self, metadata: Metadata) -> None:
        """What goes with the status."""
        self._trailing = tuple(metadata)

    def trailing_metadata(self) -> Metadata:
        """See `set_trailing_metadata`."""
        return self._trailing

    def code(self) -> Code:
        """See `set_code`."""
        return self._code

    def invocation_metadata(self) -> Metadata:
        """What the client sent with the call."""
        return self.head.metadata

    def peer(self) -> str:
        """The client's address."""
        return self._peer.name

    def auth_context(self) -> dict[str, list[bytes]]:
        """Facts of the client's certificate."""
        return self._peer.facts

    def time_remaining(self) -> float | None:
        """Seconds to the deadline; None without one."""
        if self._due is None:
            return None
        return max(0.0, self._due - asyncio.get_running_loop().time())


def read(deserialize: Callable[[bytes], Any], message: Message) -> Any:
    """A message as a servicer takes it.

    Raises:
        MessageError: it cannot be read.

    """
    plain = message if isinstance(message, bytes) else message.plain()
    try:
        return deserialize(plain)
    except Exception:
        # Whatever a parser raises; its words may quote what it read.
        raise MessageError(Fault.MALFORMED, "the request cannot be read") from None


class Requests(AsyncIterator[Any]):
    """The messages of a stream, each read when it is asked for."""

    __slots__ = ("_deserialize", "_is_ended", "_line", "_number", "_queue", "_waiting")

    def __init__(self, line: Line, number: int, deserialize: Callable[[bytes], Any]) -> None:
        self._line = line
        self._number = number
        self._deserialize = deserialize
        self._queue: deque[Message] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._is_ended = False

    def came(self, message: Message) -> None:
        """Another message."""
        self._queue.append(message)
        self._wake()

    def end(self) -> None:
        """No more will come."""
        self._is_ended = True
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def __anext__(self) -> Any:
        while not self._queue:
            if self._is_ended:
                raise StopAsyncIteration
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        message = self._queue.popleft()
        self._line.took(self._number, len(message))
        try:
            return read(self._deserialize, message)
        except MessageError as error:
            self._line.failed(self._number, error)
            return await asyncio.get_running_loop().create_future()  # until it is cancelled
