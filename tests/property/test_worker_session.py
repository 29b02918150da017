"""The session machine against a model of a dispatcher that loses connections and messages."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from guest_worker import values
from guest_worker.session import Identity, Session
from guest_worker.values import Assignment, Lease, Outcome

SLOTS, PREFETCH = 2, 3
PROFILES = (values.LEGACY_SHA256,)


class SessionMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        identity = Identity("w", "i", "t", SLOTS, "0", "", PROFILES)
        self.session = Session(identity, PREFETCH)
        self.now = 0.0
        self.state = "offline"
        self.working: set[Lease] = set()  # started and neither finished nor cancelled
        self.owed: dict[Lease, Outcome] = {}  # finished and not acknowledged
        self.offered: set[Lease] = set()  # sent on the present stream
        self.credit = 0
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

    @precondition(lambda self: not self.is_gone and self.state == "open" and self.credit)
    @rule(data=st.data(), is_known=st.booleans())
    def assign(self, data: st.DataObject, is_known: bool) -> None:
        jobs = []
        for _ in range(data.draw(st.integers(1, self.credit))):
            self.serial += 1
            profile = values.LEGACY_SHA256 if is_known else "number 9"
            jobs.append(Assignment(Lease(self.serial, 1), profile, b"n"))
        self.credit -= len(jobs)
        self.obey(self.session.receive(values.Jobs(tuple(jobs)), self.now))

    @precondition(lambda self: not self.is_gone and self.state == "open" and self.working)
    @rule(data=st.data())
    def lease_again(self, data: st.DataObject) -> None:
        """The dispatcher gives the same job under a newer lease: the older work is void."""
        old = data.draw(st.sampled_from(sorted(self.working)))
        new = Lease(old.key, old.epoch + 1)
        if self.credit:
            self.credit -= 1
            again = Assignment(new, values.LEGACY_SHA256, b"n")
            self.obey(self.session.receive(values.Jobs((again,)), self.now))
            assert old not in self.working

    @precondition(lambda self: not self.is_gone and self.working)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        done = data.draw(st.lists(st.sampled_from(sorted(self.working)), min_size=1, unique=True))
        outcomes = [Outcome(lease, f"hash of {lease}", 0.1) for lease in done]
        self.working.difference_update(done)
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
        assert self.credit + len(self.working) <= SLOTS + PREFETCH

    @invariant()
    def an_open_session_with_free_slots_has_asked_for_work(self) -> None:
        may_ask = not (self.is_draining or self.session.is_leaving or self.is_gone)
        if self.state == "open" and may_ask:
            assert self.credit + len(self.working) >= SLOTS


SessionMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestSession = SessionMachine.TestCase
