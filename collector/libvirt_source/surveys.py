"""Makes the first call of a reading over two connections that never ask a QEMU.

They can get stuck on the daemon only. So a frozen daemon holds two calls of ours, not more: as long
as there is no survey nothing else is asked.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait

import libvirt

from collector.libvirt_source import faults
from collector.libvirt_source.connection import Connection, Session
from collector.libvirt_source.roll_call import RollCall
from collector.libvirt_source.survey import Survey, survey
from collector.ports import SourceError
from collector.records import Group
from servicekit.clock import Clock


class Surveys:
    """The connections for surveys, and for whatever else needs no QEMU."""

    def __init__(
        self,
        connections: Sequence[Connection],
        url: str,
        clock: Clock,
        is_chosen: Callable[[str], bool],
        roll_call: RollCall,
    ) -> None:
        self._connections = connections
        self._roll_call = roll_call
        self._last_without_bulk: Survey | None = None
        self._url = url
        self._clock = clock
        self._is_chosen = is_chosen

    def look(
        self,
        groups: frozenset[Group],
        hung: frozenset[str],
        *,
        deadline: float,
        patience_seconds: float,
    ) -> tuple[Survey, Connection]:
        """The survey, and the connection to which its domains belong.

        Raises:
            SourceError: libvirt cannot be reached, or gave no answer before the deadline.

        """
        began = ask_next = self._clock.monotonic()
        unasked, asked = list(self._connections), dict[Future[Survey], Connection]()
        last = self._last_without_bulk
        while (now := self._clock.monotonic()) < deadline:
            idle = next((one for one in unasked if one.in_flight is None), None)
            if idle is not None and now >= ask_next:
                unasked.remove(idle)
                asked[idle.ask(lambda session: self._survey(session, groups, hung))] = idle
                ask_next = now + patience_seconds
            elif now >= ask_next and last is not None:
                called, last = self._call(last, deadline, patience_seconds), None
                if called is not None:
                    return called
            # Calls that earlier readings left behind matter too: their end makes a lane idle.
            awaited = {*asked, *(one.in_flight for one in unasked if one.in_flight is not None)}
            has_more = bool(unasked) or last is not None
            until = min(ask_next, deadline) if has_more and ask_next > now else deadline
            done, _ = wait(awaited, until - now, FIRST_COMPLETED)
            for future in done & asked.keys():
                return self._result(future), asked[future]
        raise SourceError(faults.silence(self._url, deadline - began))

    def _survey(self, session: Session, groups: frozenset[Group], hung: frozenset[str]) -> Survey:
        return survey(session, groups, hung=hung, is_chosen=self._is_chosen)

    def _call(
        self, last: Survey, deadline: float, patience_seconds: float
    ) -> tuple[Survey, Connection] | None:
        try:
            called = self._roll_call.call(
                last, deadline=deadline, patience_seconds=patience_seconds
            )
        except libvirt.libvirtError as error:
            raise SourceError(faults.failure(self._url, message_of(error))) from None
        if called is not None:
            self._last_without_bulk = called[0]
        return called

    def _result(self, future: Future[Survey]) -> Survey:
        try:
            found = future.result()
        except libvirt.libvirtError as error:
            raise SourceError(faults.failure(self._url, message_of(error))) from None
        self._last_without_bulk = None if found.has_bulk else found
        return found


def message_of(error: BaseException) -> str:
    """Libvirt's sentence; some errors carry none but their own text."""
    text = error.get_error_message() if isinstance(error, libvirt.libvirtError) else None
    return str(text or error)
