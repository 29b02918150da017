import pytest

from scaler.readings import Empty, Known
from scaler.reasons import Reason
from scaler.saturation import Saturation, SaturationSettings, observe, withhold
from scaler.stabilization import Stabilised

SETTINGS = SaturationSettings(settle_seconds=30.0, retry_seconds=300.0)


class Story:
    """Turns of one second; the pool has as many ready domains as the test says."""

    def __init__(self, make):
        self.make, self.memory, self.now = make, Saturation(), 0.0

    def live(self, seconds, ready, throughput=10.0, pressure=0.5):
        self.pool = self.make.pool(*(self.make.view(f"d{n}", "ready") for n in range(ready)))
        for _ in range(seconds):
            self.now += 1.0
            readings = [None if one is None else Known(one, 1.0) for one in (pressure, throughput)]
            self.memory = observe(SETTINGS, self.memory, self.pool, *readings, self.now)

    def desired(self, wanted, least=1):
        return withhold(self.memory, Stabilised(wanted, wanted, (), True), self.pool, least)


@pytest.fixture
def story(make):
    return Story(make)


def test_a_scale_out_without_gain_under_pressure_is_the_last(story):
    story.live(20, ready=2)
    story.live(30, ready=3, throughput=10.5)
    assert story.desired(4).desired == 4
    story.live(1, ready=3, throughput=10.5)
    stabilised = story.desired(4)
    assert stabilised.desired == 3
    assert [step.reason for step in stabilised.steps] == [Reason.HOST_SATURATED]


@pytest.mark.parametrize(
    ("throughput", "pressure"), [(14.0, 0.5), (10.0, 0.1), (None, 0.5), (10.0, None)]
)
def test_gain_calm_or_not_knowing_withholds_nothing(story, throughput, pressure):
    story.live(20, ready=2)
    story.live(60, ready=3, throughput=throughput, pressure=pressure)
    assert story.desired(4).desired == 4


def test_two_scale_outs_in_a_row_are_judged_together(story):
    story.live(20, ready=2)
    story.live(10, ready=3)
    story.live(40, ready=4, throughput=13.0)
    # Twice the domains, 30 % more done: worth it, by the least gain of a quarter.
    assert story.desired(5).desired == 5


def test_a_lost_domain_is_replaced(story):
    story.live(20, ready=2)
    story.live(40, ready=3)
    story.live(5, ready=2)
    assert story.desired(4).desired == 3


def test_the_minimum_and_scaling_in_are_not_touched(story):
    story.live(20, ready=2)
    story.live(40, ready=3)
    assert story.desired(5, least=4).desired == 4
    assert story.desired(1).desired == 1


@pytest.mark.parametrize(("seconds", "pressure"), [(1, 0.1), (1, None), (301, 0.5)])
def test_it_ends_with_the_pressure_the_signal_or_the_time(story, seconds, pressure):
    story.live(20, ready=2)
    story.live(40, ready=3)
    assert story.desired(4).desired == 3
    story.live(seconds, ready=3, pressure=pressure)
    assert story.desired(4).desired == 4


def test_the_first_domain_is_never_judged(story):
    story.live(20, ready=0, throughput=0.0)
    story.live(60, ready=1)
    assert story.desired(2).desired == 2


def test_an_empty_answer_is_not_pressure(make):
    pool = make.pool(make.view("a", "ready"))
    memory = observe(SETTINGS, Saturation(), pool, Empty(), Known(1.0, 1.0), 0.0)
    assert memory.withheld is None
