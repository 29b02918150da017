"""One client's connection: bytes to calls, calls to bytes."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc

from dispatcher.grpc_server import events
from dispatcher.grpc_server.calls import Arrival, Call, Peer, RefusedCall, Requests, read
from dispatcher.grpc_server.connection import Connection
from dispatcher.grpc_server.messages import MessageError
from dispatcher.grpc_server.service import PAST_DEADLINE, STOPPING, Service, Status
from dispatcher.grpc_server.streams import Limits

_UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED.value[0]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a peer may be silent, and how long it is left alone, in seconds."""

    beginning: float = 10.0
    """Until it has begun to speak HTTP/2."""
    silence: float = 10.0
    """Until it is asked for a sign of life."""
    answer: float = 5.0
    """Until it must have given one."""
    rest: float = 0.002
    """After a call of it was refused. Refusals cost little each, and a turn of the loop together:
    the fewer turns they take, the more is left for those that were let in."""


class Served(asyncio.BufferedProtocol):
    """See the module. `most` tells how large a message of a method may be."""

    def __init__(
        self,
        service: Service,
        most: Callable[[str], int],
        connections: "set[Served]",
        *,
        limits: Limits | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._service = service
        self._buffer = service.buffer
        self._connections = connections
        self._limits = limits or Limits()
        self._patience = patience or Patience()
        self._connection = Connection(self._limits, most)
        self._calls: dict[int, Call] = {}
        self._running = 0
        self._transport: Any = None
        self._peer = Peer("", {})
        self._is_flushing = False
        self._writable: asyncio.Future[None] | None = None
        self._has_refused = False
        self._rest: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self.lost = self._loop.create_future()
        """Done when the socket is closed."""
        self._heard_at = 0.0
        self._pinged_at: float | None = None
        self._pulse: asyncio.TimerHandle | None = None

    # -- asyncio ---------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """See `asyncio.Protocol`."""
        self._transport = transport
        self._peer = _peer(transport)
        self._connections.add(self)
        self._heard_at = self._loop.time()
        self._pulse = self._loop.call_later(self._patience.beginning, self._must_have_begun)

    def get_buffer(self, sizehint: int) -> memoryview:
        """See `asyncio.BufferedProtocol`."""
        return self._buffer

    def buffer_updated(self, size: int) -> None:
        """See `asyncio.BufferedProtocol`."""
        data = bytes(self._buffer[:size])
        self._heard_at = self._loop.time()
        self._pinged_at = None
        for event in self._connection.receive(data):
            _ACTS[type(event)](self, event)
        if self._connection.has_output:
            self._flush_soon()
        if self._has_refused:
            self._has_refused = False
            if not self._transport.is_closing():
                self._transport.pause_reading()
                self._rest = self._loop.call_later(self._patience.rest, self._rested)

    def connection_lost(self, error: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._connections.discard(self)
        if not self.lost.done():
            self.lost.set_result(None)
        for timer in (self._pulse, self._rest):
            if timer is not None:
                timer.cancel()
        self._rest = None
        for call in tuple(self._calls.values()):
            self._give_up(call)
        self._calls.clear()
        self.resume_writing()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        if self._writable is None:
            self._writable = self._loop.create_future()
            # Who does not read the answers may ask for no more of them.
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        if self._writable is not None:
            self._writable.set_result(None)
            self._writable = None
            self._read_again()
            self._heard_at = self._loop.time()
            self._pinged_at = None
            if self._connection.has_output:
                self._flush_soon()

    def _rested(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
            self._read_again()

    def _read_again(self) -> None:
        if self._rest is None and self._writable is None:
            self._transport.resume_reading()

    # -- events ----------------------------------------------------------------------------------

    def _began(self, event: events.Began) -> None:
        number, head = event
        if self._running >= self._limits.streams:
            # Calls that were reset are over for the peer, their servicers are not for us.
            self._connection.refuse(number)
            return
        arrival = Arrival(head.path, head.metadata, self._peer)
        handler = self._service.resolve(arrival)
        is_over = handler is None or isinstance(handler, RefusedCall)
        if is_over and arrival.on_end is not None:
            arrival.on_end(_UNIMPLEMENTED if handler is None else handler.code)
        if handler is None:
            self._connection.end(number, _UNIMPLEMENTED, "no such method")
            return
        if isinstance(handler, RefusedCall):
            self._connection.answer(number, handler.block)
            self._has_refused = True
            return
        now = self._loop.time()
        call = Call(self, number, head, self._peer, now, handler)
        call.on_end = arrival.on_end
        self._calls[number] = call
        if head.timeout is not None:
            call.timer = self._loop.call_at(now + head.timeout, self._time_is_up, call)
        if handler.request_streaming:
            call.requests = Requests(self, number, handler.request_deserializer)
            self._start(call, call.requests)

    def _came(self, event: events.Came) -> None:
        number, message = event
        call = self._calls.get(number)
        if call is None:
            return
        if call.requests is not None:
            call.requests.came(message)
        elif call.task is None:
            self._connection.consumed(number, len(message))
            try:
                request = read(call.handler.request_deserializer, message)
            except MessageError as error:
                self.failed(number, error)
            else:
                self._start(call, request)
        else:
            self._end(call, (_UNIMPLEMENTED, "more than one request message", ()))

    def _half_closed(self, event: events.HalfClosed) -> None:
        call = self._calls.get(event.stream)
        if call is None:
            return
        if call.requests is not None:
            call.requests.end()
        elif call.task is None:
            self._end(call, (_UNIMPLEMENTED, "no request message", ()))

    def _faulted(self, event: events.Faulted) -> None:
        self.failed(event.stream, event.error)

    def _reset(self, event: events.Reset) -> None:
        call = self._calls.pop(event.stream, None)
        if call is not None:
            self._give_up(call)

    def _drained(self, event: events.Drained) -> None:
        call = self._calls.get(event.stream)
        if call is not None:
            call.has_drained()

    def _ponged(self, event: events.Ponged) -> None:
        """Any byte is a sign of life."""

    def _broken(self, event: events.Broken) -> None:
        for call in tuple(self._calls.values()):
            self._give_up(call)
        self._calls.clear()
        self._flush()
        self._transport.close()

    # -- calls -----------------------------------------------------------------------------------

    def send(self, number: int, message: bytes) -> bool:
        """See `calls.Line.send`."""
        is_sent = self._connection.send(number, message)
        self._flush_soon()
        return is_sent

    def took(self, number: int, size: int) -> None:
        """See `calls.Line.took`."""
        self._connection.consumed(number, size)
        if self._connection.has_output:
            self._flush_soon()

    def can_write(self) -> "asyncio.Future[None] | None":
        """See `calls.Line.can_write`."""
        return self._writable

    def failed(self, number: int, error: MessageError) -> None:
        """See `calls.Line.failed`."""
        call = self._calls.get(number)
        if call is not None:
            self._end(call, (error.fault.value, str(error), ()))

    def _start(self, call: Call, first: Any) -> None:
        self._running += 1
        self._service.start(call, first, self._finish, self._ended)

    def _ended(self) -> None:
        self._running -= 1

    def _finish(self, call: Call, status: Status) -> None:
        """A servicer has ended."""
        if self._calls.pop(call.number, None) is None:
            return
        call.close(status[0])
        self._connection.end(call.number, *status)
        self._flush_soon()
        if self._rest is not None:
            # There is room for others: no need to wait for the timer.
            self._loop.call_soon(self._rested)

    def _end(self, call: Call, status: Status) -> None:
        """Ends a call whatever its servicer does."""
        self._finish(call, status)
        self._give_up(call)

    def _give_up(self, call: Call) -> None:
        call.close(None)
        call.has_drained()
        if call.task is not None:
            call.task.cancel()

    def _time_is_up(self, call: Call) -> None:
        self._end(call, PAST_DEADLINE)
        # What waits for a window would wait on, and the status behind it: nobody reads them.
        self._connection.abandon(call.number)

    def review(self, judge: Callable[[Arrival], RefusedCall | None]) -> None:
        """Ends the open calls that are refused now."""
        for call in tuple(self._calls.values()):
            refused = judge(Arrival(call.head.path, call.head.metadata, self._peer))
            if refused is not None:
                self._end(call, (refused.code, refused.text, refused.metadata))
                # What waits for a window is not for this client any more.
                self._connection.abandon(call.number)

    # -- the connection --------------------------------------------------------------------------

    def leave(self) -> None:
        """Lets no new call in."""
        self._connection.leave()
        self._flush()

    def close(self) -> None:
        """Ends the calls that are left, sends what there is and closes."""
        for call in tuple(self._calls.values()):
            self._end(call, STOPPING)
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Closes at once."""
        self._transport.abort()

    def _flush_soon(self) -> None:
        if not self._is_flushing:
            self._is_flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flushing = False
        # A peer that does not read gets no more until it does: what piles up is bounded.
        if (
            self._connection.has_output
            and self._writable is None
            and not self._transport.is_closing()
        ):
            self._transport.write(self._connection.take())

    def _must_have_begun(self) -> None:
        if self._connection.has_begun:
            self._keep_alive()
        else:
            self._transport.abort()

    def _keep_alive(self) -> None:
        now = self._loop.time()
        if any(call.excuse is not None and call.excuse() for call in self._calls.values()):
            # Nothing is asked of a peer that may stand still: what stays unacknowledged for long
            # would kill the connection that it is to find again.
            self._heard_at, self._pinged_at = now, None
        if self._pinged_at is not None and now >= self._pinged_at + self._patience.answer:
            self._transport.abort()
            return
        wait = self._heard_at + self._patience.silence - now
        if self._pinged_at is not None:
            wait = self._pinged_at + self._patience.answer - now
        elif wait <= 0:
            self._pinged_at = now
            self._connection.ping()
            self._flush()
            wait = self._patience.answer
        self._pulse = self._loop.call_later(wait, self._keep_alive)


def _peer(transport: Any) -> Peer:
    address = transport.get_extra_info("peername") or ("unknown", 0)
    family = "ipv6" if ":" in str(address[0]) else "ipv4"
    host = f"[{address[0]}]" if family == "ipv6" else address[0]
    facts: dict[str, list[bytes]] = {}
    secured = transport.get_extra_info("ssl_object")
    if secured is not None and (found := secured.getpeercert()):
        raw = secured.getpeercert(binary_form=True)
        facts["x509_pem_cert"] = [ssl.DER_cert_to_PEM_cert(raw).encode("ascii")]
        names = [
            value
            for part in found.get("subject", ())
            for name, value in part
            if name == "commonName"
        ]
        if names:
            facts["x509_common_name"] = [names[0].encode("utf-8")]
        uris = [
            value.encode("utf-8")
            for kind, value in found.get("subjectAltName", ())
            if kind == "URI"
        ]
        if uris:
            facts["peer_uri"] = uris
    return Peer(f"{family}:{host}:{address[1]}", facts)


_ACTS: dict[type, Callable[[Served, Any], None]] = {
    events.Began: Served._began,
    events.Came: Served._came,
    events.HalfClosed: Served._half_closed,
    events.Reset: Served._reset,
    events.Drained: Served._drained,
    events.Ponged: Served._ponged,
    events.Faulted: Served._faulted,
    events.Broken: Served._broken,
}
