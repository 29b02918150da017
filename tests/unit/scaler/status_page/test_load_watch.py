import pytest

from scaler.status_page.load import Backlog, Figures, History, LoadError, grid, points
from scaler.status_page.load_watch import LoadWatch

BACKLOG = Backlog(1, 2, 3, 0, None)


class World:
    """Sources that count how often they are asked."""

    def __init__(self, domains=1):
        self.now = 0.0
        self.asked = {"figures": 0, "history": 0, "backlog": 0}
        self.fault = ""
        self.domains = domains
        self.watch = LoadWatch(
            self, self.backlog, monotonic=lambda: self.now, wall=lambda: 1_000_000.0 + self.now
        )

    def _answer(self, what, answer):
        self.asked[what] += 1
        if self.fault:
            raise LoadError(self.fault)
        return answer

    def backlog(self):
        return self._answer("backlog", BACKLOG)

    def figures(self):
        return self._answer("figures", Figures({str(one): 0.5 for one in range(self.domains)}))

    def history(self, now):
        return self._answer("history", History({"now": (now,)}))


@pytest.fixture
def world():
    return World()


def test_before_anybody_looks_nobody_is_asked(world):
    assert world.watch.newest.prometheus_fault == "not asked yet"
    assert world.asked == {"figures": 0, "history": 0, "backlog": 0}


def test_those_who_come_at_once_share_an_answer(world):
    first = world.watch.fresh()
    assert (first.backlog, first.history.cpu) == (BACKLOG, {"now": (1_000_000.0,)})
    world.now = 1.9
    assert world.watch.fresh() is first
    world.now = 2.0
    assert world.watch.fresh() is not first
    assert world.asked == {"figures": 2, "history": 1, "backlog": 2}


def test_history_is_asked_for_seldom(world):
    for moment in range(0, 60, 3):
        world.now = float(moment)
        world.watch.fresh()
    assert (world.asked["figures"], world.asked["history"]) == (20, 4)


def test_many_domains_are_asked_for_less_often():
    world = World(domains=1000)
    for moment in range(0, 60, 3):
        world.now = float(moment)
        world.watch.fresh()
    assert world.asked["figures"] == 10


def test_what_is_not_answered_is_forgotten_and_said(world):
    world.watch.fresh()
    world.fault, world.now = "cannot connect", 3.0
    load = world.watch.fresh()
    assert (load.backlog, load.figures, load.history) == (None, None, None)
    assert load.dispatcher_fault == load.prometheus_fault == "cannot connect"
    world.fault, world.now = "", 6.0
    load = world.watch.fresh()
    assert (load.history is not None, load.prometheus_fault) == (True, "")


def test_points_are_on_whole_steps():
    start, end = grid(1_000_007.3)
    assert (end - start, end % 15, end <= 1_000_007) == (600, 0, True)
    found = points({start: 1.0, end: 2.0, start + 1: 9.0}, start)
    assert (found[0], found[1], found[-1], len(found)) == (1.0, None, 2.0, 41)
