import math

import pytest
from virtscale.client.errors import DispatcherError, InvalidRequestError, error_of
from virtscale.client.retries import FOREVER, ONCE, Backoff, RetryPolicy

AWAY = DispatcherError("UNAVAILABLE", "away")
POLICY = RetryPolicy(
    deadline_seconds=10.0, attempt_seconds=4.0, first_pause_seconds=0.1, longest_pause_seconds=1.0
)


def test_pauses_grow_to_a_limit_and_are_spread_over_their_whole_length():
    longest = Backoff(POLICY, lambda: 0.999999, 0.0)
    pauses = [longest.pause_seconds(AWAY, 0.0) for _ in range(6)]
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0], rel=1e-3)
    shortest = Backoff(POLICY, lambda: 0.0, 0.0)
    assert [shortest.pause_seconds(AWAY, 0.0) for _ in range(3)] == [0.0, 0.0, 0.0]


def test_the_dispatchers_wish_is_the_least():
    later = DispatcherError("RESOURCE_EXHAUSTED", "full", retry_seconds=2.5)
    assert Backoff(POLICY, lambda: 0.0, 0.0).pause_seconds(later, 0.0) == 2.5
    assert Backoff(POLICY, lambda: 0.5, 0.0).pause_seconds(later, 0.0) == pytest.approx(2.55)


def test_no_attempt_begins_after_the_deadline():
    backoff = Backoff(POLICY, lambda: 0.5, 100.0)
    assert backoff.pause_seconds(AWAY, 109.0) > 0
    with pytest.raises(DispatcherError, match="away"):
        backoff.pause_seconds(AWAY, 109.99)
    later = DispatcherError("RESOURCE_EXHAUSTED", "full", retry_seconds=60.0)
    with pytest.raises(DispatcherError, match="full"):
        Backoff(POLICY, lambda: 0.0, 0.0).pause_seconds(later, 0.0)


def test_an_attempt_does_not_outlast_the_deadline():
    backoff = Backoff(POLICY, lambda: 0.5, 100.0)
    assert backoff.attempt_seconds(100.0) == 4.0
    assert backoff.attempt_seconds(108.5) == 1.5
    assert backoff.attempt_seconds(111.0) > 0


def test_once_is_one_attempt_and_forever_never_ends():
    assert Backoff(ONCE, lambda: 0.0, 5.0).attempt_seconds(5.0) == ONCE.attempt_seconds
    with pytest.raises(DispatcherError):
        Backoff(ONCE, lambda: 0.0, 5.0).pause_seconds(AWAY, 5.0)
    patient = Backoff(FOREVER, lambda: 0.5, 0.0)
    assert all(math.isfinite(patient.pause_seconds(AWAY, 1e9)) for _ in range(2_000))


def test_progress_renews_patience():
    backoff = Backoff(POLICY, lambda: 0.5, 0.0)
    for _ in range(5):
        backoff.pause_seconds(AWAY, 0.0)
    backoff.succeeded(50.0)
    assert backoff.pause_seconds(AWAY, 55.0) == pytest.approx(0.05)


def test_a_refusal_is_not_retried():
    with pytest.raises(InvalidRequestError):
        Backoff(FOREVER, lambda: 0.0, 0.0).pause_seconds(
            InvalidRequestError("INVALID_ARGUMENT", "bad"), 0.0
        )


@pytest.mark.parametrize(
    ("code", "detail", "retry_seconds", "is_retryable"),
    [
        ("RESOURCE_EXHAUSTED", "too many jobs", 1.0, True),
        ("RESOURCE_EXHAUSTED", "Received message larger than max (5 vs. 4)", None, False),
        ("INTERNAL", "Received RST_STREAM with error code 2", None, True),
        ("INTERNAL", "Internal error from Core", None, True),
        ("INTERNAL", "a bug", None, False),
        ("UNKNOWN", "", None, False),
        ("DEADLINE_EXCEEDED", "", None, True),
    ],
)
def test_what_waiting_can_mend(code, detail, retry_seconds, is_retryable):
    error = error_of("h:1", code, detail, retry_seconds=retry_seconds)
    assert error.is_retryable is is_retryable
    assert error.code == code
