"""When a connection is read, and when it is left alone for a moment."""

import asyncio
from typing import Any

import grpc

from dispatcher.grpc_server import frames
from dispatcher.grpc_server.calls import RefusedCall
from dispatcher.grpc_server.messages import framed
from dispatcher.grpc_server.served import Patience, Served
from dispatcher.grpc_server.service import Service


class Wire:
    """In a transport's place: remembers whether it is read."""

    def __init__(self) -> None:
        self.is_read = True
        self.is_closed = False

    def get_extra_info(self, _name: str) -> None:
        return None

    def write(self, data: bytes) -> None:
        assert data

    def is_closing(self) -> bool:
        return self.is_closed

    def abort(self) -> None:
        self.is_closed = True

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        assert not self.is_read
        self.is_read = True


class World:
    """One connection, of which `/s/no` is refused and `/s/wait` waits for `release`."""

    def __init__(self, rest: float = 3_600.0) -> None:
        self.release = asyncio.Event()
        service = Service([self._judge])
        service.add_registered_method_handlers(
            "s", {"wait": grpc.unary_unary_rpc_method_handler(self._wait)}
        )
        self.wire = Wire()
        self.served = Served(service, lambda _method: 1_000, set(), patience=Patience(rest=rest))
        self.served.connection_made(self.wire)
        self._last = -1
        self._come(frames.PREFACE + frames.settings({}))

    async def _wait(self, request: bytes, _context: Any) -> bytes:
        await self.release.wait()
        return request

    def _judge(self, following: Any) -> Any:
        def resolve(arrival: Any) -> Any:
            return RefusedCall(8, "no") if arrival.method == "/s/no" else following(arrival)

        return resolve

    def call(self, *methods: str) -> None:
        """Calls that come in one piece."""
        pieces = []
        for method in methods:
            self._last += 2
            fields = {
                ":method": "POST",
                ":scheme": "http",
                ":path": f"/s/{method}",
                "content-type": "application/grpc",
                "te": "trailers",
            }
            block = b"".join(
                b"\0" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()
                for name, value in fields.items()
            )
            pieces.append(
                frames.frame(frames.HEADERS, frames.END_HEADERS, self._last, block)
                + frames.frame(frames.DATA, frames.END_STREAM, self._last, framed(b"x"))
            )
        self._come(b"".join(pieces))

    def _come(self, data: bytes) -> None:
        self.served.get_buffer(0)[: len(data)] = data
        self.served.buffer_updated(len(data))

    async def until_read(self) -> None:
        async with asyncio.timeout(5.0):
            while not self.wire.is_read:  # noqa: ASYNC110 - a timer of the loop is at work
                await asyncio.sleep(0.001)


async def test_who_is_served_is_read_on() -> None:
    world = World()
    world.call("wait", "wait")
    assert world.wire.is_read
    world.served.connection_lost(None)


async def test_who_is_refused_is_read_a_little_later() -> None:
    world = World(rest=0.001)
    world.call("no", "no")
    assert not world.wire.is_read
    await world.until_read()
    world.call("no")
    assert not world.wire.is_read
    await world.until_read()
    world.served.connection_lost(None)


async def test_a_call_that_ends_makes_room_at_once() -> None:
    world = World()
    world.call("wait", "no")
    assert not world.wire.is_read
    world.release.set()
    await world.until_read()
    world.served.connection_lost(None)


async def test_who_reads_no_answers_is_not_read_after_the_rest_either() -> None:
    world = World()
    world.call("wait", "no")
    world.served.pause_writing()
    world.release.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not world.wire.is_read
    world.served.resume_writing()
    assert world.wire.is_read
    world.served.connection_lost(None)


async def test_who_reads_the_answers_again_is_not_read_before_the_rest_is_over() -> None:
    world = World()
    world.call("wait", "no")
    world.served.pause_writing()
    world.served.resume_writing()
    assert not world.wire.is_read
    world.release.set()
    await world.until_read()
    world.served.connection_lost(None)


async def test_a_connection_that_is_lost_while_it_rests_is_left_alone() -> None:
    world = World()
    world.call("wait", "no")
    world.wire.is_closed = True
    world.served.connection_lost(None)
    world.release.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not world.wire.is_read
