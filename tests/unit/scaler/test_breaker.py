import pytest

from scaler.breaker import Breaker, BreakerSettings

SETTINGS = BreakerSettings(threshold=2, first_backoff_seconds=30.0, max_backoff_seconds=200.0)


def after(failures):
    """Each was begun after the one before had failed."""
    breaker = Breaker()
    for number in range(failures):
        breaker = breaker.failed(SETTINGS, now=100.0 + number, begun_at=99.5 + number)
    return breaker


def backoff(breaker, now):
    return breaker.open_until - now


@pytest.mark.parametrize(
    ("failures", "seconds"), [(2, 30.0), (3, 60.0), (4, 120.0), (5, 200.0), (500, 200.0)]
)
def test_each_failure_doubles_the_back_off_up_to_the_longest(failures, seconds):
    breaker = after(failures)
    assert breaker.failures == failures
    assert backoff(breaker, 99.0 + failures) == seconds


def test_a_first_failure_costs_nothing():
    assert not after(1).is_open(100.0)
    assert not after(1).is_probing
    assert after(1).allowed(5, 100.0) is None


def test_opens_for_the_back_off_and_then_probes():
    breaker = after(2)
    assert breaker.is_open(130.9)
    assert breaker.allowed(0, 130.9) == 0
    assert not breaker.is_open(131.0)
    assert breaker.is_probing
    assert [breaker.allowed(under_way, 131.0) for under_way in (0, 1, 2)] == [1, 0, 0]


def test_a_success_forgets_the_failures():
    assert after(4).succeeded() == Breaker()


def test_failures_of_one_decision_raise_the_back_off_once_and_renew_the_pause():
    breaker = Breaker()
    for now in (10.0, 10.1, 10.2, 60.0):
        breaker = breaker.failed(SETTINGS, now, begun_at=5.0)
    assert (breaker.failures, backoff(breaker, 60.0)) == (4, 30.0)


def test_what_was_begun_before_the_first_raise_raises_nothing():
    """A boot that was begun later than another, but before that one was known to have failed."""
    breaker = Breaker()
    for begun, now in ((0.0, 60.0), (1.0, 61.0), (30.0, 90.0)):
        breaker = breaker.failed(SETTINGS, now, begun)
    assert backoff(breaker, 90.0) == 30.0
    # A probe is news.
    assert backoff(breaker.failed(SETTINGS, 200.0, begun_at=140.0), 200.0) == 60.0


def test_one_of_which_the_beginning_is_not_known_counts_as_news():
    breaker = after(2).failed(SETTINGS, 140.0)
    assert backoff(breaker, 140.0) == 60.0
