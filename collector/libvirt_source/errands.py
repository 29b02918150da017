"""Side questions of a reading, asked over one connection while the bulk queries run."""

from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Generic, TypeVar

import libvirt

from collector.libvirt_source.connection import Connection, Session
from collector.records import Part
from servicekit.clock import Clock

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Errand(Generic[Value]):
    """A question under way: its answer, and how many seconds it took."""

    future: "Future[tuple[Value, float]]"
    began: float


class Errands:
    """Asks one question after the other."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._futures: list[Future[object]] = []

    def ask(self, question: Callable[[Session], Value]) -> Errand[Value]:
        """Asks when the questions before have been answered."""

        def timed(session: Session) -> tuple[Value, float]:
            began = self._clock.monotonic()
            return question(session), self._clock.monotonic() - began

        future = self._connection.ask(timed)
        self._futures.append(future)  # type: ignore[arg-type]
        return Errand(future, self._clock.monotonic())

    def answered(self, value: Value) -> Errand[Value]:
        """A question whose answer is known already."""
        future: Future[tuple[Value, float]] = Future()
        future.set_result((value, 0.0))
        return Errand(future, self._clock.monotonic())

    def fetch(self, errand: Errand[Value], deadline: float) -> tuple[Value | None, Part]:
        """The answer, or None when there was an error or none in time."""
        if not errand.future.done():
            wait([errand.future], max(0.0, deadline - self._clock.monotonic()))
        if errand.future.done():
            try:
                value, seconds = errand.future.result()
            except libvirt.libvirtError:
                pass
            else:
                return value, Part(seconds, True)
        return None, Part(self._clock.monotonic() - errand.began, False)

    def end(self) -> None:
        """Takes back what nobody waits for any more."""
        for future in self._futures:
            future.cancel()
