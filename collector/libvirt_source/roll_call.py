"""A survey without a list, where there are no bulk statistics and the list does not come.

libvirt's driver of containers holds a domain while it starts it, and cannot list any then. The
domains that the last list named are called one by one, and those that do not answer are left out.
"""

from collections.abc import Sequence
from concurrent.futures import Future, wait

import libvirt

from collector.libvirt_source.connection import Connection, Session
from collector.libvirt_source.survey import Survey, Surveyed, state_of
from collector.libvirt_source.sweep import Run, Sweeps
from servicekit.clock import Clock


class RollCall:
    """Calls over connections that nobody else needs then. For one caller at a time."""

    def __init__(self, connections: Sequence[Connection], sweeps: Sweeps, clock: Clock) -> None:
        self._connections = connections
        self._sweeps = sweeps
        self._clock = clock
        self._greeting: Future[int] | None = None

    def call(
        self, last: Survey, *, deadline: float, patience_seconds: float
    ) -> tuple[Survey, Connection] | None:
        """The survey and the connection of its domains; None when the daemon does not answer.

        Raises:
            libvirt.libvirtError: the daemon cannot be reached.

        """
        known = {one.uuid: one for one in (*last.domains, *last.silent)}
        while (connection := self._idle()) is not None:
            if not self._is_greeted(connection, deadline, patience_seconds):
                return None
            stuck = self._sweeps.stuck
            called = [uuid for uuid in known if uuid not in stuck and self._sweeps.has_room()]
            run: Run[Surveyed | None] = self._sweeps.run(
                connection,
                called,
                _answer,
                deadline=deadline,
                patience_seconds=patience_seconds,
            )
            if run.fault is not None:
                raise run.fault
            if run.is_through:
                silent = [known[uuid] for uuid in known.keys() - run.found.keys()]
                return _survey(run, silent), connection
            if self._clock.monotonic() >= deadline:
                return None
        return None

    def _idle(self) -> Connection | None:
        return next((one for one in self._connections if one.in_flight is None), None)

    def _is_greeted(self, connection: Connection, deadline: float, patience_seconds: float) -> bool:
        """False for a daemon that says nothing at all; it holds one question of ours, not more."""
        if self._greeting is not None and not self._greeting.done():
            return False
        now = self._clock.monotonic()
        self._greeting = connection.ask(lambda session: int(session.handle.getLibVersion()))
        wait([self._greeting], max(0.0, min(patience_seconds, deadline - now)))
        return self._greeting.done() and bool(self._greeting.result())


def _answer(session: Session, uuid: str) -> Surveyed | None:
    try:
        domain = session.handle.lookupByUUIDString(uuid)
        state = state_of(domain)
        return None if state is None else Surveyed(uuid, domain.name(), domain.ID(), state, domain)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise
        return None


def _survey(run: Run[Surveyed | None], silent: Sequence[Surveyed]) -> Survey:
    found = tuple(one for one in run.found.values() if one is not None)
    unknown = tuple(Surveyed(one.uuid, one.name, one.number, {}, None) for one in silent)
    return Survey(found, has_bulk=False, controls={}, silent=unknown, is_from_memory=True)
