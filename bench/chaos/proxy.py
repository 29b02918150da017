"""A TCP proxy that breaks connections on demand: cut, one way dead, black hole, delay."""

import asyncio
import contextlib
import socket
import struct

_CHUNK = 65536
UP, DOWN = "up", "down"


class Gate:
    """Listens on a port of its own and forwards to one address, as well as it is allowed to.

    A direction that is not open holds its bytes back, as a network that loses packets looks to TCP:
    they arrive when it opens again, or never, when the connection is cut first.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._open = {UP: asyncio.Event(), DOWN: asyncio.Event()}
        for event in self._open.values():
            event.set()
        self.delay = 0.0
        self.port = 0

    async def start(self) -> None:
        """Listens on a free port of loopback."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def connections(self) -> int:
        """Connections at this moment."""
        return len(self._links)

    def cut(self, *, reset: bool) -> int:
        """Ends all connections, with RST or FIN; how many there were."""
        links = list(self._links)
        for link in links:
            link.cut(reset=reset)
        return len(links)

    def hold(self, *directions: str) -> None:
        """Holds back what flows in these directions, of new connections too."""
        for direction in directions:
            self._open[direction].clear()

    def release(self, *directions: str) -> None:
        """Lets it flow again."""
        for direction in directions or (UP, DOWN):
            self._open[direction].set()

    async def close(self) -> None:
        """Cuts everything and stops listening."""
        if self._server is not None:
            self._server.close()
        self.cut(reset=True)
        self.release()
        await asyncio.gather(*(link.ended() for link in list(self._links)), return_exceptions=True)

    async def passing(self, direction: str) -> None:
        """Waits until a direction may flow."""
        await self._open[direction].wait()
        if self.delay:
            await asyncio.sleep(self.delay)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(self, (reader, writer), (far_reader, far_writer))
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)


class _Link:
    """One forwarded connection."""

    def __init__(
        self,
        gate: Gate,
        near: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        far: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._gate = gate
        self._near, self._far = near, far
        self._tasks: list[asyncio.Task[None]] = []
        self._over = asyncio.Event()

    async def run(self) -> None:
        self._tasks = [
            asyncio.ensure_future(self._copy(self._near[0], self._far[1], UP)),
            asyncio.ensure_future(self._copy(self._far[0], self._near[1], DOWN)),
        ]
        await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for _, writer in (self._near, self._far):
            writer.close()
        self._over.set()

    def cut(self, *, reset: bool) -> None:
        for _, writer in (self._near, self._far):
            if reset:
                sock = writer.get_extra_info("socket")
                with contextlib.suppress(OSError, AttributeError):
                    # Linger of 0 s: the kernel answers with RST, like a host that has rebooted.
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()

    async def ended(self) -> None:
        await self._over.wait()

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._gate.passing(direction)
                writer.write(data)
                await writer.drain()
            await self._gate.passing(direction)
