"""Who holds which job: granting, settling, moving and taking back leases. Pure.

An attempt is counted when the worker was lost or refused, never when the worker left, was drained,
was fenced, did not receive the job or released it: see `attempts`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dispatcher import attempts, effects
from dispatcher.backlog import Backlog
from dispatcher.effects import Effect, RequeueReason
from dispatcher.jobs import Failed, Failure, FailureReason, JobKey, Lease
from dispatcher.past_leases import PastLeases
from dispatcher.ready import Facts
from dispatcher.sessions import HeldLease, Session


@dataclass(frozen=True, slots=True)
class Terms:
    """The ledger's constants, in seconds where they are times."""

    lease_ttl: float = 10.0
    reconnect_grace: float = 0.05
    max_attempts: int = 5
    alive_within: float = 3.0
    """A worker heard so recently lives: a newer process of its name fences it, and loses nobody."""


class Leases:
    """All leases, each filed under its job and in its session."""

    def __init__(self, terms: Terms, backlog: Backlog) -> None:
        self._terms = terms
        self._backlog = backlog
        self._held: dict[JobKey, HeldLease] = {}
        self.past = PastLeases()

    def __contains__(self, key: object) -> bool:
        return key in self._held

    def get(self, key: JobKey) -> HeldLease | None:
        """The job's lease; None when nobody holds it."""
        return self._held.get(key)

    def hold(self, session: Session, lease: Lease, facts: Facts, now: float) -> HeldLease:
        """Gives a taken job to a session."""
        held = HeldLease(lease, facts, now, now + self._terms.lease_ttl, session)
        self._held[lease.key] = held
        session.leases[lease.key] = held
        return held

    def settle(self, held: HeldLease) -> None:
        """Marks that the job's final state is on its way to the disk."""
        held.is_settling = True
        held.session.settling += 1
        if held.session.alone == held.lease.key:
            held.session.alone = None

    def drop(self, held: HeldLease) -> None:
        """Ends a lease."""
        key = held.lease.key
        if self._held.get(key) is held:
            del self._held[key]
        if held.session.leases.get(key) is held:
            del held.session.leases[key]
            held.session.settling -= held.is_settling
            if held.session.alone == key:
                held.session.alone = None

    def give_back(
        self,
        session: Session,
        leases: Sequence[HeldLease],
        reason: RequeueReason,
        message: str = "",
    ) -> list[Effect]:
        """Makes leased jobs ready again, or gives them up when their attempts are spent."""
        blame = attempts.blame(session, leases, reason)
        records = self._backlog.attempts
        found: list[Effect] = []
        back: list[tuple[JobKey, Facts]] = []
        gone: list[JobKey] = []
        for held in leases:
            key = held.lease.key
            self.drop(held)
            if blame is not None and key in blame.suspects:
                spent = records.count(key, is_certain=blame.is_certain)
                found.append(
                    effects.CountAttempt(
                        *(key, spent, blame.cause, session.worker_id),
                        is_certain=blame.is_certain,
                        message=message,
                    )
                )
                if blame.is_certain and spent >= self._terms.max_attempts:
                    self._backlog.withdraw_leased(key)
                    failure = _exhausted(spent, reason, session.worker_id)
                    found.append(effects.Settle((Failed(key, failure),)))
                    continue
            self.past.note(held.lease, session.worker_id)
            gone.append(key)
            if records.needs_isolation(key, self._terms.max_attempts):
                self._backlog.isolate(key, held.facts)
            else:
                back.append((key, held.facts))
        if back:
            self._backlog.give_back(back)
        if gone:
            found.append(effects.Requeued(session.worker_id, tuple(gone), reason))
        return found

    def release(self, session: Session, leases: Iterable[Lease]) -> list[Effect]:
        """Makes those that the session holds, and whose result has not arrived, ready again."""
        held = {
            lease.key: mine
            for lease in leases
            if (mine := session.leases.get(lease.key)) is not None
            and mine.lease == lease
            and not mine.is_settling
        }
        return self.give_back(session, [*held.values()], RequeueReason.RELEASED)

    def move(self, older: Session, newer: Session, now: float) -> None:
        """Hands what a reconnected process still has, and what settles, to its new session."""
        named = set(newer.hello.held)
        for key, held in list(older.leases.items()):
            if held.lease not in named and not held.is_settling:
                continue
            del older.leases[key]
            older.settling -= held.is_settling
            held.session = newer
            if older.alone == key:
                older.alone, newer.alone = None, key
            held.expires_at = now + self._terms.lease_ttl
            newer.leases[key] = held
            newer.settling += held.is_settling
        newer.completed = older.completed

    def reclaim(self, session: Session, lease: Lease, now: float) -> bool:
        """Whether a lease that the worker says it holds still holds, or can be taken again."""
        held = session.leases.get(lease.key)
        if held is not None:
            return held.lease == lease and not held.is_settling
        facts = self._backlog.claim(lease.key)
        if facts is None:
            return False
        self.hold(session, lease, facts, now)
        return True


def _exhausted(attempts: int, reason: RequeueReason, worker_id: str) -> Failure:
    return Failure(
        FailureReason.ATTEMPTS_EXHAUSTED,
        f"given up after {attempts} attempts; the last one ended with {reason.value} at "
        f"{worker_id}",
    )
