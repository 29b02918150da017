"""One job that kills every worker that starts it: it alone is given up, whatever else happens."""

import itertools

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dispatcher import effects
from dispatcher.jobs import Done, Failed, Final, Hashed, JobKey, JobState, Lease, Profile
from dispatcher.leases import Terms
from dispatcher.ledger import Ledger
from dispatcher.sessions import Hello, SessionKey

WORKERS = ("w1", "w2", "w3")
SLOTS = {"w1": 1, "w2": 2, "w3": 3}
POISON = JobKey(3)


class PoisonMachine(RuleBasedStateMachine):
    """Workers are lost only by the poison; they start their jobs in the order of their grants."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.ledger = Ledger(Terms(lease_ttl=10.0, reconnect_grace=0.0, max_attempts=3))
        self.accepted = 0
        self.last = 0
        self.open: dict[str, SessionKey] = {}
        self.held: dict[str, list[Lease]] = {worker: [] for worker in WORKERS}
        self.pending: dict[JobKey, Final] = {}
        self.final: dict[JobKey, Final] = {}
        self.deaths = 0
        self.submit(4)

    def worker_of(self, session: SessionKey) -> str:
        return next(worker for worker, key in self.open.items() if key == session)

    def apply(self, found: list[effects.Effect]) -> None:
        for effect in found:
            match effect:
                case effects.Grant(session=session, leases=leases):
                    self.held[self.worker_of(session)] += leases
                case effects.Revoke(session=session, leases=leases):
                    held = self.held[self.worker_of(session)]
                    for lease in leases:
                        held.remove(lease)
                case effects.Settle(finals=finals):
                    for final in finals:
                        assert final.key not in self.pending
                        assert final.key not in self.final
                        self.pending[final.key] = final

    def react(self) -> None:
        """Leases what can be leased; every worker that has started the poison dies of it."""
        self.apply(self.ledger.lease(self.now))
        for worker in WORKERS:
            started = self.held[worker][: SLOTS[worker]]
            if any(lease.key == POISON for lease in started):
                self.deaths += 1
                self.end(worker, self.ledger.parted(self.open[worker], self.now))

    def end(self, worker: str, found: list[effects.Effect]) -> None:
        self.held[worker] = []
        del self.open[worker]
        self.apply(found)

    @rule(jobs=st.integers(1, 4))
    def submit(self, jobs: int) -> None:
        self.ledger.submit(JobKey(self.accepted + 1), [Profile.ARGON2ID] * jobs, self.now)
        self.accepted += jobs
        self.react()

    @rule(worker=st.sampled_from(WORKERS), credit=st.integers(0, 6))
    def begin(self, worker: str, credit: int) -> None:
        if worker not in self.open:
            self.last += 1
            key = self.open[worker] = SessionKey(self.last)
            hello = Hello(worker, str(key), SLOTS[worker], frozenset(Profile))
            self.apply(self.ledger.hello(key, hello, self.now))
        self.ledger.credit(self.open[worker], credit, self.now)
        self.react()

    @rule(worker=st.sampled_from(WORKERS), jobs=st.integers(1, 4), is_told=st.booleans())
    def finish(self, worker: str, jobs: int, is_told: bool) -> None:
        """Finishes jobs; when the dispatcher is not told, the poison's start came in between."""
        held = self.held[worker]
        done = list(itertools.takewhile(lambda lease: lease.key != POISON, held[:jobs]))
        if is_told and done:
            self.held[worker] = held[len(done) :]
            outcomes = [Hashed(lease, "h", 0.1) for lease in done]
            self.apply(self.ledger.complete(self.open[worker], outcomes, self.now))
        elif any(lease.key == POISON for lease in held[len(done) :][: SLOTS[worker]]):
            self.deaths += 1
            self.end(worker, self.ledger.parted(self.open[worker], self.now))
        self.react()

    @rule(worker=st.sampled_from(WORKERS), jobs=st.integers(1, 3))
    def release(self, worker: str, jobs: int) -> None:
        """Gives back what it has not started; a credit for each, or none would be left."""
        waiting = self.held[worker][SLOTS[worker] :][-jobs:]
        if waiting:
            self.held[worker] = self.held[worker][: -len(waiting)]
            key = self.open[worker]
            self.apply(self.ledger.release(key, waiting, 0, self.now))
            self.react()

    @rule(worker=st.sampled_from(WORKERS))
    def leave(self, worker: str) -> None:
        if worker in self.open:
            self.end(worker, self.ledger.goodbye(self.open[worker]))
            self.react()

    @rule(worker=st.sampled_from(WORKERS))
    def drain(self, worker: str) -> None:
        self.apply(self.ledger.drain(worker, "test", self.now))
        self.apply(self.ledger.expire(self.now))
        self.react()
        self.apply(self.ledger.uncordon(worker))
        self.react()

    @rule()
    def store(self) -> None:
        states = []
        for key, final in self.pending.items():
            is_done = isinstance(final, Done)
            states.append((key, JobState.DONE if is_done else JobState.FAILED))
        self.final |= self.pending
        self.pending = {}
        self.apply(self.ledger.settled(states))
        self.react()

    @invariant()
    def only_the_poison_is_given_up(self) -> None:
        given_up = {key for key, final in (self.pending | self.final).items() if _is_failed(final)}
        assert given_up <= {POISON}
        assert self.ledger.counts.is_balanced()

    def teardown(self) -> None:
        """With workers that keep coming, the poison is given up and everything else is done."""
        for turn in range(20 * self.accepted + 40):
            if len(self.final) == self.accepted:
                break
            worker = WORKERS[turn % len(WORKERS)]
            self.begin(worker, 4)
            self.finish(worker, 4, is_told=True)
            self.store()
        assert len(self.final) == self.accepted, "some job never ends"
        assert _is_failed(self.final[POISON])
        # Two doubtful deaths, and as many alone as are allowed, are the most it can cost.
        assert self.deaths <= 2 * self.accepted + 3


def _is_failed(final: Final) -> bool:
    return isinstance(final, Failed)


PoisonMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestPoison = PoisonMachine.TestCase
