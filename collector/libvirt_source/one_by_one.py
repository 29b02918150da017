"""Statistics of drivers without bulk statistics: domain after domain."""

from collections.abc import Mapping, Sequence

import libvirt

from collector.libvirt_source.bulk import Answer
from collector.libvirt_source.bulk_reader import Outcome, Terms
from collector.libvirt_source.connection import Connection, Session
from collector.libvirt_source.per_domain import PerDomain
from collector.libvirt_source.survey import Survey, Surveyed
from collector.libvirt_source.sweep import Run, Sweeps
from collector.records import Group
from servicekit import logs
from servicekit.clock import Clock


class OneByOne:
    """Asks the connection that made the survey first: some drivers know their domains there only.

    A domain that does not answer occupies it; the others go on over another.
    """

    def __init__(
        self, url: str, others: Sequence[Connection], sweeps: Sweeps, clock: Clock
    ) -> None:
        self._url = url
        self._others = others
        self._sweeps = sweeps
        self._clock = clock
        self._has_said = False
        self._log = logs.get()

    def read(self, seen: Survey, connection: Connection, terms: Terms) -> Outcome:
        """What the calls for single domains tell before the deadline."""
        if not self._has_said and any(one.is_active for one in seen.domains):
            self._has_said = True
            self._log.warning(
                "bulk_statistics.missing",
                url=self._url,
                effect="each domain is read by calls of its own; what the driver lacks is left out",
            )
        known = {one.uuid: one for one in seen.domains}
        found: dict[str, Answer | None] = {}
        # It answers the side questions first.
        half = (terms.deadline - self._clock.monotonic()) / 2
        run = self._ask(connection, _Question(known, terms.groups, is_own=True), found, terms, half)
        while not run.is_through and run.fault is None and self._has_time(terms):
            idle = next((one for one in self._others if one.in_flight is None), None)
            if idle is None or not self._sweeps.has_room():
                break
            run = self._ask(idle, _Question(known, terms.groups, is_own=False), found, terms)
            if run.asked is None:
                break
        answers = {uuid: answer for uuid, answer in found.items() if answer is not None}
        hung = self._sweeps.stuck - answers.keys()
        is_whole = known.keys() <= answers.keys() | hung
        return Outcome(answers=answers, hung=hung, is_ok=is_whole and not seen.is_from_memory)

    def _ask(
        self,
        connection: Connection,
        question: "_Question",
        found: dict[str, Answer | None],
        terms: Terms,
        begins_within_seconds: float = 0.0,
    ) -> Run[Answer | None]:
        silent = self._sweeps.stuck
        run = self._sweeps.run(
            connection,
            [uuid for uuid in question.known if uuid not in found and uuid not in silent],
            question,
            deadline=terms.deadline,
            patience_seconds=terms.patience_seconds,
            begins_within_seconds=begins_within_seconds,
        )
        # The thread may go on to fill it.
        found.update(dict(run.found))
        return run

    def _has_time(self, terms: Terms) -> bool:
        return self._clock.monotonic() < terms.deadline


class _Question:
    """What is asked of each domain."""

    def __init__(
        self, known: Mapping[str, Surveyed], groups: frozenset[Group], *, is_own: bool
    ) -> None:
        """`is_own`: over the connection of the survey, whose handles belong to it."""
        self.known = known
        self._groups = groups
        self._is_own = is_own

    def __call__(self, session: Session, uuid: str) -> Answer | None:
        """Runs on the thread of the session's connection; None for a domain it does not know."""
        one = self.known[uuid]
        try:
            handle = one.handle if self._is_own else session.handle.lookupByUUIDString(uuid)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise
            return None
        if session.per_domain is None:
            session.per_domain = PerDomain(session.handle.getType())
        asked = session.per_domain
        ask = asked.statistics if one.is_active else asked.limits
        return Answer(one.name, one.number, {**one.statistics, **ask(handle, self._groups)})
