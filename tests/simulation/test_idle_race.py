"""The race "is it idle? yes - a job is assigned - the machine is stopped", in every order."""

import itertools
import random

from dispatcher import effects
from dispatcher.backlog import Unfinished
from dispatcher.jobs import Hashed, JobKey, Profile
from dispatcher.leases import Terms
from dispatcher.ledger import Ledger
from dispatcher.sessions import Hello, SessionKey

LEGACY = Profile.LEGACY_SHA256
HISTORY = ("credit", "submit", "lease", "lease", "finish", "finish", "is_idle", "stop", "reconnect")
TERMS = Terms(lease_ttl=10.0, reconnect_grace=1.0)


class Race:
    """One worker, one client, one scaler that stops the machine when the cordon is granted."""

    def __init__(self, ledger, now=0.0):
        self.ledger = ledger
        self.now = now
        self.session = SessionKey(1)
        self.jobs = ledger.counts.accepted
        self.held = {}
        self.answer = None
        self.is_stopped = False

    def apply(self, found):
        for effect in found:
            if isinstance(effect, effects.Grant):
                assert self.answer is None or not self.answer.is_granted, (
                    "a job was assigned after the worker had been called idle"
                )
                self.held.update({lease.key: lease for lease in effect.leases})
            elif isinstance(effect, effects.Requeued):
                for key in effect.keys:
                    self.held.pop(key, None)
            elif isinstance(effect, effects.Welcome):
                for lease in effect.kept:
                    assert self.answer is None or not self.answer.is_granted
                    self.held[lease.key] = lease

    def hello(self, *held):
        self.session = SessionKey(self.session + 1)
        self.apply(
            self.ledger.hello(self.session, Hello("w1", "a", 2, frozenset(Profile), held), self.now)
        )

    # Each of these is one event that the dispatcher may take before or after any other.

    def submit(self):
        self.ledger.submit(JobKey(self.jobs + 1), [LEGACY], self.now)
        self.jobs += 1

    def lease(self):
        self.apply(self.ledger.lease(self.now))

    def credit(self):
        self.ledger.credit(self.session, 1, self.now)

    def finish(self):
        """The oldest job's result arrives and is stored."""
        if self.held and not self.is_stopped:
            key, lease = next(iter(self.held.items()))
            done = self.ledger.complete(self.session, [Hashed(lease, "h", 0.1)], self.now)
            settles = [each for each in done if isinstance(each, effects.Settle)]
            finals = [final for each in settles for final in each.finals]
            self.apply(done)
            self.ledger.settled([(final.key, 3) for final in finals])
            del self.held[key]

    def reconnect(self):
        if not self.is_stopped:
            self.ledger.parted(self.session, self.now)
            self.hello(*self.held.values())

    def is_idle(self):
        if self.answer is None or not self.answer.is_granted:
            self.answer = self.ledger.cordon("w1", "scale in", 0)
            assert self.answer.is_granted == (not self.held) or not self.answer.is_granted

    def stop(self):
        """What the scaler does with the answer."""
        if self.answer is not None and self.answer.is_granted and not self.is_stopped:
            assert not self.held, "the machine was stopped with a job on it"
            self.is_stopped = True
            self.apply(self.ledger.parted(self.session, self.now))


def test_no_order_of_events_stops_a_machine_that_has_a_job():
    events = ("credit", "submit", "lease", "finish", "is_idle", "stop", "reconnect")
    granted = refused = 0
    for order in itertools.permutations(events):
        race = Race(Ledger(TERMS))
        race.hello()
        for name in order:
            getattr(race, name)()
        granted += race.answer.is_granted
        refused += not race.answer.is_granted
    assert granted > 1000
    assert refused > 200


def test_nor_does_any_longer_history():
    stopped = 0
    for seed in range(4000):
        dice = random.Random(seed)
        race = Race(Ledger(TERMS))
        race.hello()
        for _ in range(25):
            race.now += dice.choice((0.0, 0.1))
            name = dice.choice(HISTORY)
            try:
                getattr(race, name)()
            except AssertionError as error:
                raise AssertionError(f"seed {seed}: {error}") from error
        stopped += race.is_stopped
    assert stopped > 1000


def test_nor_when_the_dispatcher_has_just_restarted():
    """The worker runs a job of which the new dispatcher does not know yet."""
    for order in itertools.permutations(("hello", "is_idle", "stop", "lease", "finish")):
        unfinished = [Unfinished(JobKey(1), LEGACY, 0.0, 0)]
        ledger = Ledger(
            TERMS, first_epoch=100, unfinished=unfinished, absent=["w1"], absent_until=5.0
        )
        race = Race(ledger)
        running = Race(Ledger(TERMS))
        running.hello()
        running.credit()
        running.submit()
        running.lease()
        (lease,) = running.held.values()
        for name in order:
            if name == "hello":
                race.hello(lease)
                assert lease.key in race.held
            elif name == "stop" and race.answer is not None and race.answer.is_granted:
                assert ledger.counts.unfinished == 0, "stopped in the middle of a job"
            else:
                getattr(race, name)()
