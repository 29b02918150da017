"""The ready queue against a sorted list."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dispatcher.jobs import JobKey, Profile
from dispatcher.ready import Facts, ReadyQueue, runs_of

PROFILES = st.sampled_from(Profile)


class ReadyMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.queue = ReadyQueue()
        self.model: dict[int, Facts] = {}
        self.last = 0
        self.gone: dict[int, Facts] = {}

    @rule(profiles=st.lists(PROFILES, min_size=1, max_size=8), skip=st.integers(0, 3))
    def arrive(self, profiles: list[Profile], skip: int) -> None:
        first = self.last + 1 + skip
        at = float(first // 7)
        self.queue.extend(runs_of(JobKey(first), profiles, at))
        for place, profile in enumerate(profiles):
            self.model[first + place] = Facts(profile, at)
        self.last = first + len(profiles) - 1

    @rule(profiles=st.frozensets(PROFILES), most=st.integers(1, 6))
    def take(self, profiles: frozenset[Profile], most: int) -> None:
        wanted = [key for key in sorted(self.model) if self.model[key].profile in profiles]
        run = self.queue.take(profiles, most)
        if not wanted:
            assert run is None
            return
        assert run is not None
        assert 1 <= run.size <= most
        assert list(range(run.first, run.first + run.size)) == wanted[: run.size]
        for key in wanted[: run.size]:
            assert self.model[key] == run.facts
            self.gone[key] = self.model.pop(key)

    @rule(place=st.integers(0, 100))
    def discard(self, place: int) -> None:
        key = place % (self.last + 2)
        facts = self.queue.discard(JobKey(key))
        assert facts == self.model.pop(key, None)
        if facts is not None:
            self.gone[key] = facts

    @rule(place=st.integers(0, 100), most=st.integers(1, 4))
    def come_back(self, place: int, most: int) -> None:
        """Any that has left, in any order."""
        keys = sorted(self.gone, key=lambda key: (key * 7919 + place) % 101)[:most]
        self.queue.insert([(JobKey(key), self.gone[key]) for key in keys])
        for key in keys:
            self.model[key] = self.gone.pop(key)

    @invariant()
    def they_agree(self) -> None:
        assert len(self.queue) == len(self.model)
        for key in range(self.last + 2):
            assert (JobKey(key) in self.queue) == (key in self.model)
        heads: dict[Profile, float] = {}
        for key in sorted(self.model):
            heads.setdefault(self.model[key].profile, self.model[key].accepted_at)
        assert self.queue.oldest() == min(heads.values(), default=None)


ReadyMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestReady = ReadyMachine.TestCase
