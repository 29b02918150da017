"""The back-off counts causes, not victims."""

from hypothesis import given, settings
from hypothesis import strategies as st

from scaler.breaker import Breaker, BreakerSettings

SETTINGS = BreakerSettings(threshold=2, first_backoff_seconds=30.0, max_backoff_seconds=1800.0)
RELAXED = settings(max_examples=200, deadline=None)


@st.composite
def decisions(draw):
    """Per decision: when it began its starts, and when each of them was known to have failed.

    Each decision comes after all of the one before have failed, as behind a breaker that is open.
    """
    now, found = 0.0, []
    for _ in range(draw(st.integers(1, 6))):
        begun = now + draw(st.floats(0.1, 5000))
        ends = sorted(begun + draw(st.floats(0.1, 60)) for _ in range(draw(st.integers(1, 5))))
        found.append((begun, ends))
        now = ends[-1]
    return found


@RELAXED
@given(decisions())
def test_a_decision_raises_the_back_off_at_most_one_step(history):
    breaker, failures = Breaker(), 0
    for begun, ends in history:
        before = breaker
        for now in ends:
            breaker = breaker.failed(SETTINGS, now, begun)
            failures += 1
            # From the second failure in a row on it is open, however they came.
            assert breaker.is_open(now) == (failures >= SETTINGS.threshold)
        assert breaker.failures == failures
        assert breaker.raises - before.raises == (1 if breaker.is_open(ends[-1]) else 0)
    if breaker.open_until is not None:
        longest = SETTINGS.first_backoff_seconds * 2 ** (breaker.raises - 1)
        assert abs(breaker.open_until - now - min(longest, 1800.0)) < 1e-6
