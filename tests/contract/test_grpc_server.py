"""The gRPC server on real sockets; what also holds for grpc.aio's server is asked of both."""

import asyncio
import contextlib
import datetime
import resource
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from dispatcher.grpc_server import frames
from dispatcher.grpc_server.calls import RefusedCall
from dispatcher.grpc_server.listener import FailedHandshake, Listener
from dispatcher.grpc_server.served import Patience
from dispatcher.grpc_server.service import Service
from dispatcher.grpc_server.streams import Limits
from servicekit.tls import ServerTls, TlsFiles

PATIENCE = 15.0
MOST = 4 * 1024 * 1024
NAME = "test.Service"


async def until(question: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not question():  # noqa: ASYNC110 - another thread or process is at work
            await asyncio.sleep(0.005)


class Servicer:
    """Methods of all four kinds, on plain bytes."""

    def __init__(self) -> None:
        self.running = 0
        self.ends: list[str] = []
        self.written = 0
        self.read = 0
        self.seen: list[Any] = []
        self.release = asyncio.Event()
        self.excuse: Callable[[], bool] | None = None

    async def echo(self, request: bytes, context: Any) -> bytes:
        return request

    async def wait(self, request: bytes, context: Any) -> bytes:
        self.running += 1
        if self.excuse is not None:
            context.excuse_silence(self.excuse)
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.ends.append("cancelled")
            raise
        finally:
            self.running -= 1
        return request

    async def stubborn(self, request: bytes, context: Any) -> bytes:
        """Does not end when it is told to."""
        self.running += 1
        while not self.release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await self.release.wait()
        self.running -= 1
        return b""

    async def fail(self, request: bytes, context: Any) -> bytes:
        match request:
            case b"abort":
                await context.abort(
                    grpc.StatusCode.NOT_FOUND, "no such thing: 100% ä\n", (("x-bin", b"\xff\0"),)
                )
            case b"code":
                context.set_code(grpc.StatusCode.DATA_LOSS)
                context.set_details("lost")
                context.set_trailing_metadata((("key", "value"),))
                return b""
        raise RuntimeError("secret")

    async def metadata(self, request: bytes, context: Any) -> bytes:
        self.seen.append((tuple(context.invocation_metadata()), context.time_remaining()))
        self.seen.append(context.peer())
        return b""

    async def down(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        """So many answers of such a size: `count:size`."""
        count, size = map(int, request.split(b":"))
        try:
            for _ in range(count):
                yield bytes(size)
                self.written += 1
        finally:
            self.ends.append("down")

    async def up(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        total = 0
        async for request in requests:
            total += len(request)
            self.read += 1
        return str(total).encode()

    async def slow_up(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        await self.release.wait()
        return await self.up(requests, context)

    async def both(self, requests: AsyncIterator[bytes], context: Any) -> None:
        async for request in requests:
            await context.write(request)

    async def garbage(self, request: bytes, context: Any) -> bytes:
        raise AssertionError("cannot be read")

    def handlers(self) -> dict[str, Any]:
        def cannot(_raw: bytes) -> bytes:
            raise ValueError("secret")

        unary = grpc.unary_unary_rpc_method_handler
        return {
            "Echo": unary(self.echo),
            "Wait": unary(self.wait),
            "Stubborn": unary(self.stubborn),
            "Fail": unary(self.fail),
            "Metadata": unary(self.metadata),
            "Garbage": unary(self.garbage, cannot),
            "Down": grpc.unary_stream_rpc_method_handler(self.down),
            "Up": grpc.stream_unary_rpc_method_handler(self.up),
            "SlowUp": grpc.stream_unary_rpc_method_handler(self.slow_up),
            "Both": grpc.stream_stream_rpc_method_handler(self.both),
        }


class World:
    """A server and a channel to it."""

    def __init__(self) -> None:
        self.servicer = Servicer()
        self.port = 0
        self.listener: Listener | None = None
        self.stop: Callable[[float], Awaitable[Any]] = _nothing
        self.channels: list[Any] = []

    def channel(self, **options: Any) -> Any:
        made = grpc.aio.insecure_channel(
            f"127.0.0.1:{self.port}",
            options=[("grpc.max_receive_message_length", -1), *options.pop("options", ())],
            **options,
        )
        self.channels.append(made)
        return made

    def unary(self, name: str, **options: Any) -> Any:
        return self.channel(**options).unary_unary(f"/{NAME}/{name}")

    async def close(self) -> None:
        self.servicer.release.set()
        for channel in self.channels:
            await channel.close()
        await self.stop(0)


async def _nothing(_grace: float) -> None:
    pass


def ours(world: World, context: Any = None, judges: Any = (), **options: Any) -> Listener:
    service = Service(judges)
    service.add_registered_method_handlers(NAME, world.servicer.handlers())
    listener = Listener(service, most=lambda _method: MOST, context=context, **options)
    world.port = listener.bind("127.0.0.1", 0)
    listener.start()
    world.listener, world.stop = listener, listener.stop
    return listener


async def theirs(world: World) -> None:
    server = grpc.aio.server()
    server.add_registered_method_handlers(NAME, world.servicer.handlers())
    world.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    world.stop = server.stop


@pytest.fixture(params=["ours", "theirs"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Either server: what is asked of ours is true of the real thing."""
    world = World()
    if request.param == "ours":
        ours(world)
    else:
        await theirs(world)
    yield world
    await world.close()


@pytest.fixture
async def own() -> AsyncIterator[World]:
    world = World()
    ours(world)
    yield world
    await world.close()


# -- calls of all kinds ----------------------------------------------------------------------------


async def test_a_unary_call(world: World) -> None:
    echo = world.unary("Echo")
    for message in (b"", b"abc", bytes(100_000)):
        assert await echo(message) == message


async def test_a_message_of_the_most_bytes_and_one_of_more(world: World) -> None:
    echo = world.unary("Echo")
    assert len(await echo(bytes(MOST))) == MOST
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await echo(bytes(MOST + 1))
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await echo(b"goes on") == b"goes on"


async def test_many_large_messages_at_once(world: World) -> None:
    """More than may be unfinished at a time: they come to their ends one after another."""
    channel = world.channel()
    calls = [channel.unary_unary(f"/{NAME}/Echo")(bytes(MOST)) for _ in range(16)]
    assert [len(answer) for answer in await asyncio.gather(*calls)] == [MOST] * 16


async def test_a_thousand_calls_at_once(world: World) -> None:
    channel = world.channel()
    waiting = [channel.unary_unary(f"/{NAME}/Wait")(str(n).encode()) for n in range(1_000)]
    await until(lambda: world.servicer.running == 1_000)
    world.servicer.release.set()
    assert await asyncio.gather(*waiting) == [str(n).encode() for n in range(1_000)]


async def test_streams_of_all_kinds(world: World) -> None:
    channel = world.channel()
    down = channel.unary_stream(f"/{NAME}/Down")(b"1000:7")
    assert [message async for message in down] == [bytes(7)] * 1_000
    up = channel.stream_unary(f"/{NAME}/Up")
    assert await up(iter([b"abc"] * 1_000)) == b"3000"
    assert await up(iter([])) == b"0"
    both = channel.stream_stream(f"/{NAME}/Both")()
    for number in range(100):
        await both.write(str(number).encode())
        assert await both.read() == str(number).encode()
    await both.done_writing()
    assert await both.read() is grpc.aio.EOF
    assert await both.code() is grpc.StatusCode.OK


async def test_the_client_with_threads(world: World) -> None:
    def work() -> None:
        with grpc.insecure_channel(f"127.0.0.1:{world.port}") as channel:
            echo = channel.unary_unary(f"/{NAME}/Echo")
            assert [echo(bytes(n)) for n in range(50)] == [bytes(n) for n in range(50)]
            assert len(list(channel.unary_stream(f"/{NAME}/Down")(b"100:1000"))) == 100
            both = channel.stream_stream(f"/{NAME}/Both")
            assert list(both(iter([b"a", b"b"]))) == [b"a", b"b"]
            with pytest.raises(grpc.RpcError) as late:
                channel.unary_unary(f"/{NAME}/Wait")(b"", timeout=0.2)
            assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    await asyncio.to_thread(work)


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_clients_may_compress(world: World, compression: grpc.Compression) -> None:
    channel = world.channel(compression=compression)
    assert await channel.unary_unary(f"/{NAME}/Echo")(b"a" * 300_000) == b"a" * 300_000
    up = channel.stream_unary(f"/{NAME}/Up")
    assert await up(iter([bytes(100_000)] * 20)) == b"2000000"


async def test_a_message_that_is_too_large_when_unpacked(world: World) -> None:
    channel = world.channel(compression=grpc.Compression.Gzip)
    for call in (
        channel.unary_unary(f"/{NAME}/Echo")(bytes(MOST + 1)),
        channel.stream_unary(f"/{NAME}/Up")(iter([bytes(MOST + 1)])),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


# -- what a call says ------------------------------------------------------------------------------


async def test_metadata(world: World) -> None:
    sent = (("x", "1"), ("x", "2"), ("key-bin", bytes(range(256))), ("empty-bin", b""))
    await world.unary("Metadata")(b"", metadata=sent, timeout=30)
    (seen, left), peer = world.servicer.seen
    assert tuple(pair for pair in seen if pair[0] in dict(sent)) == sent
    assert dict(seen)["user-agent"].startswith("grpc-python")
    assert 20 < left < 31  # gRPC rounds it up
    assert peer.startswith("ipv4:127.0.0.1:")


async def test_errors(world: World) -> None:
    fail = world.unary("Fail")
    with pytest.raises(grpc.aio.AioRpcError) as aborted:
        await fail(b"abort")
    assert aborted.value.code() is grpc.StatusCode.NOT_FOUND
    assert aborted.value.details() == "no such thing: 100% ä\n"
    assert dict(aborted.value.trailing_metadata())["x-bin"] == b"\xff\0"
    with pytest.raises(grpc.aio.AioRpcError) as lost:
        await fail(b"code")
    assert (lost.value.code(), lost.value.details()) == (grpc.StatusCode.DATA_LOSS, "lost")
    assert dict(lost.value.trailing_metadata())["key"] == "value"
    with pytest.raises(grpc.aio.AioRpcError) as broken:
        await fail(b"raise")
    assert broken.value.code() is grpc.StatusCode.UNKNOWN


async def test_what_went_wrong_stays_here(own: World) -> None:
    for name in ("Fail", "Garbage"):
        with pytest.raises(grpc.aio.AioRpcError) as broken:
            await own.unary(name)(b"KA-47-UT-9173")
        assert "secret" not in str(broken.value)
        assert "KA-47" not in str(broken.value)


async def test_a_request_that_cannot_be_read_costs_its_call_only(own: World) -> None:
    channel = own.channel()
    held = asyncio.ensure_future(_result(channel.unary_unary(f"/{NAME}/Wait")(b"held")))
    await until(lambda: own.servicer.running)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await channel.unary_unary(f"/{NAME}/Garbage")(b"x")
    assert refused.value.code() is grpc.StatusCode.INTERNAL
    own.servicer.release.set()
    assert await held == b"held"


async def _result(call: Any) -> Any:
    return await call


async def test_an_unknown_method_is_not_quoted(world: World) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await world.channel().unary_unary("/KA-47-UT-9173/x")(b"")
    assert unknown.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "9173" not in str(unknown.value.details())


async def test_a_call_refused_unread(own: World) -> None:
    service = Service([lambda _following: lambda _arrival: RefusedCall(16, "no", (("x", "y"),))])
    listener = Listener(service, most=lambda _method: MOST, context=None)
    port = listener.bind("127.0.0.1", 0)
    listener.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary("/a/b")(bytes(MOST))
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert dict(refused.value.trailing_metadata()) == {"x": "y"}
    await listener.stop(0)


# -- ends ------------------------------------------------------------------------------------------


async def test_deadlines(world: World) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as late:
        await world.unary("Wait")(b"", timeout=0.2)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await until(lambda: world.servicer.ends == ["cancelled"])
    assert world.servicer.running == 0


async def test_a_client_that_gives_up(world: World) -> None:
    call = world.unary("Wait")(b"")
    await until(lambda: world.servicer.running)
    call.cancel()
    await until(lambda: world.servicer.ends == ["cancelled"])


async def test_a_client_that_disappears(world: World) -> None:
    channel = world.channel()
    for name in ("Wait", "Wait"):
        channel.unary_unary(f"/{NAME}/{name}")(b"")
    await until(lambda: world.servicer.running == 2)
    await channel.close()
    await until(lambda: world.servicer.running == 0)


async def test_a_stop_tells_calls_that_they_may_be_repeated(own: World) -> None:
    channel = own.channel()
    call = channel.unary_unary(f"/{NAME}/Wait")(b"")
    await until(lambda: own.servicer.running)
    await own.stop(0)
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await call
    assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
    assert ended.value.details() == "the dispatcher is stopping"


async def test_a_stop_lets_calls_end(world: World) -> None:
    channel = world.channel()
    call = channel.unary_unary(f"/{NAME}/Wait")(b"abc")
    await until(lambda: world.servicer.running)
    stopping = asyncio.ensure_future(_result(world.stop(PATIENCE)))
    world.servicer.release.set()
    assert await call == b"abc"
    await stopping
    with pytest.raises(grpc.aio.AioRpcError) as gone:
        await channel.unary_unary(f"/{NAME}/Echo")(b"")
    assert gone.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_each_call_ends_once_for_whoever_judged_it() -> None:
    ends: list[int | None] = []

    def judge(following: Any) -> Any:
        def resolve(arrival: Any) -> Any:
            arrival.on_end = ends.append
            if arrival.method.endswith("Refused"):
                return RefusedCall(8, "no")
            return following(arrival)

        return resolve

    world = World()
    listener = ours(world, judges=[judge])
    channel = world.channel()
    call = {
        name: channel.unary_unary(f"/{NAME}/{name}")
        for name in ("Echo", "Fail", "Wait", "Refused", "Unknown", "Garbage")
    }
    await call["Echo"](b"")
    for name, given in [("Fail", b"abort"), ("Refused", b""), ("Unknown", b""), ("Garbage", b"")]:
        with pytest.raises(grpc.aio.AioRpcError):
            await call[name](given)
    with pytest.raises(grpc.aio.AioRpcError):
        await call["Wait"](b"", timeout=0.1)
    gone = call["Wait"](b"")
    await until(lambda: world.servicer.running)
    gone.cancel()
    await until(lambda: len(ends) == 7)
    assert ends == [0, 5, 8, 12, 13, 4, None]
    left = call["Wait"](b"")
    await until(lambda: world.servicer.running)
    await listener.stop(0)
    with pytest.raises(grpc.aio.AioRpcError):
        await left
    assert ends[7:] == [14]
    await world.close()


# -- backpressure ----------------------------------------------------------------------------------


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def test_a_client_that_does_not_read_makes_its_servicer_wait(world: World) -> None:
    call = world.channel().unary_stream(f"/{NAME}/Down")(b"2000:100000")
    assert len(await call.read()) == 100_000
    before = -1
    while before != world.servicer.written:
        before = world.servicer.written
        await asyncio.sleep(0.1)
    assert before < 500, before
    for _ in range(1_999):
        assert len(await call.read()) == 100_000
    assert await call.read() is grpc.aio.EOF


async def test_a_servicer_that_does_not_read_makes_its_client_wait(own: World) -> None:
    sent = 0

    async def requests() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(2_000):
            yield bytes(10_000)
            sent += 1

    call = own.channel().stream_unary(f"/{NAME}/SlowUp")(requests())
    before = -1
    while not sent or before != sent:
        before = sent
        await asyncio.sleep(0.1)
    assert sent < 200
    own.servicer.release.set()
    assert await call == b"20000000"


async def test_compressed_messages_wait_as_they_came(own: World) -> None:
    """Unpacked they would be gigabytes."""
    before = peak_bytes()
    channel = own.channel(compression=grpc.Compression.Gzip)
    call = channel.stream_unary(f"/{NAME}/SlowUp")(iter([bytes(MOST)] * 100))
    served = next(iter_connections(own)) if await connected(own) else None
    assert served is not None
    await until(lambda: served._connection._inbox.unread > 100_000)
    assert peak_bytes() - before < 200_000_000
    own.servicer.release.set()
    assert await call == str(100 * MOST).encode()


async def connected(world: World) -> bool:
    await until(lambda: world.listener is not None and world.listener._connections)
    return True


def iter_connections(world: World) -> Iterator[Any]:
    assert world.listener is not None
    return iter(world.listener._connections)


# -- peers that are no gRPC clients ----------------------------------------------------------------


def block(path: str, *more: tuple[str, str]) -> bytes:
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        *more,
    ]
    return b"".join(
        b"\0" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()
        for name, value in fields
    )


def call(number: int, path: str, message: bytes = b"") -> bytes:
    framed = b"\0" + len(message).to_bytes(4, "big") + message
    return frames.frame(frames.HEADERS, frames.END_HEADERS, number, block(path)) + frames.frame(
        frames.DATA, frames.END_STREAM, number, framed
    )


HELLO = frames.PREFACE + frames.settings({})


class Raw:
    """A connection on which a test writes bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, world: World, raw: bytes = b"", **options: Any) -> "Raw":
        made = cls(*await asyncio.open_connection("127.0.0.1", world.port, **options))
        made.writer.write(raw)
        return made

    async def rest(self) -> bytes:
        """All that comes until the other side hangs up."""
        found = b""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE):
                while piece := await self.reader.read(65_536):
                    found += piece
        return found

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


@pytest.fixture
async def hasty() -> AsyncIterator[World]:
    """With little patience."""
    world = World()
    ours(world, patience=Patience(beginning=0.3, silence=0.2, answer=0.2))
    yield world
    await world.close()


@pytest.mark.parametrize("raw", [b"", frames.PREFACE[:9], frames.PREFACE])
async def test_a_connection_that_does_not_begin_is_closed(hasty: World, raw: bytes) -> None:
    peer = await Raw.to(hasty, raw)
    await peer.rest()
    await peer.close()
    await until(lambda: not list(iter_connections(hasty)))


async def test_a_peer_that_falls_silent_is_closed(hasty: World) -> None:
    peer = await Raw.to(hasty, HELLO + call(1, f"/{NAME}/Wait"))
    await until(lambda: hasty.servicer.running)
    assert frames.frame(frames.PING, 0, 0, b"virtscal") in await peer.rest()
    await until(lambda: not hasty.servicer.running)
    await peer.close()


async def test_a_peer_that_is_excused_may_be_silent_and_is_asked_for_nothing(hasty: World) -> None:
    excused = True
    hasty.servicer.excuse = lambda: excused
    peer = await Raw.to(hasty, HELLO + call(1, f"/{NAME}/Wait"))
    await until(lambda: hasty.servicer.running)
    began = time.monotonic()
    await until(lambda: time.monotonic() - began > 1.5)
    assert hasty.servicer.running
    excused = False
    await until(lambda: not hasty.servicer.running)
    assert frames.frame(frames.PING, 0, 0, b"virtscal") in await peer.rest()
    await peer.close()


async def test_a_peer_that_answers_pings_stays(hasty: World) -> None:
    echo = hasty.unary("Wait")(b"abc")
    await until(lambda: hasty.servicer.running)
    began = time.monotonic()
    await until(lambda: time.monotonic() - began > 1.5)
    hasty.servicer.release.set()
    assert await echo == b"abc"


async def test_a_peer_that_never_reads_is_closed_and_its_requests_wait(hasty: World) -> None:
    """What it asks for would otherwise pile up here."""
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        raw.setblocking(False)
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", hasty.port))
        sending = asyncio.ensure_future(_flood(raw))
        await until(lambda: list(iter_connections(hasty)))
        (served,) = iter_connections(hasty)
        await until(lambda: served._writable is not None)
        assert served._connection._outbox._control < 10_000
        await until(lambda: not list(iter_connections(hasty)))
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await sending


async def _flood(raw: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(raw, HELLO)
    number = 1
    while True:
        calls = [call(each, "/no/such") for each in range(number, number + 200, 2)]
        await loop.sock_sendall(raw, b"".join(calls))
        number += 200


async def test_http_1_gets_a_readable_answer(own: World) -> None:
    peer = await Raw.to(own, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = await peer.rest()
    assert answer.startswith(b"HTTP/1.1 505 HTTP Version Not Supported\r\n")
    assert b"gRPC" in answer
    await peer.close()


async def test_a_client_that_resets_faster_than_servicers_end(own: World) -> None:
    await own.stop(0)
    ours(own, limits=Limits(streams=10))
    peer = await Raw.to(own, HELLO)
    for count in range(1, 11):
        peer.writer.write(call(2 * count - 1, f"/{NAME}/Stubborn"))
        await until(lambda count=count: own.servicer.running == count)  # type: ignore[misc]
        peer.writer.write(frames.reset(2 * count - 1, frames.Code.CANCEL))
    peer.writer.write(call(41, f"/{NAME}/Stubborn"))
    refusal = frames.reset(41, frames.Code.REFUSED_STREAM)
    found = b""
    async with asyncio.timeout(PATIENCE):
        while refusal not in found:
            found += await peer.reader.read(65_536)
    assert own.servicer.running == 10
    own.servicer.release.set()
    await until(lambda: own.servicer.running == 0)
    await peer.close()


async def test_a_deadline_of_nothing_is_over_at_once(own: World) -> None:
    head = frames.frame(
        frames.HEADERS, frames.END_HEADERS, 1, block(f"/{NAME}/Wait", ("grpc-timeout", "0S"))
    )
    peer = await Raw.to(own, HELLO + head + frames.frame(frames.DATA, 1, 1, bytes(5)))
    async with asyncio.timeout(PATIENCE):
        assert b"grpc-status\x014" in await peer.reader.readuntil(b"grpc-message")
    await until(lambda: not own.servicer.running)
    await peer.close()


# What is answered before the loop has looked at its clock again is in time for it.
@pytest.mark.parametrize(("text", "statuses"), [("99999999H", b"0"), ("1n", b"04")])
async def test_the_longest_and_the_shortest_deadline(
    own: World, text: str, statuses: bytes
) -> None:
    head = frames.frame(
        frames.HEADERS, frames.END_HEADERS, 1, block(f"/{NAME}/Echo", ("grpc-timeout", text))
    )
    peer = await Raw.to(own, HELLO + head + frames.frame(frames.DATA, 1, 1, bytes(5)))
    async with asyncio.timeout(PATIENCE):
        await peer.reader.readuntil(b"grpc-status")
        length, status = await peer.reader.readexactly(2)
        assert length == 1
        assert status in statuses
    await peer.close()


async def test_an_answer_that_waits_for_a_window_goes_with_its_deadline(own: World) -> None:
    fields = block(f"/{NAME}/Down", ("grpc-timeout", "200m"))
    head = frames.frame(frames.HEADERS, frames.END_HEADERS, 1, fields)
    message = b"9:100000"
    content = b"\0" + len(message).to_bytes(4, "big") + message
    peer = await Raw.to(own, HELLO + head + frames.frame(frames.DATA, 1, 1, content))
    await until(lambda: own.servicer.ends == ["down"])
    (served,) = iter_connections(own)
    await until(lambda: served._connection.is_clear)
    await peer.close()


# -- TLS -------------------------------------------------------------------------------------------

AUTHORITY, STRANGER = trustme.CA(), trustme.CA()


class Secured(World):
    """A listener that asks for a certificate, and what it says of handshakes."""

    def __init__(self, directory: Path, **options: Any) -> None:
        super().__init__()
        self.failed: list[FailedHandshake] = []
        paths = {name: directory / f"{name}.pem" for name in ("certificate", "key", "client_ca")}
        issued = AUTHORITY.issue_cert("localhost", "127.0.0.1")
        issued.cert_chain_pems[0].write_to_path(paths["certificate"])
        issued.private_key_pem.write_to_path(paths["key"])
        AUTHORITY.cert_pem.write_to_path(paths["client_ca"])
        tls = ServerTls(TlsFiles(**paths), "tls", now=time.time())
        ours(self, lambda: tls.context, on_failed_handshake=self.failed.append, **options)

    def secure_channel(self, issuer: trustme.CA | None, root: trustme.CA = AUTHORITY) -> Any:
        pair = (None, None)
        if issuer is not None:
            issued = issuer.issue_cert("client.example", common_name="a client")
            pair = issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes()
        credentials = grpc.ssl_channel_credentials(root.cert_pem.bytes(), *pair)
        made = grpc.aio.secure_channel(f"localhost:{self.port}", credentials)
        self.channels.append(made)
        return made


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[Secured]:
    world = Secured(tmp_path)
    yield world
    await world.close()


def client_context(alpn: list[str], *, is_expired: bool = False, issuer: Any = AUTHORITY) -> Any:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    AUTHORITY.configure_trust(context)
    if alpn:
        context.set_alpn_protocols(alpn)
    if issuer is not None:
        past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        begin = past - datetime.timedelta(days=1)
        times = {"not_before": begin, "not_after": past} if is_expired else {}
        issuer.issue_cert("client.example", **times).configure_cert(context)
    return context


async def test_calls_over_tls(secured: Secured) -> None:
    echo = secured.secure_channel(AUTHORITY).unary_unary(f"/{NAME}/Echo")
    for size in (3, MOST):
        assert len(await echo(bytes(size))) == size
    assert secured.failed == []


@pytest.mark.parametrize("issuer", [None, STRANGER])
async def test_a_client_without_a_certificate_of_ours(secured: Secured, issuer: Any) -> None:
    call = secured.secure_channel(issuer).unary_unary(f"/{NAME}/Echo")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(b"")
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert set(secured.failed) == {FailedHandshake.CERTIFICATE}


async def test_a_client_with_a_certificate_that_has_expired(secured: Secured) -> None:
    context = client_context(["h2"], is_expired=True)
    with contextlib.suppress(OSError):
        peer = await Raw.to(secured, HELLO, ssl=context, server_hostname="localhost")
        await peer.rest()
        await peer.close()
    await until(lambda: secured.failed == [FailedHandshake.CERTIFICATE])


async def test_a_client_that_does_not_trust_us(secured: Secured) -> None:
    call = secured.secure_channel(AUTHORITY, root=STRANGER).unary_unary(f"/{NAME}/Echo")
    with pytest.raises(grpc.aio.AioRpcError):
        await call(b"")
    await until(lambda: secured.failed)
    assert set(secured.failed) <= {FailedHandshake.CERTIFICATE, FailedHandshake.GONE}


@pytest.mark.parametrize("alpn", [[], ["http/1.1"]])
async def test_a_client_that_does_not_name_http2(secured: Secured, alpn: list[str]) -> None:
    peer = await Raw.to(secured, HELLO, ssl=client_context(alpn), server_hostname="localhost")
    await peer.rest()
    await peer.close()
    await until(lambda: secured.failed == [FailedHandshake.NO_HTTP2])


async def test_a_client_in_the_clear_on_the_port_of_tls(secured: Secured) -> None:
    call = secured.unary("Echo")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(b"")
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert set(secured.failed) == {FailedHandshake.PROTOCOL}


async def test_a_client_of_tls_on_the_clear_port(own: World) -> None:
    credentials = grpc.ssl_channel_credentials(AUTHORITY.cert_pem.bytes())
    async with grpc.aio.secure_channel(f"localhost:{own.port}", credentials) as channel:
        with pytest.raises(grpc.aio.AioRpcError, match="WRONG_VERSION_NUMBER"):
            await channel.unary_unary(f"/{NAME}/Echo")(b"")


async def test_a_handshake_that_never_ends(tmp_path: Path) -> None:
    world = Secured(tmp_path, patience=Patience(beginning=0.2))
    peer = await Raw.to(world, b"\x16\x03\x01")
    await peer.rest()
    await peer.close()
    assert world.failed == [FailedHandshake.TIMEOUT]
    await world.close()


async def test_a_client_that_hangs_up_in_its_handshake(secured: Secured) -> None:
    peer = await Raw.to(secured, b"\x16\x03\x01")
    await peer.close()
    await until(lambda: secured.failed == [FailedHandshake.GONE])


async def test_threads_do_not_grow(own: World) -> None:
    before = threading.active_count()
    await own.unary("Echo")(b"")
    assert threading.active_count() <= before + 1  # grpc's own poller, of the client
