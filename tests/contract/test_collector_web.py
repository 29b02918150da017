"""What the collector's web server does with clients of every kind."""

import asyncio
import contextlib
import gc
import os
import random
import socket
import threading

import pytest

from collector.web import listeners
from collector.web.addresses import address
from collector.web.connection import Limits
from collector.web.messages import Answer, text_answer
from servicekit.lifecycle import StartError
from tests.contract.collector_web import LOOPBACK, QUICK, ask, connected, echo, served, until

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"


async def test_an_answer_has_its_length_and_the_connection_stays():
    async with served() as one, connected(one.port, GET) as (reader, writer):
        for _ in range(3):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert b"content-length: 7\r\n" in head.lower()
            assert b"\r\ndate: " in head.lower()
            assert await reader.readexactly(7) == b"GET /a\n"
            writer.write(GET)
        assert one.server.connections == 1


async def test_requests_may_come_all_at_once():
    async with served() as one, connected(one.port, GET * 5) as (reader, _):
        for _ in range(5):
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(7) == b"GET /a\n"


async def test_an_old_client_is_closed_after_its_answer():
    async with served() as one, connected(one.port, b"GET /a HTTP/1.0\r\n\r\n") as (reader, _):
        answer = await reader.read()
        assert answer.endswith(b"\r\n\r\nGET /a\n")


async def test_head_has_no_body():
    async with served() as one:
        status, body, headers = await one.get("/a", method="HEAD")
        assert (status, body, headers["Content-Length"]) == (200, b"", "8")


async def test_a_bug_is_an_answer_and_the_connection_goes_on():
    async with served() as one:
        status, body, _ = await one.get("/broken")
        assert (status, body) == (500, b"internal error; the log says more\n")
        assert (await one.get("/a"))[0] == 200


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01 TLS on a plain port\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),  # no Host
        (b"GET nothing HTTP/1.1\r\nHost: h\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 90_000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        (b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", b"200"),
        (
            b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 70_000,
            b"200",
        ),
        (
            b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n",
            b"200",
        ),
    ],
)
async def test_odd_requests_are_answered(said, status):
    async with served() as one, connected(one.port, said) as (reader, _):
        assert (await reader.readline()).split()[1] == status
    async with served() as one:
        assert (await one.get("/a"))[0] == 200


async def test_the_server_outlives_any_bytes():
    chosen = random.Random(7)
    pieces = [b"GET ", b"/", b" HTTP/1.1\r\n", b"Host: h\r\n", b"\r\n", b"\0", b"\xff" * 9, b": "]
    async with served(limits=QUICK) as one:
        for _ in range(100):
            said = b"".join(chosen.choices(pieces, k=chosen.randrange(12)))
            async with connected(one.port, said) as (_, writer):
                if chosen.random() < 0.5 and writer.can_write_eof():
                    writer.write_eof()
        assert (await one.get("/a"))[0] == 200
        await until(lambda: one.server.connections == 0)


async def test_silent_clients_delay_nobody():
    async with served() as one, contextlib.AsyncExitStack() as clients:
        for said in [b""] * 20 + [b"GET /a HT"] * 20:
            await clients.enter_async_context(connected(one.port, said))
        assert (await one.get("/a"))[0] == 200
        assert one.server.connections >= 40


async def test_silent_clients_are_closed():
    async with served(limits=QUICK) as one, connected(one.port) as (reader, _):
        assert await reader.read() == b""
        await until(lambda: one.server.connections == 0)


async def test_half_a_request_is_not_waited_for_longer_than_a_whole_one():
    async with served(limits=QUICK) as one, connected(one.port, b"GET /a HT") as (reader, writer):
        # A byte now and then wins no time. One that comes too late makes the end a reset.
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(b"T")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await reader.read(1)
        await until(lambda: one.server.connections == 0)


async def test_a_connection_that_is_not_used_is_closed():
    async with served(limits=QUICK) as one, connected(one.port, GET) as (reader, _):
        await reader.readuntil(b"\n")
        await until(lambda: one.server.connections == 0)


async def test_who_does_not_take_a_large_answer_delays_nobody():
    large = GET.replace(b"/a", b"/large")
    async with served() as one, contextlib.AsyncExitStack() as clients:
        for _ in range(5):
            await clients.enter_async_context(connected(one.port, large, limit=1))
        await until(lambda: [client.phase.name for client in one.server.clients] == ["SENDING"] * 5)
        assert (await one.get("/a"))[0] == 200
        assert one.server.connections >= 5


async def test_who_does_not_take_a_large_answer_is_closed():
    large = GET.replace(b"/a", b"/large")
    async with served(limits=QUICK) as one, connected(one.port, large, limit=1):
        await until(lambda: one.server.clients)
        await until(lambda: one.server.connections == 0)


async def test_who_takes_a_large_answer_slowly_gets_it_whole():
    large = GET.replace(b"/a", b"/large")
    async with served() as one, connected(one.port, large) as (reader, _):
        await reader.readuntil(b"\r\n\r\n")
        size = 0
        while size < 10_000_000:
            size += len(await reader.read(50_000))
            await asyncio.sleep(0)
        assert size == 10_000_000


async def test_a_client_that_leaves_in_the_middle_is_no_news():
    large = GET.replace(b"/a", b"/large")
    async with served() as one:
        for _ in range(10):
            async with connected(one.port, large) as (reader, _):
                await reader.read(10)
        await until(lambda: one.server.connections == 0)
        assert (await one.get("/a"))[0] == 200


async def test_when_all_places_are_taken_the_longest_silent_client_makes_room():
    limits = Limits(connections=4, head_seconds=600.0)
    async with served(limits=limits) as one, contextlib.AsyncExitStack() as clients:
        opened = [await clients.enter_async_context(connected(one.port)) for _ in range(4)]
        await until(lambda: one.server.connections == 4)
        assert (await one.get("/a"))[0] == 200
        async with asyncio.timeout(15):
            assert await opened[0][0].read() == b""
        assert one.server.evictions == 1
        assert one.server.connections <= 4


async def test_nobody_makes_room_whose_answer_is_being_made():
    gate = asyncio.Event()

    async def slow(request):
        await gate.wait()
        return text_answer(200, "done")

    limits = Limits(connections=1)
    async with served(limits=limits, handler=slow) as one, connected(one.port, GET) as (reader, _):
        await until(lambda: one.server.connections == 1)
        await until(lambda: [client.phase.name for client in one.server.clients] == ["ANSWER"])
        async with connected(one.port, GET) as (refused, _):
            assert await refused.read() == b""
        gate.set()
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")


async def test_an_answer_under_way_is_ended_at_the_end():
    gate = asyncio.Event()

    async def slow(request):
        await gate.wait()
        return text_answer(200, "done")

    async with served(handler=slow) as one, connected(one.port, GET) as (reader, _):
        await until(lambda: [client.phase.name for client in one.server.clients] == ["ANSWER"])
        closing = asyncio.create_task(one.server.close())
        await until(lambda: not one.server.is_listening)
        gate.set()
        answer = await reader.read()
        assert b"connection: close" in answer.lower()
        assert answer.endswith(b"\r\n\r\ndone\n")
        await closing


def descriptors():
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


async def test_a_thousand_requests_leave_nothing_behind():
    async with served() as one:
        await one.get("/a")
        before, threads = descriptors(), threading.active_count()

        def many():
            for number in range(250):
                assert ask(one.port, f"/{number}")[0] == 200

        await asyncio.gather(*(asyncio.to_thread(many) for _ in range(4)))
        await until(lambda: one.server.connections == 0)
        assert descriptors() <= before
        assert threading.active_count() <= threads + 4  # those of `to_thread`
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def reached(where):
    reader, writer = await where
    writer.write(GET)
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return line.startswith(b"HTTP/1.1 200")


async def test_listens_on_every_kind_of_address(tmp_path):
    path = tmp_path / "s"
    addresses = [address("127.0.0.1:0"), address("[::1]:0"), address(":0"), address(f"unix:{path}")]
    sockets = listeners.listen(addresses)
    async with served() as other:  # for its guard and configuration
        server = type(other.server)(echo, sockets, guard=other.guard, config=other.config)
        server.start()
        ports = [one.getsockname()[1] for one in sockets[:3]]
        assert await reached(asyncio.open_connection("127.0.0.1", ports[0]))
        assert await reached(asyncio.open_connection("::1", ports[1]))
        assert await reached(asyncio.open_connection("127.0.0.1", ports[2]))
        assert await reached(asyncio.open_connection("::1", ports[2]))
        assert await reached(asyncio.open_unix_connection(path))
        assert path.stat().st_mode & 0o777 == 0o660
        assert server.addresses[3] == f"unix:{path}"
        await server.close()
    assert not path.exists()


def test_a_socket_that_a_killed_process_left_is_no_obstacle_and_a_live_one_is(tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    made = listeners.listen([address(f"unix:{path}")])
    with pytest.raises(StartError, match="something is there already"):
        listeners.listen([address(f"unix:{path}")])
    listeners.close(made)
    path.write_text("a file of somebody")
    with pytest.raises(StartError, match="something is there already"):
        listeners.listen([address(f"unix:{path}")])
    assert path.read_text() == "a file of somebody"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("192.0.2.1:0", "cannot listen on"),
        ("no.such.invalid:0", "cannot listen on"),
        ("unix:/no/such/directory/s", "No such file"),
    ],
)
def test_an_address_that_cannot_be_used_is_a_start_error(text, reason):
    with pytest.raises(StartError, match=reason):
        listeners.listen([address(f"{LOOPBACK}:0"), address(text)])


def test_a_busy_port_names_the_flag():
    made = listeners.listen([address(f"{LOOPBACK}:0")])
    port = made[0].getsockname()[1]
    with pytest.raises(StartError, match=r"--web\.listen-address HOST:PORT") as caught:
        listeners.listen([address(f"{LOOPBACK}:{port}")])
    assert f"port {port}" in str(caught.value)
    listeners.close(made)


def test_notices_reach_systemd(tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        systemd.settimeout(5)
        listeners.notify({"NOTIFY_SOCKET": str(path)}, "READY=1")
        assert systemd.recv(100) == b"READY=1"
    listeners.notify({"NOTIFY_SOCKET": str(path)}, "READY=1")  # nobody listens any more
    listeners.notify({}, "READY=1")


async def test_an_answer_that_http_cannot_carry_is_not_half_sent():
    async def bad(request):
        return Answer(200, b"x", headers=(("X", "a\r\nSet-Cookie: b"),))

    async with served(handler=bad) as one, connected(one.port, GET) as (reader, _):
        assert await reader.read() == b""
