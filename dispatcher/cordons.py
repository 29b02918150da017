"""Workers that take no new jobs, and drains: cordons with a deadline. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from dispatcher import effects
from dispatcher.effects import DrainOutcome, Effect
from dispatcher.sessions import Cordon, Session


@dataclass(frozen=True, slots=True)
class CordonAnswer:
    """What a cordon found. Not granted: nothing has changed."""

    is_granted: bool
    leases: int


class Cordons:
    """By worker, connected or not."""

    def __init__(self, reasons: dict[str, str]) -> None:
        self._cordons = {worker: Cordon(reason) for worker, reason in reasons.items()}

    def __contains__(self, worker_id: object) -> bool:
        return worker_id in self._cordons

    def __iter__(self) -> Iterator[str]:
        return iter(self._cordons)

    def get(self, worker_id: str) -> Cordon | None:
        """The worker's cordon."""
        return self._cordons.get(worker_id)

    def is_parked(self, session: Session) -> bool:
        """Cordoned with empty hands: nobody waits for it, so its guest may stand still."""
        cordon = self._cordons.get(session.worker_id)
        return cordon is not None and not cordon.is_draining and not session.leases

    def add(
        self, worker_id: str, session: Session | None, reason: str, max_leases: int | None
    ) -> CordonAnswer:
        """Stops new leases at once, unless the worker holds more than `max_leases`."""
        leases = 0 if session is None else len(session.leases)
        if max_leases is not None and leases > max_leases:
            return CordonAnswer(False, leases)
        if worker_id not in self._cordons:
            self._cordons[worker_id] = Cordon(reason)
        return CordonAnswer(True, leases)

    def drain(
        self, worker_id: str, session: Session | None, reason: str, deadline: float
    ) -> list[Effect]:
        """Begins a drain, or moves the deadline of one."""
        cordon = self._cordons.setdefault(worker_id, Cordon(reason))
        if session is None:
            return [effects.DrainEnded(worker_id, DrainOutcome.LOST, 0)]
        cordon.drain_deadline = deadline
        return [effects.AskDrain(session.key, deadline), *self.drained(session)]

    def lift(self, worker_id: str, session: Session | None) -> list[Effect]:
        """Lifts a cordon and cancels its drain."""
        cordon = self._cordons.pop(worker_id, None)
        if cordon is None:
            return []
        found: list[Effect] = []
        if session is not None:
            # Also after a drain's end: the worker may still wait for its credit to count again.
            found.append(effects.LiftDrain(session.key))
        if cordon.is_draining:
            found.append(effects.DrainEnded(worker_id, DrainOutcome.CANCELLED, cordon.taken_back))
        return found

    def took_back(self, session: Session, leases: int) -> None:
        """Leases of a draining worker went back: their jobs will run again elsewhere."""
        cordon = self._cordons.get(session.worker_id)
        if cordon is not None and cordon.is_draining:
            cordon.taken_back += leases

    def drained(self, session: Session) -> list[Effect]:
        """The end of the worker's drain, when there is one and it holds nothing."""
        cordon = self._cordons.get(session.worker_id)
        if cordon is None or not cordon.is_draining or session.leases:
            return []
        outcome = DrainOutcome.DEADLINE if cordon.taken_back else DrainOutcome.DRAINED
        return [_end(session.worker_id, cordon, outcome)]

    def closed(self, session: Session, *, is_clean: bool) -> list[Effect]:
        """The worker is gone; clean when it said goodbye with empty hands."""
        cordon = self._cordons.get(session.worker_id)
        if cordon is None or not cordon.is_draining:
            return []
        outcome = DrainOutcome.DRAINED if is_clean else DrainOutcome.LOST
        return [_end(session.worker_id, cordon, outcome)]


def _end(worker_id: str, cordon: Cordon, outcome: DrainOutcome) -> Effect:
    ended = effects.DrainEnded(worker_id, outcome, cordon.taken_back)
    cordon.drain_deadline = None
    cordon.taken_back = 0
    return ended
