"""The ledger against a simple model: nothing lost, nothing settled twice, counts that add up."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dispatcher import effects
from dispatcher.effects import RequeueReason
from dispatcher.jobs import (
    Cancelled,
    Done,
    Failed,
    FailureReason,
    Final,
    Hashed,
    JobKey,
    JobState,
    Lease,
    Profile,
    Refused,
)
from dispatcher.leases import Terms
from dispatcher.ledger import Ledger
from dispatcher.sessions import Hello, SessionKey

ALL = frozenset(Profile)
WORKERS = ("w1", "w2", "w3")
MAX_ATTEMPTS = 3
FREE = frozenset(
    {
        RequeueReason.WORKER_LEFT,
        RequeueReason.DRAIN_DEADLINE,
        RequeueReason.NOT_RECEIVED,
        RequeueReason.FENCED,
        RequeueReason.RELEASED,
    }
)


class LedgerMachine(RuleBasedStateMachine):
    """`final` and `pending` are the model: what is on disk, and what is on its way there."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.ledger = Ledger(Terms(lease_ttl=10.0, reconnect_grace=1.0, max_attempts=MAX_ATTEMPTS))
        self.accepted = 0
        self.pending: dict[JobKey, Final] = {}
        self.final: dict[JobKey, JobState] = {}
        self.live: dict[JobKey, tuple[SessionKey, Lease]] = {}
        self.epochs: set[int] = set()
        self.credit: dict[SessionKey, int] = {}
        self.open: dict[str, SessionKey] = {}
        self.drains: dict[str, int] = {}
        self.last = 0
        self.sent: list[Lease] = []
        self.attempts: dict[JobKey, list[effects.CountAttempt]] = {}
        self.holder: dict[Lease, str] = {}
        self.hello("w1", "a", 2, ALL, False)
        self.give_credit("w1", 4)
        self.submit([Profile.LEGACY_SHA256, Profile.ARGON2ID])

    def apply(self, found: list[effects.Effect]) -> list[Lease]:
        leases: list[Lease] = []
        self.check_attempts(found)
        for effect in found:
            match effect:
                case effects.Grant(session=session, leases=granted):
                    self.credit[session] -= len(granted)
                    assert self.credit[session] >= 0, "more jobs than credit"
                    for lease in granted:
                        assert lease.key not in self.live, "two live leases on a job"
                        assert lease.key not in self.final
                        assert lease.key not in self.pending
                        assert lease.epoch not in self.epochs, "an epoch was used again"
                        self.epochs.add(lease.epoch)
                        self.live[lease.key] = (session, lease)
                        self.holder[lease] = self.worker_of(session)
                        leases.append(lease)
                case effects.Settle(finals=finals):
                    for final in finals:
                        assert final.key not in self.pending, "settled twice"
                        assert final.key not in self.final, "settled after it was final"
                        self.live.pop(final.key, None)
                        self.pending[final.key] = final
                case effects.Requeued(keys=keys):
                    for key in keys:
                        del self.live[key]
                case effects.DrainEnded(worker_id=worker):
                    self.drains.pop(worker, None)
                case effects.SessionClosed(session=session, worker_id=worker):
                    self.credit.pop(session)
                    if self.open.get(worker) == session:
                        del self.open[worker]
        return leases

    def check_attempts(self, found: list[effects.Effect]) -> None:
        """Attempts count up by one, cost nothing where nobody is to blame, and end in certainty."""
        counted = [each for each in found if isinstance(each, effects.CountAttempt)]
        for each in counted:
            history = self.attempts.setdefault(each.key, [])
            assert each.attempts == len(history) + 1
            history.append(each)
        for effect in found:
            if isinstance(effect, effects.Requeued) and effect.reason in FREE:
                assert not {each.key for each in counted} & set(effect.keys), "an attempt for free"
            if isinstance(effect, effects.Settle):
                for final in effect.finals:
                    self.check_given_up(final)

    def check_given_up(self, final: Final) -> None:
        if not isinstance(final, Failed):
            return
        if final.failure.reason is FailureReason.ATTEMPTS_EXHAUSTED:
            history = self.attempts[final.key]
            assert len(history) >= MAX_ATTEMPTS
            assert history[-1].is_certain, "given up for another job's fault, perhaps"

    def worker_of(self, session: SessionKey) -> str:
        return next(worker for worker, each in self.open.items() if each == session)

    @rule(profiles=st.lists(st.sampled_from(Profile), min_size=1, max_size=5))
    def submit(self, profiles: list[Profile]) -> None:
        self.ledger.submit(JobKey(self.accepted + 1), profiles, self.now)
        self.accepted += len(profiles)
        self.lease()

    @rule(
        worker=st.sampled_from(WORKERS),
        instance=st.sampled_from(["a", "b"]),
        slots=st.integers(1, 3),
        profiles=st.sampled_from([ALL, frozenset({Profile.LEGACY_SHA256})]),
        keeps=st.booleans(),
    )
    def hello(
        self, worker: str, instance: str, slots: int, profiles: frozenset[Profile], keeps: bool
    ) -> None:
        self.last += 1
        key = SessionKey(self.last)
        old = self.open.get(worker)
        held = [lease for session, lease in self.live.values() if keeps and session == old]
        self.credit[key] = 0
        found = self.ledger.hello(
            key, Hello(worker, instance, slots, profiles, tuple(held)), self.now
        )
        welcome = next(each for each in found if isinstance(each, effects.Welcome))
        moved = {lease.key: lease for lease in welcome.kept}
        for lease in welcome.kept:
            self.live[lease.key] = (key, lease)
        gone = [each for each in found if isinstance(each, effects.Requeued)]
        for each in gone:
            for job in each.keys:
                self.live.setdefault(job, (key, Lease(job, 0)))
        self.apply(found)
        for job, lease in moved.items():
            self.live[job] = (key, lease)
        self.open[worker] = key
        self.lease()

    @rule(worker=st.sampled_from(WORKERS), jobs=st.integers(1, 4))
    def give_credit(self, worker: str, jobs: int) -> None:
        if worker in self.open:
            self.credit[self.open[worker]] += jobs
            self.ledger.credit(self.open[worker], jobs, self.now)
            self.lease()

    def lease(self) -> None:
        """As the loop does, after everything that may have made a job or room for one."""
        self.sent += self.apply(self.ledger.lease(self.now))

    @precondition(lambda self: self.sent and self.open)
    @rule(
        place=st.integers(0, 30),
        worker=st.integers(0, 2),
        retry=st.sampled_from([None, None, True, False]),
        times=st.integers(1, 2),
    )
    def outcome(self, place: int, worker: int, retry: bool | None, times: int) -> None:
        """Results and refusals, also late, doubled, and from the wrong worker."""
        lease = self.sent[-1 - place % len(self.sent)]
        sender = list(self.open.values())[worker % len(self.open)]
        answer = Hashed(lease, "h", 0.1) if retry is None else Refused(lease, retry, "no")
        was_free = lease.key not in self.pending and lease.key not in self.final
        found = [
            effect
            for _ in range(times)
            for effect in self.ledger.complete(sender, [answer], self.now)
        ]
        self.apply(found)
        if self.worker_of(sender) != self.holder[lease]:
            assert found == [effects.Acknowledge(sender, (lease,))] * times, (
                "a stranger is believed"
            )
        elif retry is None and was_free:
            assert isinstance(self.pending[lease.key], Done), "a finished job's result is lost"

    @rule(share=st.integers(1, 3))
    def store(self, share: int) -> None:
        keys = list(self.pending)[::share]
        states = []
        for key in keys:
            final = self.pending.pop(key)
            state = JobState.FAILED
            if isinstance(final, Done):
                state = JobState.DONE
            elif isinstance(final, Cancelled):
                state = JobState.CANCELLED
            self.final[key] = state
            states.append((key, state))
        self.apply(self.ledger.settled(states))
        self.lease()

    @rule(key=st.integers(1, 30))
    def cancel(self, key: int) -> None:
        self.apply(self.ledger.cancel([JobKey(key), JobKey(key + 1)]))

    @rule(worker=st.sampled_from(WORKERS), names=st.booleans())
    def heartbeat(self, worker: str, names: bool) -> None:
        if worker in self.open:
            key = self.open[worker]
            held = [lease for session, lease in self.live.values() if names and session == key]
            self.apply(self.ledger.renew(key, held, 1, self.now))

    @precondition(lambda self: self.sent and self.open)
    @rule(
        places=st.lists(st.integers(0, 30), max_size=4),
        worker=st.integers(0, 2),
        credit=st.integers(0, 5),
    )
    def release(self, places: list[int], worker: int, credit: int) -> None:
        """Leases of its own, past ones and those of others, some twice; and credit."""
        leases = [self.sent[-1 - place % len(self.sent)] for place in places]
        sender = list(self.open.values())[worker % len(self.open)]
        own = {lease.key for session, lease in self.live.values() if session == sender}
        freed = {lease.key for lease in leases if self.live.get(lease.key) == (sender, lease)}
        assert freed <= own
        self.credit[sender] -= credit
        found = self.ledger.release(sender, leases, credit, self.now)
        back = {key for each in found if isinstance(each, effects.Requeued) for key in each.keys}
        assert back == freed, "others' leases, or not all of its own"
        self.apply(found)
        self.lease()

    @rule(worker=st.sampled_from(WORKERS), how=st.sampled_from(["parted", "goodbye", "leaving"]))
    def go(self, worker: str, how: str) -> None:
        if worker not in self.open:
            return
        key = self.open[worker]
        if how == "parted":
            self.credit[key] = 0
            self.apply(self.ledger.parted(key, self.now))
        elif how == "goodbye":
            self.apply(self.ledger.goodbye(key))
        else:
            self.ledger.leaving(key, self.now)

    @rule(worker=st.sampled_from(WORKERS), limit=st.sampled_from([None, 0]))
    def cordon(self, worker: str, limit: int | None) -> None:
        was = self.ledger.is_cordoned(worker)
        answer = self.ledger.cordon(worker, "test", limit)
        assert self.ledger.is_cordoned(worker) == (was or answer.is_granted)

    @rule(worker=st.sampled_from(WORKERS), seconds=st.sampled_from([0.0, 5.0]))
    def drain(self, worker: str, seconds: float) -> None:
        self.drains[worker] = 1
        self.apply(self.ledger.drain(worker, "test", self.now + seconds))

    @rule(worker=st.sampled_from(WORKERS))
    def uncordon(self, worker: str) -> None:
        self.apply(self.ledger.uncordon(worker))
        assert worker not in self.drains, "nobody told the drain's waiter"
        self.lease()

    @rule(seconds=st.sampled_from([0.5, 1.0, 4.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        due = self.ledger.next_deadline()
        if due is not None and due <= self.now:
            self.apply(self.ledger.expire(self.now))
            following = self.ledger.next_deadline()
            assert following is None or following > self.now, "the loop would spin"

    @invariant()
    def counts_add_up(self) -> None:
        counts = self.ledger.counts
        assert counts.is_balanced()
        assert counts.accepted == self.accepted
        states = list(self.final.values())
        assert counts.done == states.count(JobState.DONE)
        assert counts.failed == states.count(JobState.FAILED)
        assert counts.cancelled == states.count(JobState.CANCELLED)
        assert counts.leased >= len(self.live)

    @invariant()
    def no_job_is_lost(self) -> None:
        for key in range(1, self.accepted + 1):
            assert self.ledger.is_unfinished(JobKey(key)) == (key not in self.final)

    @invariant()
    def views_agree(self) -> None:
        leases = sum(worker.leases for worker in self.ledger.workers(self.now))
        assert leases >= len(self.live)

    def teardown(self) -> None:
        """Once faults stop, every job finishes."""
        for worker in WORKERS:
            self.apply(self.ledger.uncordon(worker))
        self.hello("w1", "last", 3, ALL, False)
        key = self.open["w1"]
        self.wait(11.0)
        if "w1" not in self.open:
            self.hello("w1", "last", 3, ALL, False)
            key = self.open["w1"]
        for _ in range(self.accepted * 4 + 10):
            if len(self.final) == self.accepted:
                return
            more = 10 + max(0, -self.credit[key])
            self.credit[key] += more
            self.ledger.credit(key, more, self.now)
            self.lease()
            for lease in [lease for session, lease in self.live.values() if session == key]:
                self.apply(self.ledger.complete(key, [Hashed(lease, "h", 0.1)], self.now))
            self.store(1)
        raise AssertionError("some job never finishes")


LedgerMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestLedger = LedgerMachine.TestCase
