"""All clients: listens, keeps their number bounded, ends in order."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace

from collector.web import listeners
from collector.web.config_watch import ConfigWatch
from collector.web.connection import Connection, Limits, Phase
from collector.web.guard import Guard
from collector.web.messages import Answer, Handler, Request, text_answer
from servicekit import logs

_CLOSE_SECONDS = 2.0
_PATIENCE_SECONDS = 1.0
"""A client that takes an answer this slowly may be closed to make room."""
_PAUSE_SECONDS = 0.05
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class WebServer:
    """Answers requests with `handler`, on the loop that calls `start`.

    Each client has a task of its own and deadlines for what it does, so one that is silent or slow
    costs a descriptor for a while. Their number is bounded: when all places are taken, the client
    that has been silent longest makes room.
    """

    def __init__(
        self,
        handler: Handler,
        sockets: Sequence[socket.socket],
        *,
        guard: Guard,
        config: ConfigWatch,
        limits: Limits | None = None,
    ) -> None:
        self._handler = handler
        self._sockets = sockets
        self._guard = guard
        self._config = config
        self._limits = limits or Limits()
        self._log = logs.get()
        self._accepting: list[asyncio.Task[None]] = []
        self._open: dict[Connection, asyncio.Task[None]] = {}
        self.evictions = 0
        """How many clients had to make room."""

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._open)

    @property
    def clients(self) -> list[Connection]:
        """Those that are connected now."""
        return list(self._open)

    @property
    def is_listening(self) -> bool:
        """False once it has been closed."""
        return any(one.fileno() >= 0 for one in self._sockets)

    @property
    def addresses(self) -> list[str]:
        """Where it listens, for a person."""
        return [_shown(one) for one in self._sockets]

    def start(self) -> None:
        """Begins to answer."""
        self._accepting = [asyncio.create_task(self._accept(one)) for one in self._sockets]
        self._accepting.append(asyncio.create_task(self._config.follow()))

    async def close(self) -> None:
        """Stops listening; answers that are under way have two seconds to end."""
        for task in self._accepting:
            task.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        listeners.close(self._sockets)
        for connection, task in self._open.items():
            connection.is_last = True
            if connection.phase is Phase.CLIENT:
                task.cancel()
        if self._open:
            await asyncio.wait(self._open.values(), timeout=_CLOSE_SECONDS)
        remaining = list(self._open.values())
        for task in remaining:
            task.cancel()
        await asyncio.gather(*remaining, return_exceptions=True)

    async def answer(self, request: Request, certificate: Mapping[str, object] | None) -> Answer:
        """See `Desk.answer`."""
        try:
            refusal = await self._guard.refusal(request, certificate)
            answer = refusal or await self._handler(request)
        except Exception:
            self._log.exception("request.failed", path=request.path)
            answer = text_answer(500, "internal error; the log says more")
        return replace(answer, headers=answer.headers + self._guard.headers)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(listener)
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._log.warning("connection.refused", reason=error.strerror)
                    self._make_room()
                # Anything else was that client's; but never in a circle at full speed.
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            if len(self._open) >= self._limits.connections and not self._make_room():
                accepted.close()
                continue
            self._begin(accepted)

    def _begin(self, accepted: socket.socket) -> None:
        with contextlib.suppress(OSError):  # a Unix socket has no such option
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(accepted, self, self._limits)
        task = asyncio.create_task(connection.run(self._config.current.context))
        self._open[connection] = task
        task.add_done_callback(lambda done: self._ended(connection, done))

    def _ended(self, connection: Connection, task: asyncio.Task[None]) -> None:
        self._open.pop(connection, None)
        connection.drop()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("connection.failed", exc_info=error)

    def _make_room(self) -> bool:
        """Closes the client that has been waited for longest; False when none can be."""
        now = asyncio.get_running_loop().time()
        waiting = [
            one
            for one in self._open
            if one.phase is Phase.CLIENT
            or (one.phase is Phase.SENDING and now - one.since > _PATIENCE_SECONDS)
        ]
        if not waiting:
            return False
        # Those that have asked nothing first: who takes an answer slowly does take it.
        longest = min(waiting, key=lambda one: (one.phase is Phase.SENDING, one.since))
        self._open.pop(longest).cancel()
        self.evictions += 1
        return True


def _shown(listener: socket.socket) -> str:
    where = listener.getsockname()
    if isinstance(where, tuple):
        host, port = where[:2]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    return f"unix:{where if isinstance(where, str) else where.decode(errors='replace')}"
