"""The session machine against a model of a dispatcher that loses connections and messages."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from guest_worker import values
from guest_worker.room import MAX_WAITING
from guest_worker.session import Identity, Session
from guest_worker.values import Assignment, Lease, Outcome

SLOTS, PREFETCH = 2, 3
SMALL = 2 * SLOTS
PROFILES = (values.LEGACY_SHA256,)
HEAVY = values.Busy(60.0)


class SessionMachine(RuleBasedStateMachine):
    prefetch: int | None = PREFETCH

    def __init__(self) -> None:
        super().__init__()
        identity = Identity("w", "i", "t", SLOTS, "0", "", PROFILES)
        self.session = Session(identity, self.prefetch)
        self.now = 0.0
        self.state = "offline"
        self.working: set[Lease] = set()  # started and neither finished nor cancelled
        self.owed: dict[Lease, Outcome] = {}  # finished and not acknowledged
        self.offered: set[Lease] = set()  # sent on the present stream
        self.credit = 0
        self.heavy: set[Lease] = set()  # of those started
        self.released: list[Lease] = []
        self.is_draining = False
        self.is_gone = False
        self.serial = 0

    def obey(self, outputs: list[values.Output]) -> None:
        for output in outputs:
            if isinstance(output, values.Start):
                for assignment in output.assignments:
                    assert assignment.lease not in self.working
                    self.working.add(assignment.lease)
            elif isinstance(output, values.Cancel):
                for lease in output.leases:
                    self.working.remove(lease)
                    self.heavy.discard(lease)
            elif isinstance(output, values.Exit):
                self.is_gone = True
            elif isinstance(output, values.Reconnect):
                assert self.state == "hello"
            else:
                self.sent(output)

    def sent(self, message: values.MessageUp) -> None:
        if isinstance(message, values.Hello):
            assert set(message.held) == self.working | set(self.owed)
            assert len(set(message.held)) == len(message.held)
            return
        assert self.state == "open", f"{message!r} before Welcome"
        if isinstance(message, values.Credit):
            assert message.jobs > 0
            assert not self.is_draining
            assert not self.session.is_leaving
            self.credit += message.jobs
        elif isinstance(message, values.Release):
            assert self.prefetch is None
            assert self.heavy, "room is made for nothing"
            assert message.leases or message.credit
            self.credit -= message.credit
            self.released += message.leases
        elif isinstance(message, values.Results):
            for outcome in message.outcomes:
                if isinstance(outcome.result, values.Refusal):
                    self.owed[outcome.lease] = outcome
                assert self.owed[outcome.lease] == outcome
                self.offered.add(outcome.lease)
        elif isinstance(message, values.Heartbeat):
            assert set(message.held) == self.working | set(self.owed)
            assert message.busy_slots <= SLOTS
        elif isinstance(message, values.Goodbye):
            assert self.session.is_leaving

    @precondition(lambda self: not self.is_gone)
    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.obey(self.session.tick(self.now))

    @precondition(lambda self: not self.is_gone and self.state == "offline")
    @rule()
    def connect(self) -> None:
        self.state = "hello"
        self.offered.clear()
        self.obey(self.session.connected(self.now, None))

    @precondition(lambda self: not self.is_gone and self.state == "hello")
    @rule(data=st.data())
    def welcome(self, data: st.DataObject) -> None:
        self.state = "open"
        held = sorted(self.working | set(self.owed))
        kept = tuple(lease for lease in held if data.draw(st.booleans()))
        self.obey(self.session.receive(values.Welcome("s", 1.0, 10.0, kept, False), self.now))
        assert self.working <= set(kept)
        assert set(self.owed) <= self.offered

    @precondition(lambda self: not self.is_gone and self.state != "offline")
    @rule()
    def lose_the_stream(self) -> None:
        self.state, self.credit, self.is_draining = "offline", 0, False
        self.obey(self.session.disconnected())

    def has_work(self) -> bool:
        """Whether the dispatcher could send jobs."""
        return not self.is_gone and self.state == "open" and self.credit > 0

    @precondition(has_work)
    @rule(data=st.data(), is_known=st.booleans(), heavy=st.sampled_from(["no", "some", "all"]))
    def assign(self, data: st.DataObject, is_known: bool, heavy: str) -> None:
        profile = values.LEGACY_SHA256 if is_known else "number 9"
        jobs = []
        for place in range(data.draw(st.integers(1, self.credit))):
            self.serial += 1
            load = HEAVY if heavy == "all" or (heavy == "some" and place % 2) else None
            jobs.append(Assignment(Lease(self.serial, 1), profile, b"n", load=load))
        self.arrive(jobs)

    def arrive(self, jobs: list[Assignment]) -> None:
        """Jobs that were sent against credit, or before the dispatcher heard that it is less."""
        self.credit -= len(jobs)
        before = set(self.working)
        self.released.clear()
        is_leaving = self.session.is_leaving
        self.heavy |= {job.lease for job in jobs if not job.is_light}
        self.obey(self.session.receive(values.Jobs(tuple(jobs)), self.now))
        self.heavy &= self.working
        started = self.working - before
        known = {job.lease for job in jobs if job.profile in PROFILES}
        if not is_leaving:
            assert started | set(self.released) == known - before
        assert not started & set(self.released), "given back and begun"
        if self.prefetch is None:
            assert len(self.heavy) <= SMALL, "heavy jobs wait that another could do"

    @precondition(lambda self: self.has_work() and self.prefetch is None)
    @rule(jobs=st.integers(1, 5), is_heavy=st.booleans())
    def assign_what_was_under_way(self, jobs: int, is_heavy: bool) -> None:
        """Heavy work takes credit back; jobs that were sent just before arrive all the same."""
        first = [self.job(HEAVY)]
        late = [self.job(HEAVY if is_heavy else None) for _ in range(min(jobs, self.credit - 1))]
        self.arrive(first)
        if late and not self.is_gone:
            self.arrive(late)

    def job(self, load: values.Load) -> Assignment:
        self.serial += 1
        return Assignment(Lease(self.serial, 1), values.LEGACY_SHA256, b"n", load=load)

    @precondition(lambda self: not self.is_gone and self.state == "open" and self.working)
    @rule(data=st.data())
    def lease_again(self, data: st.DataObject) -> None:
        """The dispatcher gives the same job under a newer lease: the older work is void."""
        old = data.draw(st.sampled_from(sorted(self.working)))
        new = Lease(old.key, old.epoch + 1)
        if self.credit > 0:
            load = HEAVY if old in self.heavy else None
            self.arrive([Assignment(new, values.LEGACY_SHA256, b"n", load=load)])
            assert old not in self.working

    @precondition(lambda self: not self.is_gone and self.working)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        done = data.draw(st.lists(st.sampled_from(sorted(self.working)), min_size=1, unique=True))
        outcomes = [Outcome(lease, f"hash of {lease}", 2e-5) for lease in done]
        self.working.difference_update(done)
        self.heavy.difference_update(done)
        self.owed.update((outcome.lease, outcome) for outcome in outcomes)
        self.obey(self.session.finished(outcomes))
        if self.state == "open":
            assert set(self.owed) <= self.offered

    @rule()
    def finish_what_nobody_wants(self) -> None:
        before = self.session.held
        self.obey(self.session.finished([Outcome(Lease(10**9, 1), "hash", 0.1)]))
        assert self.session.held == before

    @precondition(lambda self: not self.is_gone and self.state == "open" and self.owed)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(sorted(self.owed)))
        del self.owed[lease]
        self.obey(self.session.receive(values.ResultAcks((lease,)), self.now))

    @precondition(lambda self: not self.is_gone and self.state == "open")
    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        leases = sorted(self.working | set(self.owed)) or [Lease(10**9, 1)]
        revoked = data.draw(st.lists(st.sampled_from(leases), unique=True))
        self.obey(self.session.receive(values.LeasesRevoked(tuple(revoked)), self.now))
        assert not self.working & set(revoked)

    @precondition(lambda self: not self.is_gone and self.state == "open")
    @rule(on=st.booleans())
    def drain(self, on: bool) -> None:
        self.is_draining = on
        order = values.Drain() if on else values.DrainCancelled()
        self.obey(self.session.receive(order, self.now))

    @precondition(lambda self: not self.is_gone)
    @rule(chance=st.integers(0, 9))
    def leave(self, chance: int) -> None:
        if chance == 0:
            self.obey(self.session.leave("test", self.now))
            assert not self.working

    @precondition(lambda self: not self.is_gone and self.state == "open")
    @rule()
    def acknowledge_goodbye(self) -> None:
        self.obey(self.session.receive(values.GoodbyeAck(), self.now))

    @invariant()
    def nothing_unacknowledged_is_forgotten(self) -> None:
        assert set(self.session.unacknowledged) == set(self.owed)
        assert set(self.session.held) == self.working | set(self.owed)

    @invariant()
    def credit_is_bounded(self) -> None:
        assert self.session.credit == self.credit
        if self.prefetch is not None:
            assert 0 <= self.credit <= SLOTS + self.prefetch - len(self.working)
            return
        held = self.credit + len(self.working)
        assert held <= SLOTS + SLOTS * MAX_WAITING
        if self.heavy and self.credit > 0:
            assert held <= SMALL, "more heavy jobs may come"

    @invariant()
    def an_open_session_with_free_slots_has_asked_for_work(self) -> None:
        may_ask = not (self.is_draining or self.session.is_leaving or self.is_gone)
        if self.state == "open" and may_ask:
            assert self.credit + len(self.working) >= SLOTS


class FittingMachine(SessionMachine):
    """The same without a fixed prefetch: light jobs let the credit grow, heavy ones end that."""

    prefetch = None

    @precondition(lambda self: self.has_work() and not self.heavy)
    @rule()
    def do_many_light_jobs(self) -> None:
        for _ in range(200):
            if not self.has_work() or self.session.is_leaving:
                return
            job = self.job(None)
            self.arrive([job])
            outcome = Outcome(job.lease, "hash", 2e-5)
            self.working.remove(job.lease)
            self.owed[job.lease] = outcome
            self.obey(self.session.finished([outcome]))
            del self.owed[job.lease]
            self.obey(self.session.receive(values.ResultAcks((job.lease,)), self.now))


SessionMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
FittingMachine.TestCase.settings = SessionMachine.TestCase.settings
TestSession = SessionMachine.TestCase
TestFittingSession = FittingMachine.TestCase
