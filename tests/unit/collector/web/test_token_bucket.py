from hypothesis import given
from hypothesis import strategies as st

from collector.web.token_bucket import TokenBucket


def test_a_burst_and_then_one_per_interval():
    bucket = TokenBucket(1.0, 3)
    assert [bucket.take(10.0) for _ in range(5)] == [True, True, True, False, False]
    assert bucket.take(11.0)
    assert not bucket.take(11.5)
    assert bucket.take(12.0)


def test_no_more_than_the_burst_is_saved_up():
    bucket = TokenBucket(1.0, 2)
    bucket.take(0.0)
    assert [bucket.take(1000.0) for _ in range(3)] == [True, True, False]


def test_without_an_interval_there_is_no_limit():
    bucket = TokenBucket(0.0, 0)
    assert all(bucket.take(0.0) for _ in range(100))


@given(
    st.floats(0.01, 10),
    st.integers(1, 20),
    st.lists(st.floats(0, 5), min_size=1, max_size=200),
)
def test_never_more_than_burst_and_elapsed_time_allow(interval, burst, gaps):
    bucket, now, taken = TokenBucket(interval, burst), 0.0, 0
    for gap in gaps:
        now += gap
        taken += bucket.take(now)
    assert taken <= burst + now / interval + 1e-6
