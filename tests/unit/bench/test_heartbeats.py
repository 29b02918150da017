import pytest

from bench.heartbeats import late_gaps


def test_lateness_is_what_a_gap_has_more_than_the_interval():
    assert late_gaps([0.0, 0.1, 0.25, 0.3], 0.1) == [0.0, pytest.approx(0), pytest.approx(50)]
