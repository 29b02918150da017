"""Counters and histograms as they were scraped."""

import math

import pytest

from scaler.report import samples
from scaler.report.samples import Buckets, Histogram, Series

INF = math.inf


def test_a_counter_that_falls_began_anew():
    points = [(0.0, 100.0), (1.0, 103.0), (2.0, 2.0), (3.0, 5.0)]
    assert samples.grown(points) == ((0.0, 0.0), (1.0, 3.0), (2.0, 5.0), (3.0, 8.0))
    assert samples.increase(points) == 8
    assert samples.increase(points[:1]) is None
    assert samples.increase(()) is None


def test_growth_between_two_moments_is_known_only_within_the_points():
    growth = [(10.0, 0.0), (20.0, 10.0), (30.0, 10.0)]
    assert samples.grown_between(growth, 15.0, 25.0) == 5
    assert samples.grown_between(growth, 10.0, 30.0) == 10
    assert samples.grown_between(growth, 9.0, 30.0) is None
    assert samples.grown_between(growth, 10.0, 31.0) is None
    assert samples.rate(growth, 15.0, 10.0) == 1.0
    assert samples.rate(growth, 10.0, 20.0) == 1.0, "half of the window is enough"
    assert samples.rate(growth, 2.0, 20.0) is None
    assert samples.rate((), 2.0, 20.0) is None


def test_a_silence_parts_pieces_and_is_not_known():
    points = [(0.0, 1.0), (1.0, 1.0), (9.0, 2.0)]
    assert samples.pieces(points, 3.0) == [points[:2], points[2:]]
    steps = samples.steps(points, 3.0)
    assert [steps.at(moment) for moment in (0.0, 1.9, 2.0, 8.0, 9.0)] == [1, 1, None, None, None]


def test_quantiles_are_those_of_prometheus():
    found = Buckets((1.0, 2.0, 4.0, INF), (10.0, 20.0, 10.0, 0.0))
    assert found.quantile(0.25) == 1.0
    assert found.quantile(0.5) == 1.5
    assert found.quantile(1.0) == 4.0
    assert Buckets((1.0, INF), (0.0, 3.0)).quantile(0.5) == 1.0, "its last finite bound"
    assert Buckets((1.0, INF), (0.0, 0.0)).quantile(0.5) is None


def series(le, *values):
    return Series({"le": le}, tuple((float(at), value) for at, value in enumerate(values)))


def test_a_histogram_tells_what_was_counted_between_two_moments():
    found = Histogram([series("+Inf", 5, 9, 11), series("1", 5, 6, 7), series("nonsense", 1)])
    assert found.bounds == (1.0, INF)
    whole = found.whole()
    assert whole is not None
    assert (whole.counts, whole.total) == ((2, 4), 6)
    between = found.between(0.5, 1.0)
    assert between is not None
    assert between.counts == pytest.approx((0.5, 1.5), rel=1e-9)
    assert found.between(1.0, 3.0) is None
    assert found.known(3.0) == [(0.0, 2.0)]


def test_all_buckets_begin_anew_with_one_that_fell():
    """The killed process had counted 3, 5, 5; the next one has 3, 4, 6 by its first scrape."""
    found = Histogram([series("1", 0, 3, 3), series("2", 0, 5, 4), series("+Inf", 0, 5, 6)]).whole()
    assert found is not None
    assert found.counts == (6, 3, 2)


def test_a_histogram_without_samples_knows_nothing():
    empty = Histogram([])
    assert (empty.whole(), empty.known(3.0), empty.between(0.0, 1.0)) == (None, [], None)
    assert Histogram([series("1", 5)]).whole() is None
