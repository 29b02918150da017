"""The ledger: who works on what. Pure: time is an argument, what is to be done comes as effects.

Rules:
  1. A job is ready, leased, settling (its final state is on its way to the disk) or final; the
     ledger forgets final jobs.
  2. Every lease has an epoch that is never used again, over restarts too.
  3. A job settles once. A late result of a job that is still unfinished is taken, whoever sends it:
     the work is done. After that, results are acknowledged and dropped.
  4. A settling job neither expires nor goes back; its worker is acknowledged when it is on disk.
"""

from collections.abc import Iterable, Sequence

from dispatcher import effects, isolation, sessions, sharing
from dispatcher.backlog import Backlog, Unfinished
from dispatcher.claims import Claims
from dispatcher.cordons import CordonAnswer, Cordons
from dispatcher.effects import Effect, EndReason, RequeueReason
from dispatcher.jobs import (
    Cancelled,
    Counts,
    Done,
    Era,
    Failed,
    Failure,
    FailureReason,
    Final,
    Hashed,
    JobKey,
    JobState,
    Lease,
    Outcome,
    Profile,
    Refused,
)
from dispatcher.leases import Leases, Terms
from dispatcher.sessions import HeldLease, Hello, Session, SessionKey, WorkerView

_MAX_CREDIT = 1_000_000


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
        former: Sequence[Era] = (),
    ) -> None:
        """Takes over a store's state.

        `absent` are the workers connected before the restart: until they are all back, or
        `absent_until`, jobs from before the restart are not leased to others. Leases from eras
        that are `former` are good for the jobs of then only.
        """
        self._terms = terms
        self._epoch = first_epoch
        self._backlog = Backlog(counts=counts, recovered=unfinished)
        self._sessions: dict[SessionKey, Session] = {}
        self._workers: dict[str, Session] = {}
        self._leases = Leases(terms, self._backlog)
        self._cordons = Cordons(cordons or {})
        self._absent = set(absent)
        self._claims = Claims(
            *(self._leases, self._backlog),
            first_epoch=first_epoch,
            returning=self._absent,
            former=former,
        )
        self._wake: float | None = None
        self._backlog.is_recovering = bool(self._absent and self._backlog.counts.ready)
        self._absent_until = absent_until
        if self._backlog.is_recovering:
            self._wake_at(absent_until)

    @property
    def counts(self) -> Counts:
        """The live counts; copy them to keep them."""
        return self._backlog.counts

    def oldest_ready(self) -> float | None:
        """When the oldest ready job was accepted; None without any."""
        return self._backlog.oldest_ready()

    def is_unfinished(self, key: JobKey) -> bool:
        """Whether the job has no final state on disk yet."""
        return key in self._leases or key in self._backlog or self._backlog.is_withdrawing(key)

    def attempts(self, key: JobKey) -> int:
        """How many attempts of an unfinished job were counted."""
        return self._backlog.attempts.of(key)

    def accepted_at(self, key: JobKey) -> float | None:
        """When a leased or settling job was accepted; None when nobody holds it."""
        held = self._leases.get(key)
        return None if held is None else held.facts.accepted_at

    def is_leased(self, key: JobKey) -> bool:
        """Whether a worker holds the job."""
        return key in self._leases

    def holds(self, session: SessionKey, lease: Lease) -> bool:
        """Whether that very lease is still held in that session."""
        held = self._leases.get(lease.key)
        return held is not None and held.lease == lease and held.session.key == session

    def workers(self, now: float) -> list[WorkerView]:
        """All workers that are connected or cordoned, by name."""
        names = sorted({*self._workers, *self._cordons})
        return [
            sessions.view(name, self._workers.get(name), self._cordons.get(name), now)
            for name in names
        ]

    def next_deadline(self) -> float | None:
        """When `expire` should be called next; may be early, never late."""
        return self._wake

    def submit(self, first: JobKey, profiles: Sequence[Profile], accepted_at: float) -> None:
        """Takes a batch that is on disk; its keys are `first` and those that follow."""
        self._backlog.submit(first, profiles, accepted_at)

    def cancel(self, keys: Iterable[JobKey]) -> list[Effect]:
        """Withdraws those that are unfinished and not settling."""
        found: list[Effect] = []
        finals: list[Final] = []
        for key in keys:
            held = self._leases.get(key)
            if held is not None and not held.is_settling:
                self._leases.drop(held)
                self._backlog.withdraw_leased(key)
                found.append(effects.Revoke(held.session.key, (held.lease,)))
                found += self._cordons.drained(held.session)
                finals.append(Cancelled(key))
            elif self._backlog.withdraw_ready(key):
                finals.append(Cancelled(key))
        return [*found, effects.Settle(tuple(finals))] if finals else found

    def hello(self, key: SessionKey, hello: Hello, now: float) -> list[Effect]:
        """Opens a session; an older one of the same worker ends."""
        found: list[Effect] = []
        session = Session(key, hello, connected_at=now, heard_at=now)
        older = self._workers.get(hello.worker_id)
        if older is not None:
            reason, ends_drain = RequeueReason.WORKER_LOST, older.working > 0
            if older.hello.instance_id == hello.instance_id:
                reason, ends_drain = RequeueReason.NOT_RECEIVED, False
                self._leases.move(older, session, now)
            elif older.is_connected and now - older.heard_at <= self._terms.alive_within:
                reason = RequeueReason.FENCED
            if older.is_connected:
                found.append(effects.EndSession(older.key, EndReason.FENCED))
            # Another process: what the older one held will run again, so its drain has failed.
            found += self._close(older, reason, ends_drain=ends_drain)
        self._sessions[key] = session
        self._workers[hello.worker_id] = session
        self._wake_at(now + self._terms.lease_ttl)
        cordon = self._cordons.get(hello.worker_id)
        kept = tuple(
            lease
            for lease in hello.held
            if self._claims.may_keep(session, lease, is_cordoned=cordon is not None)
            and self._leases.reclaim(session, lease, now)
        )
        found.append(effects.Welcome(key, kept, cordon is not None))
        if cordon is not None and cordon.drain_deadline is not None:
            found.append(effects.AskDrain(key, cordon.drain_deadline))
            found += self._cordons.drained(session)
        self._absent.discard(hello.worker_id)
        if not self._absent:
            self._backlog.is_recovering = False
        return found

    def credit(self, key: SessionKey, jobs: int, now: float) -> None:
        """Gives room for more jobs."""
        session = self._heard(key, now)
        if session is not None:
            session.credit = min(session.credit + jobs, _MAX_CREDIT)

    def unsent(self, key: SessionKey, jobs: int) -> None:
        """Leases that ended before they were sent: the worker's credit for them is unspent."""
        session = self._sessions.get(key)
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

    def release(
        self, key: SessionKey, leases: Iterable[Lease], credit: int, now: float
    ) -> list[Effect]:
        """Jobs that a worker has not begun go back at no attempt, and so much of its credit."""
        session = self._heard(key, now)
        if session is None:
            return []
        session.credit = max(session.credit - credit, -_MAX_CREDIT)
        return [*self._leases.release(session, leases), *self._cordons.drained(session)]

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

    def lease(self, now: float) -> list[Effect]:
        """Leases ready jobs against credit, each to the worker with the most free slots."""
        if not self._backlog.has_leasable:
            return []
        found: list[Effect] = []
        eligible = [session for session in self._sessions.values() if self._takes_jobs(session)]
        if self._backlog.suspects:
            eligible = self._lease_alone(eligible, found, now)
        for share in sharing.shares(eligible, self._backlog):
            leases: list[Lease] = []
            for taken in share.taken:
                for key in range(taken.key, taken.key + taken.size):
                    lease = Lease(JobKey(key), self._epoch)
                    self._epoch += 1
                    self._leases.hold(share.session, lease, taken.facts, now)
                    leases.append(lease)
            share.session.credit -= share.count
            first = [each.first_accepted for each in share.taken if each.first_leases]
            found.append(effects.Grant(share.session.key, tuple(leases), tuple(first)))
        if found:
            self._wake_at(now + self._terms.lease_ttl)
        return found

    def _lease_alone(
        self, eligible: list[Session], found: list[Effect], now: float
    ) -> list[Session]:
        """Leases suspects; returns the sessions that are open to all other jobs."""
        placement = isolation.place(self._backlog.suspects, eligible)
        for session, key in placement.alone:
            facts = self._backlog.claim(key)
            if facts is None:
                continue
            lease = Lease(key, self._epoch)
            self._epoch += 1
            self._leases.hold(session, lease, facts, now)
            session.alone = key
            session.credit -= 1
            found.append(effects.Grant(session.key, (lease,), ()))
        return placement.open

    def complete(self, key: SessionKey, outcomes: Iterable[Outcome], now: float) -> list[Effect]:
        """Judges a worker's results and refusals."""
        session = self._heard(key, now)
        if session is None:
            return []
        found: list[Effect] = []
        finals: list[Final] = []
        known: list[Lease] = []
        for outcome in outcomes:
            if isinstance(outcome, Hashed):
                found += self._hashed(session, outcome, now, finals, known)
            else:
                found += self._refused(session, outcome, finals, known)
        if finals:
            found.append(effects.Settle(tuple(finals)))
        if known:
            found.append(effects.Acknowledge(key, tuple(known)))
        return found

    def settled(self, finals: Iterable[tuple[JobKey, JobState]]) -> list[Effect]:
        """Final states are on disk."""
        found: list[Effect] = []
        acknowledged: dict[SessionKey, list[Lease]] = {}
        for key, state in finals:
            held = self._leases.get(key)
            self._leases.past.forget(key)
            self._backlog.finish(key, state)
            if held is None:
                continue
            session = held.session
            self._leases.drop(held)
            if session.key in self._sessions:
                session.completed += state is JobState.DONE
                acknowledged.setdefault(session.key, []).append(held.lease)
        for session_key, leases in acknowledged.items():
            found.append(effects.Acknowledge(session_key, tuple(leases)))
            found += self._cordons.drained(self._sessions[session_key])
        return found

    def cordon(self, worker_id: str, reason: str, max_leases: int | None) -> CordonAnswer:
        """Stops new leases at once, unless the worker holds more than `max_leases`.

        A worker from before a restart may hold any number until it is back: with a limit, refused.
        """
        if max_leases is not None and worker_id in self._absent and self._backlog.is_recovering:
            return CordonAnswer(False, 0)
        return self._cordons.add(worker_id, self._workers.get(worker_id), reason, max_leases)

    def is_cordoned(self, worker_id: str) -> bool:
        """Whether the worker is cordoned or draining."""
        return worker_id in self._cordons

    def drain(self, worker_id: str, reason: str, deadline: float) -> list[Effect]:
        """Cordons, and asks the worker to finish by then; a second call moves the deadline."""
        self._wake_at(deadline)
        return self._cordons.drain(worker_id, self._workers.get(worker_id), reason, deadline)

    def uncordon(self, worker_id: str) -> list[Effect]:
        """Lifts a cordon and cancels a drain."""
        return self._cordons.lift(worker_id, self._workers.get(worker_id))

    def expire(self, now: float) -> list[Effect]:
        """Does what is due: lost and frozen workers, lapsed leases, drain deadlines."""
        found: list[Effect] = []
        if self._backlog.is_recovering and now >= self._absent_until:
            self._backlog.give_up_missing_workers()
            self._absent.clear()
        if self._wake is None or now < self._wake:
            return found
        self._wake = None
        for session in list(self._sessions.values()):
            found += self._expire_session(session, now)
        for session in list(self._sessions.values()):
            found += self._expire_drain(session, now)
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
        if self._cordons.is_parked(session):
            session.heard_at = max(session.heard_at, now - self._terms.lease_ttl / 2)
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
        found = self._leases.give_back(session, lapsed, RequeueReason.LEASE_EXPIRED)
        self._cordons.took_back(session, len(lapsed))
        return [revoked, *found, *self._cordons.drained(session)]

    def _expire_drain(self, session: Session, now: float) -> list[Effect]:
        cordon = self._cordons.get(session.worker_id)
        if cordon is None or cordon.drain_deadline is None:
            return []
        if now < cordon.drain_deadline:
            self._wake_at(cordon.drain_deadline)
            return []
        rest = [held for held in session.leases.values() if not held.is_settling]
        if not rest:
            return []
        self._cordons.took_back(session, len(rest))
        revoked: Effect = effects.Revoke(session.key, tuple(held.lease for held in rest))
        found = self._leases.give_back(session, rest, RequeueReason.DRAIN_DEADLINE)
        return [revoked, *found, *self._cordons.drained(session)]

    def _hashed(
        self,
        session: Session,
        outcome: Hashed,
        now: float,
        finals: list[Final],
        known: list[Lease],
    ) -> Sequence[Effect]:
        """Adds the result to `finals`, or its lease to `known` when it is of no use or credit."""
        lease = outcome.lease
        if self._claims.is_lost(lease):
            known.append(lease)
            return ()
        found: Sequence[Effect] = ()
        held = self._leases.get(lease.key)
        if held is None:
            facts = (
                self._backlog.claim(lease.key) if self._claims.has_held(session, lease) else None
            )
            if facts is None:
                known.append(lease)
                return ()
            held = self._leases.hold(session, lease, facts, now)
        elif held.is_settling:
            if held.session is not session or held.lease != lease:
                known.append(lease)
            return ()  # the very lease is acknowledged when it is on disk
        elif held.session is not session or held.lease != lease:
            if not self._claims.has_held(session, lease):
                known.append(lease)
                return ()
            self._leases.drop(held)
            found = [
                effects.Revoke(held.session.key, (held.lease,)),
                *self._cordons.drained(held.session),
            ]
            held = self._leases.hold(session, lease, held.facts, now)
        self._leases.settle(held)
        finals.append(Done(lease.key, outcome.hash, session.worker_id, outcome.service_seconds))
        return found

    def _refused(
        self, session: Session, outcome: Refused, finals: list[Final], known: list[Lease]
    ) -> Sequence[Effect]:
        lease = outcome.lease
        held = session.leases.get(lease.key)
        if held is None or held.lease != lease or held.is_settling:
            known.append(lease)
            return ()
        if outcome.is_retryable:
            known.append(lease)
            reason = RequeueReason.WORKER_REFUSED
            if outcome.is_wrong:
                reason = RequeueReason.WRONG_RESULT
            found = self._leases.give_back(session, [held], reason, outcome.message)
            return [*found, *self._cordons.drained(session)]
        self._leases.settle(held)
        finals.append(Failed(lease.key, Failure(FailureReason.REFUSED, outcome.message)))
        return ()

    def _close(
        self, session: Session, reason: RequeueReason, *, ends_drain: bool = True
    ) -> list[Effect]:
        """Ends a session; what does not settle goes back."""
        del self._sessions[session.key]
        if self._workers.get(session.worker_id) is session:
            del self._workers[session.worker_id]
        rest = [held for held in session.leases.values() if not held.is_settling]
        found = self._leases.give_back(session, rest, reason)
        found.append(effects.SessionClosed(session.key, session.worker_id))
        if ends_drain:
            is_clean = reason is RequeueReason.WORKER_LEFT and not rest
            found += self._cordons.closed(session, is_clean=is_clean)
        return found

    def _takes_jobs(self, session: Session) -> bool:
        return (
            session.is_connected
            and not session.is_leaving
            and session.alone is None
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
