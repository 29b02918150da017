"""The ledger: who works on what. Pure: time is an argument, what must be done is returned as effects.

Rules:
  1. A job is ready, leased, settling (its final state is on its way to the disk) or final; the
     ledger forgets final jobs.
  2. Every lease has an epoch that is never used again, over restarts too.
  3. A job settles once. A late result of a job that is still unfinished is taken, whoever sends it:
     the work is done. After that, results are acknowledged and dropped.
  4. A settling job neither expires nor goes back; its worker is acknowledged when it is on disk.
  5. An attempt is counted when the worker was lost or refused, never when the worker left, was
     drained or did not receive the job; and only for jobs that had a slot, not for those queued
     behind them in the worker.
"""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dispatcher import effects, sessions
from dispatcher.backlog import Backlog, Unfinished
from dispatcher.effects import DrainOutcome, Effect, EndReason, RequeueReason
from dispatcher.jobs import (
    Cancelled,
    Counts,
    Done,
    Failed,
    Failure,
    FailureReason,
    Hashed,
    JobKey,
    JobState,
    Lease,
    Outcome,
    Profile,
    Refused,
)
from dispatcher.ready import Facts
from dispatcher.sessions import Cordon, HeldLease, Hello, Session, SessionKey, WorkerView

_MAX_CREDIT = 1_000_000


@dataclass(frozen=True, slots=True)
class Terms:
    """The ledger's constants, in seconds where they are times."""

    lease_ttl: float = 10.0
    reconnect_grace: float = 1.0
    max_attempts: int = 5


@dataclass(frozen=True, slots=True)
class CordonAnswer:
    """What a cordon found. Not granted: nothing has changed."""

    is_granted: bool
    leases: int


class Ledger:
    """The state machine. Every method that returns effects expects all of them to be applied."""

    def __init__(
        self,
        terms: Terms,
        *,
        first_epoch: int = 1,
        counts: Counts | None = None,
        unfinished: Iterable[Unfinished] = (),
        cordons: dict[str, str] | None = None,
        absent: Iterable[str] = (),
        absent_until: float = 0.0,
    ) -> None:
        """Takes over a store's state.

        `absent` are the workers connected before the restart: until they are all back, or
        `absent_until`, jobs from before the restart are not leased to others.
        """
        self._terms = terms
        self._epoch = first_epoch
        self._backlog = Backlog(counts=counts, recovered=unfinished)
        self._sessions: dict[SessionKey, Session] = {}
        self._workers: dict[str, Session] = {}
        self._leases: dict[JobKey, HeldLease] = {}
        self._cordons = {worker: Cordon(reason) for worker, reason in (cordons or {}).items()}
        self._absent = set(absent)
        self._wake: float | None = None
        self._backlog.is_recovering = bool(self._absent and self._backlog.counts.ready)
        self._absent_until = absent_until
        if self._backlog.is_recovering:
            self._wake_at(absent_until)

    # -- reading ---------------------------------------------------------------------------------

    @property
    def counts(self) -> Counts:
        """The live counts; copy them to keep them."""
        return self._backlog.counts

    @property
    def unfinished(self) -> int:
        """Jobs that are not final."""
        return self.counts.ready + self.counts.leased

    def oldest_ready(self) -> float | None:
        """When the oldest ready job was accepted; None without any."""
        return self._backlog.oldest_ready()

    def is_unfinished(self, key: JobKey) -> bool:
        """Whether the job has no final state on disk yet."""
        return key in self._leases or key in self._backlog or self._backlog.is_withdrawing(key)

    def is_leased(self, key: JobKey) -> bool:
        """Whether a worker holds the job."""
        return key in self._leases

    def holds(self, session: SessionKey, lease: Lease) -> bool:
        """Whether that very lease is still held in that session."""
        held = self._leases.get(lease.key)
        return held is not None and held.lease == lease and held.session.key == session

    def workers(self, now: float) -> list[WorkerView]:
        """All workers that are connected or cordoned, by name."""
        names = sorted(self._workers.keys() | self._cordons.keys())
        return [
            sessions.view(name, self._workers.get(name), self._cordons.get(name), now)
            for name in names
        ]

    def next_deadline(self) -> float | None:
        """When `expire` should be called next; may be early, never late."""
        return self._wake

    # -- clients ---------------------------------------------------------------------------------

    def submit(self, first: JobKey, profiles: Sequence[Profile], accepted_at: float) -> None:
        """Takes a batch that is on disk; its keys are `first` and those that follow."""
        self._backlog.submit(first, profiles, accepted_at)

    def cancel(self, keys: Iterable[JobKey]) -> list[Effect]:
        """Withdraws those that are unfinished and not settling."""
        found: list[Effect] = []
        for key in keys:
            held = self._leases.get(key)
            if held is not None and not held.is_settling:
                self._drop(held)
                self._backlog.withdraw_leased(key)
                found.append(effects.Revoke(held.session.key, (held.lease,)))
                found.append(effects.Settle(Cancelled(key)))
                found += self._drained(held.session)
            elif self._backlog.withdraw_ready(key):
                found.append(effects.Settle(Cancelled(key)))
        return found

    # -- sessions --------------------------------------------------------------------------------

    def hello(self, key: SessionKey, hello: Hello, now: float) -> list[Effect]:
        """Opens a session; an older one of the same worker ends."""
        found: list[Effect] = []
        session = Session(key, hello, connected_at=now, heard_at=now)
        older = self._workers.get(hello.worker_id)
        moved: dict[JobKey, HeldLease] = {}
        if older is not None:
            if older.hello.instance_id == hello.instance_id:
                moved = self._move(older, session, now)
            if older.is_connected:
                found.append(effects.EndSession(older.key, EndReason.FENCED))
            same = older.hello.instance_id == hello.instance_id
            reason = RequeueReason.NOT_RECEIVED if same else RequeueReason.WORKER_LOST
            found += self._close(older, reason, ends_drain=False)
        self._sessions[key] = session
        self._workers[hello.worker_id] = session
        self._wake_at(now + self._terms.lease_ttl)
        kept = tuple(lease for lease in hello.held if self._reclaim(session, lease, moved, now))
        cordon = self._cordons.get(hello.worker_id)
        found.append(effects.Welcome(key, kept, cordon is not None))
        if cordon is not None and cordon.drain_deadline is not None:
            found.append(effects.AskDrain(key, cordon.drain_deadline))
            found += self._drained(session)
        self._absent.discard(hello.worker_id)
        if not self._absent:
            self._backlog.is_recovering = False
        return found

    def credit(self, key: SessionKey, jobs: int, now: float) -> None:
        """Gives room for more jobs."""
        session = self._heard(key, now)
        if session is not None:
            session.credit = min(session.credit + jobs, _MAX_CREDIT)

    def renew(
        self, key: SessionKey, held: Iterable[Lease], busy_slots: int, now: float
    ) -> list[Effect]:
        """Renews the leases that a heartbeat names; those that no longer hold are revoked."""
        session = self._heard(key, now)
        if session is None:
            return []
        session.busy_slots = min(busy_slots, session.hello.slots)
        gone: list[Lease] = []
        for lease in held:
            mine = session.leases.get(lease.key)
            if mine is not None and mine.lease == lease:
                mine.expires_at = now + self._terms.lease_ttl
            else:
                gone.append(lease)
        return [effects.Revoke(key, tuple(gone))] if gone else []

    def leaving(self, key: SessionKey, now: float) -> None:
        """The worker wants no more jobs."""
        session = self._heard(key, now)
        if session is not None:
            session.is_leaving = True

    def goodbye(self, key: SessionKey) -> list[Effect]:
        """The worker leaves: what it holds goes back and costs no attempt."""
        session = self._sessions.get(key)
        if session is None:
            return []
        found: list[Effect] = [effects.ConfirmGoodbye(key)]
        return found + self._close(session, RequeueReason.WORKER_LEFT)

    def parted(self, key: SessionKey, now: float) -> list[Effect]:
        """The stream ended without a goodbye."""
        session = self._sessions.get(key)
        if session is None:
            return []
        if self._terms.reconnect_grace <= 0 or not session.leases:
            return self._close(session, RequeueReason.WORKER_LOST)
        session.parted_at = now
        session.credit = 0
        self._wake_at(now + self._terms.reconnect_grace)
        return []

    # -- leases ----------------------------------------------------------------------------------

    def lease(self, now: float) -> list[Effect]:
        """Leases ready jobs against credit, each to the worker with the most free slots."""
        if not self._backlog.has_leasable:
            return []
        order = [
            (-session.free_slots, -session.credit, session.key)
            for session in self._sessions.values()
            if self._takes_jobs(session)
        ]
        heapq.heapify(order)
        granted: dict[SessionKey, list[Lease]] = {}
        first: dict[SessionKey, list[float]] = {}
        while order:
            session = self._sessions[order[0][2]]
            taken = self._backlog.take(session.hello.profiles)
            if taken is None:
                heapq.heappop(order)
                continue
            lease = Lease(taken.key, self._epoch)
            self._epoch += 1
            self._hold(session, lease, taken.facts, now)
            session.credit -= 1
            granted.setdefault(session.key, []).append(lease)
            if taken.is_first:
                first.setdefault(session.key, []).append(taken.facts.accepted_at)
            if session.credit:
                heapq.heapreplace(order, (-session.free_slots, -session.credit, session.key))
            else:
                heapq.heappop(order)
        return [
            effects.Grant(key, tuple(leases), tuple(first.get(key, ())))
            for key, leases in granted.items()
        ]

    def complete(self, key: SessionKey, outcomes: Iterable[Outcome], now: float) -> list[Effect]:
        """Judges a worker's results and refusals."""
        session = self._heard(key, now)
        if session is None:
            return []
        found: list[Effect] = []
        for outcome in outcomes:
            if isinstance(outcome, Hashed):
                found += self._hashed(session, outcome, now)
            else:
                found += self._refused(session, outcome, now)
        return found

    def settled(self, finals: Iterable[tuple[JobKey, JobState]]) -> list[Effect]:
        """Final states are on disk."""
        found: list[Effect] = []
        acknowledged: dict[SessionKey, list[Lease]] = {}
        for key, state in finals:
            held = self._leases.get(key)
            self._backlog.finish(key, state)
            if held is None:
                continue
            session = held.session
            self._drop(held)
            if session.key in self._sessions:
                session.completed += state is JobState.DONE
                acknowledged.setdefault(session.key, []).append(held.lease)
        for session_key, leases in acknowledged.items():
            found.append(effects.Acknowledge(session_key, tuple(leases)))
            found += self._drained(self._sessions[session_key])
        return found

    # -- cordons and drains ----------------------------------------------------------------------

    def cordon(self, worker_id: str, reason: str, max_leases: int | None) -> CordonAnswer:
        """Stops new leases at once, unless the worker holds more than `max_leases`."""
        session = self._workers.get(worker_id)
        leases = 0 if session is None else len(session.leases)
        if max_leases is not None and leases > max_leases:
            return CordonAnswer(False, leases)
        if worker_id not in self._cordons:
            self._cordons[worker_id] = Cordon(reason)
        return CordonAnswer(True, leases)

    def is_cordoned(self, worker_id: str) -> bool:
        """Whether the worker is cordoned or draining."""
        return worker_id in self._cordons

    def drain(self, worker_id: str, reason: str, deadline: float) -> list[Effect]:
        """Cordons, and asks the worker to finish by `deadline`; a second call moves the deadline."""
        cordon = self._cordons.setdefault(worker_id, Cordon(reason))
        session = self._workers.get(worker_id)
        if session is None:
            return [effects.DrainEnded(worker_id, DrainOutcome.LOST, 0)]
        cordon.drain_deadline = deadline
        self._wake_at(deadline)
        found: list[Effect] = [effects.AskDrain(session.key, deadline)]
        return found + self._drained(session)

    def uncordon(self, worker_id: str) -> list[Effect]:
        """Lifts a cordon and cancels a drain."""
        cordon = self._cordons.pop(worker_id, None)
        if cordon is None or not cordon.is_draining:
            return []
        found: list[Effect] = []
        if (session := self._workers.get(worker_id)) is not None:
            found.append(effects.LiftDrain(session.key))
        found.append(effects.DrainEnded(worker_id, DrainOutcome.CANCELLED, cordon.taken_back))
        return found

    # -- time ------------------------------------------------------------------------------------

    def expire(self, now: float) -> list[Effect]:
        """Does what is due: lost and frozen workers, lapsed leases, drain deadlines."""
        found: list[Effect] = []
        if self._backlog.is_recovering and now >= self._absent_until:
            self._backlog.is_recovering = False
            self._absent.clear()
        if self._wake is None or now < self._wake:
            return found
        self._wake = None
        for session in list(self._sessions.values()):
            found += self._expire_session(session, now)
        for worker_id, cordon in list(self._cordons.items()):
            found += self._expire_drain(worker_id, cordon, now)
        if self._backlog.is_recovering:
            self._wake_at(self._absent_until)
        return found

    def _expire_session(self, session: Session, now: float) -> list[Effect]:
        """Due things of one session; notes when the next one is due."""
        if session.parted_at is not None:
            lost_at = session.parted_at + self._terms.reconnect_grace
            if now >= lost_at:
                return self._close(session, RequeueReason.WORKER_LOST)
            self._wake_at(lost_at)
            return []
        silent_at = session.heard_at + self._terms.lease_ttl
        if now >= silent_at:
            ended: Effect = effects.EndSession(session.key, EndReason.STALLED)
            return [ended, *self._close(session, RequeueReason.WORKER_LOST)]
        self._wake_at(silent_at)
        lapsed: list[HeldLease] = []
        for held in session.leases.values():
            if held.is_settling:
                continue
            if now >= held.expires_at:
                lapsed.append(held)
            else:
                self._wake_at(held.expires_at)
        if not lapsed:
            return []
        revoked: Effect = effects.Revoke(session.key, tuple(held.lease for held in lapsed))
        found = self._requeue(session, lapsed, RequeueReason.LEASE_EXPIRED)
        return [revoked, *found, *self._drained(session)]

    def _expire_drain(self, worker_id: str, cordon: Cordon, now: float) -> list[Effect]:
        if cordon.drain_deadline is None:
            return []
        session = self._workers.get(worker_id)
        if session is None or now < cordon.drain_deadline:
            self._wake_at(max(cordon.drain_deadline, now))
            return []
        rest = [held for held in session.leases.values() if not held.is_settling]
        if not rest:
            return []
        cordon.taken_back += len(rest)
        revoked: Effect = effects.Revoke(session.key, tuple(held.lease for held in rest))
        found = self._requeue(session, rest, RequeueReason.DRAIN_DEADLINE)
        return [revoked, *found, *self._drained(session)]

    # -- inside ----------------------------------------------------------------------------------

    def _hashed(self, session: Session, outcome: Hashed, now: float) -> list[Effect]:
        key = outcome.lease.key
        done = Done(key, outcome.hash, session.worker_id, outcome.service_seconds)
        held = self._leases.get(key)
        if held is not None and held.is_settling:
            return [effects.Acknowledge(session.key, (outcome.lease,))]
        found: list[Effect] = []
        if held is None:
            facts = self._backlog.claim(key)
            if facts is None:
                return [effects.Acknowledge(session.key, (outcome.lease,))]
            held = self._hold(session, outcome.lease, facts, now)
        elif held.session is not session or held.lease != outcome.lease:
            self._drop(held)
            found.append(effects.Revoke(held.session.key, (held.lease,)))
            found += self._drained(held.session)
            held = self._hold(session, outcome.lease, held.facts, now)
        self._settle(held)
        found.append(effects.Settle(done))
        return found

    def _refused(self, session: Session, outcome: Refused, now: float) -> list[Effect]:
        held = session.leases.get(outcome.lease.key)
        if held is None or held.lease != outcome.lease or held.is_settling:
            return [effects.Acknowledge(session.key, (outcome.lease,))]
        if outcome.is_retryable:
            found = self._requeue(session, [held], RequeueReason.WORKER_REFUSED)
            found.append(effects.Acknowledge(session.key, (outcome.lease,)))
            return found + self._drained(session)
        self._settle(held)
        failure = Failure(FailureReason.REFUSED, outcome.message)
        return [effects.Settle(Failed(outcome.lease.key, failure))]

    def _hold(self, session: Session, lease: Lease, facts: Facts, now: float) -> HeldLease:
        held = HeldLease(lease, facts, now, now + self._terms.lease_ttl, session)
        self._leases[lease.key] = held
        session.leases[lease.key] = held
        self._wake_at(held.expires_at)
        return held

    def _settle(self, held: HeldLease) -> None:
        held.is_settling = True
        held.session.settling += 1

    def _drop(self, held: HeldLease) -> None:
        key = held.lease.key
        if self._leases.get(key) is held:
            del self._leases[key]
        if held.session.leases.get(key) is held:
            del held.session.leases[key]
            held.session.settling -= held.is_settling

    def _requeue(
        self, session: Session, leases: Sequence[HeldLease], reason: RequeueReason
    ) -> list[Effect]:
        """Gives leased jobs back, or up when their attempts are spent. In order of their grants."""
        is_fault = reason in _FAULTS
        suspects = {
            held.lease.key
            for held in list(session.leases.values())[: session.hello.slots]
            if is_fault
        }
        found: list[Effect] = []
        back: list[tuple[JobKey, Facts]] = []
        for held in leases:
            key = held.lease.key
            self._drop(held)
            if key in suspects or (is_fault and reason is not RequeueReason.WORKER_LOST):
                attempts = self._backlog.count_attempt(key)
                if attempts >= self._terms.max_attempts:
                    self._backlog.withdraw_leased(key)
                    found.append(effects.Settle(Failed(key, _exhausted(attempts, reason))))
                    continue
                found.append(effects.CountAttempt(key, attempts))
            back.append((key, held.facts))
        if back:
            self._backlog.give_back(back)
            keys = tuple(key for key, _ in back)
            found.append(effects.Requeued(session.worker_id, keys, reason))
        return found

    def _close(
        self, session: Session, reason: RequeueReason, *, ends_drain: bool = True
    ) -> list[Effect]:
        """Ends a session; what does not settle goes back."""
        del self._sessions[session.key]
        if self._workers.get(session.worker_id) is session:
            del self._workers[session.worker_id]
        rest = [held for held in session.leases.values() if not held.is_settling]
        found = self._requeue(session, rest, reason)
        found.append(effects.SessionClosed(session.key, session.worker_id))
        cordon = self._cordons.get(session.worker_id)
        if ends_drain and cordon is not None and cordon.is_draining:
            cordon.drain_deadline = None
            is_clean = reason is RequeueReason.WORKER_LEFT and not rest
            outcome = DrainOutcome.DRAINED if is_clean else DrainOutcome.LOST
            found.append(effects.DrainEnded(session.worker_id, outcome, cordon.taken_back))
        return found

    def _move(self, older: Session, newer: Session, now: float) -> dict[JobKey, HeldLease]:
        """Hands what a reconnected process still holds to its new session."""
        named = set(newer.hello.held)
        moved: dict[JobKey, HeldLease] = {}
        for held in list(older.leases.values()):
            if held.lease not in named and not held.is_settling:
                continue
            key = held.lease.key
            del older.leases[key]
            older.settling -= held.is_settling
            held.session = newer
            held.expires_at = now + self._terms.lease_ttl
            newer.leases[key] = held
            newer.settling += held.is_settling
            moved[key] = held
        newer.completed = older.completed
        return moved

    def _reclaim(
        self, session: Session, lease: Lease, moved: dict[JobKey, HeldLease], now: float
    ) -> bool:
        """Whether a lease that the worker says it holds still holds, or can be taken again."""
        held = moved.get(lease.key)
        if held is not None:
            return held.lease == lease and not held.is_settling
        if lease.epoch >= self._epoch:
            return False
        facts = self._backlog.claim(lease.key)
        if facts is None:
            return False
        self._hold(session, lease, facts, now)
        return True

    def _drained(self, session: Session) -> list[Effect]:
        """The end of a drain, when there is one and the worker holds nothing."""
        cordon = self._cordons.get(session.worker_id)
        if cordon is None or not cordon.is_draining or session.leases:
            return []
        cordon.drain_deadline = None
        outcome = DrainOutcome.DEADLINE if cordon.taken_back else DrainOutcome.DRAINED
        ended = effects.DrainEnded(session.worker_id, outcome, cordon.taken_back)
        cordon.taken_back = 0
        return [ended]

    def _takes_jobs(self, session: Session) -> bool:
        return (
            session.credit > 0
            and session.is_connected
            and not session.is_leaving
            and session.worker_id not in self._cordons
        )

    def _heard(self, key: SessionKey, now: float) -> Session | None:
        session = self._sessions.get(key)
        if session is not None:
            session.heard_at = now
        return session

    def _wake_at(self, at: float) -> None:
        if self._wake is None or at < self._wake:
            self._wake = at


_FAULTS = (
    RequeueReason.WORKER_LOST,
    RequeueReason.LEASE_EXPIRED,
    RequeueReason.WORKER_REFUSED,
)


def _exhausted(attempts: int, reason: RequeueReason) -> Failure:
    return Failure(
        FailureReason.ATTEMPTS_EXHAUSTED,
        f"given up after {attempts} attempts; the last one ended with {reason.value}",
    )
