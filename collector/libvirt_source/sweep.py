"""Asks domain after domain, where there are no bulk statistics, although one may never answer.

A driver may hold a domain for as long as it starts or ends it, and a question waits for that. So
the connection whose question is late is left alone, and the others go on over another.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as StillRunning
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import libvirt

from collector.libvirt_source.connection import Connection, Session
from collector.libvirt_source.patience import patience, usual
from collector.libvirt_source.plan import MOST_STUCK
from servicekit.clock import Clock

Value = TypeVar("Value")
Ask = Callable[[Session, str], Value]
"""Asks about the domain of that UUID, on the thread of the session's connection."""


@dataclass(slots=True)
class Run(Generic[Value]):
    """What one connection was told, filled by its thread."""

    future: "Future[None] | None" = None
    found: dict[str, Value] = field(default_factory=dict)
    fault: libvirt.libvirtError | None = None
    is_through: bool = False
    asked: str | None = None
    """The domain that was asked last; None while the connection itself is being opened."""
    asked_at: float = 0.0
    slowest_seconds: float = 0.0
    """How long the slowest domain that has answered took."""
    is_over: bool = False
    """Nobody waits for it any more."""


class Sweeps:
    """Remembers which domains do not answer. For one caller at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stuck: dict[str, Future[None]] = {}
        self._usual_seconds = 0.0
        """How long the slowest domain takes to answer."""

    @property
    def stuck(self) -> frozenset[str]:
        """UUIDs of the domains whose question is still open."""
        self._stuck = {uuid: one for uuid, one in self._stuck.items() if not one.done()}
        return frozenset(self._stuck)

    def has_room(self) -> bool:
        """False when so many questions are open that no further one is risked."""
        return len({*self._stuck.values()}) < MOST_STUCK

    def run(
        self,
        connection: Connection,
        uuids: Sequence[str],
        ask: Ask[Value],
        *,
        deadline: float,
        patience_seconds: float,
        begins_within_seconds: float = 0.0,
    ) -> Run[Value]:
        """Asks until all have answered, one is late or the time is up.

        `begins_within_seconds` is for a connection that may have been asked something else before.
        """
        run: Run[Value] = Run(asked_at=self._clock.monotonic())

        def each(session: Session) -> None:
            for uuid in uuids:
                if run.is_over or self._clock.monotonic() >= deadline:
                    return
                run.asked, run.asked_at = uuid, self._clock.monotonic()
                run.found[uuid] = ask(session, uuid)
                run.slowest_seconds = max(
                    run.slowest_seconds, self._clock.monotonic() - run.asked_at
                )
            run.is_through = True

        run.future = connection.ask(each)
        left = max(0.0, deadline - self._clock.monotonic())
        seconds = patience(patience_seconds, left, self._usual_seconds)
        self._await(run, deadline, seconds, max(seconds, begins_within_seconds))
        self._usual_seconds = usual(self._usual_seconds, run.slowest_seconds)
        return run

    def _await(
        self,
        run: Run[Value],
        deadline: float,
        patience_seconds: float,
        begins_within_seconds: float,
    ) -> None:
        assert run.future is not None
        while True:
            since = run.asked_at
            has_begun = run.asked is not None
            until = min(
                deadline, since + (patience_seconds if has_begun else begins_within_seconds)
            )
            try:
                run.future.result(max(0.0, until - self._clock.monotonic()))
            except StillRunning:
                now = self._clock.monotonic()
                if run.asked_at > since and now < deadline:
                    continue  # Slow, but it gets on.
                run.is_over = True
                if run.asked is not None and now >= run.asked_at + patience_seconds:
                    self._stuck[run.asked] = run.future
            except libvirt.libvirtError as error:
                run.fault = error
            return
