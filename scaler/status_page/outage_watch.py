"""Watches every turn for what does not answer: nobody may look at the page when it begins."""

import threading

from scaler.decision import ActionResult, Decision, State
from scaler.status_page.outages import Outages, after


class OutageWatch:
    """An `Observer` that remembers since when. Read from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._outages = Outages()

    @property
    def outages(self) -> Outages:
        """As of the newest turn."""
        with self._lock:
            return self._outages

    def decided(self, decision: Decision, state: State, wall: float) -> None:
        """See `Observer.decided`."""
        found = after(
            self._outages,
            decision.readings,
            has_fleet=state.fleet.known_since is not None,
            has_domains=decision.desired is not None,
            errors=decision.errors,
            wall=wall,
        )
        with self._lock:
            self._outages = found

    def resulted(self, result: ActionResult) -> None:
        """See `Observer.resulted`."""
