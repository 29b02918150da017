"""Statistics of drivers without bulk statistics: domain after domain, over one connection."""

from concurrent.futures import wait

import libvirt

from collector.libvirt_source import per_domain
from collector.libvirt_source.bulk import Answer
from collector.libvirt_source.bulk_reader import Outcome, Terms
from collector.libvirt_source.connection import Connection, Session
from collector.libvirt_source.survey import Survey
from servicekit import logs
from servicekit.clock import Clock


class OneByOne:
    """Asks the connection that made the survey: some drivers know their domains there only."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = url
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
        found: dict[str, Answer] = {}

        def ask(_session: Session) -> bool:
            for one in seen.domains:
                if self._clock.monotonic() >= terms.deadline:
                    return False
                ask = per_domain.statistics if one.is_active else per_domain.limits
                told = ask(one.handle, terms.groups)
                found[one.uuid] = Answer(one.name, one.number, {**one.statistics, **told})
            return True

        future = connection.ask(ask)
        wait([future], max(0.0, terms.deadline - self._clock.monotonic()))
        try:
            is_ok = future.done() and future.result()
        except libvirt.libvirtError:
            is_ok = False
        # The thread may go on to fill it.
        return Outcome(answers=dict(found), is_ok=is_ok)
