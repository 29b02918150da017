import pytest

from scaler.breaker import Breaker, BreakerSettings

SETTINGS = BreakerSettings(threshold=2, first_backoff_seconds=30.0, max_backoff_seconds=200.0)


def after(failures):
    breaker = Breaker()
    for _ in range(failures):
        breaker = breaker.failed(SETTINGS, now=100.0)
    return breaker


@pytest.mark.parametrize(
    ("failures", "backoff"), [(2, 30.0), (3, 60.0), (4, 120.0), (5, 200.0), (500, 200.0)]
)
def test_each_failure_doubles_the_back_off_up_to_the_longest(failures, backoff):
    assert after(failures) == Breaker(failures, 100.0 + backoff)


def test_a_first_failure_costs_nothing():
    assert not after(1).is_open(100.0)
    assert not after(1).is_probing


def test_opens_for_the_back_off_and_then_probes():
    breaker = after(2)
    assert breaker.is_open(129.9)
    assert not breaker.is_open(130.0)
    assert breaker.is_probing


def test_a_good_boot_forgets_the_failures():
    assert after(4).succeeded() == Breaker()
