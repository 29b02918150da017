"""Start, signals and ordered stop of a service."""

import asyncio
import contextlib
import math
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from typing import Any, NoReturn

from servicekit.config import ConfigError

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# `timeout` signals its child and then the child's whole group, and Ctrl-C may arrive through a
# wrapper as well: signals so close together are one wish to stop, not the wish to stop at once.
_ONE_WISH_SECONDS = 0.05


class StartError(Exception):
    """The service cannot start. The text names the thing and the fix, for a person."""


class Stop:
    """Set once, when the service should end. A second signal makes it urgent."""

    def __init__(self) -> None:
        self._requested = asyncio.Event()
        self._urgent = asyncio.Event()
        self.reason = ""

    def request(self, reason: str) -> None:
        """Asks for an orderly end; asking again makes it urgent."""
        if self._requested.is_set():
            self._urgent.set()
            return
        self.reason = reason
        self._requested.set()

    @property
    def is_requested(self) -> bool:
        """True after the first request."""
        return self._requested.is_set()

    @property
    def is_urgent(self) -> bool:
        """True after the second request: skip what only saves time later."""
        return self._urgent.is_set()

    async def wait(self) -> str:
        """Returns the reason when the end is requested."""
        await self._requested.wait()
        return self.reason

    async def wait_urgent(self) -> None:
        """Returns when the end became urgent."""
        await self._urgent.wait()

    async def sleep(self, seconds: float) -> bool:
        """Waits at most `seconds`; returns at once with True when the end is requested."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._requested.wait(), max(0.0, seconds))
        return self.is_requested


def run(
    main: Callable[[Stop], Coroutine[Any, Any, int | None]],
    *,
    on_hangup: Callable[[], Awaitable[None]] | None = None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> int:
    """Runs `main` until it returns; SIGTERM, SIGINT and SIGHUP request its stop.

    With `on_hangup`, SIGHUP runs that (a reload) instead; when it raises one of the errors below
    the service goes on as it was. Returns the exit code: what `main` returned (None is 0), 1 for
    `StartError`, 2 for `ConfigError`; both are printed in full, also out of a task group.
    """
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(_run(main, on_hangup)) or EXIT_OK
    except (ConfigError, StartError) as error:
        return _report([error])
    except BaseExceptionGroup as group:
        expected, unexpected = group.split((ConfigError, StartError))
        if expected is None or unexpected is not None:
            raise
        return _report(_leaves(expected))


def leave(code: int) -> NoReturn:
    """Ends the process at once, without the interpreter's own end; for when all is closed.

    A library whose threads or calls outlast the interpreter would call back into it, which is a
    segmentation fault. Exit handlers do not run; what was printed is flushed.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _report(errors: Iterable[BaseException]) -> int:
    code = EXIT_FAILED
    for error in errors:
        for sentence in error.faults if isinstance(error, ConfigError) else [str(error)]:
            sys.stderr.write(f"error: {sentence}\n")
        if isinstance(error, ConfigError):
            code = EXIT_USAGE
    return code


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


async def _run(
    main: Callable[[Stop], Coroutine[Any, Any, int | None]],
    on_hangup: Callable[[], Awaitable[None]] | None,
) -> int | None:
    loop = asyncio.get_running_loop()
    stop = Stop()
    reloads: set[asyncio.Task[None]] = set()

    async def attempt(reload: Callable[[], Awaitable[None]]) -> None:
        try:
            await reload()
        except (ConfigError, StartError) as error:
            _report([error])

    def reload() -> None:
        assert on_hangup is not None
        task = loop.create_task(attempt(on_hangup))
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    last = -math.inf

    def stop_signalled(name: str) -> None:
        nonlocal last
        if loop.time() - last >= _ONE_WISH_SECONDS:
            stop.request(name)
        last = loop.time()

    for number in _STOP_SIGNALS:
        if number is signal.SIGHUP and on_hangup is not None:
            loop.add_signal_handler(number, reload)
        else:
            loop.add_signal_handler(number, stop_signalled, signal.Signals(number).name)
    return await main(stop)
