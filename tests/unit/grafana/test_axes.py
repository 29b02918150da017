"""Marks of an axis are round and cover what is shown; values are written as people read them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grafana.axes import ticks, time_ticks, unit_ticks, whole_ticks, written


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.8, "percentunit", "80 %"),
        (0.425, "percentunit", "42.5 %"),
        (0.0005, "s", "0.5 ms"),
        (1.82, "s", "1.82 s"),
        (90, "s", "1.5 min"),
        (31_536_000, "s", "365 d"),
        (0, "s", "0 s"),
        (2_805_752, "bytes", "2.68 MiB"),
        (5_300_000, "Bps", "5.3 MB/s"),
        (0.09, "h", "5.4 min"),
        (3.2, "suffix: jobs/s", "3.2 jobs/s"),
        (1234567, "none", "1,234,567"),
        (3.6, "reqps", "3.6 req/s"),
        (math.nan, "s", "-"),
    ],
)
def test_values_are_written_in_their_unit(value, unit, text):
    assert written(value, unit) == text


def test_decimals_are_kept_when_they_are_asked_for():
    assert written(2, "suffix: domains", 2) == "2.00 domains"
    assert written(0.4249, "percentunit", 0) == "42 %"


@given(low=st.floats(-1e9, 1e9), size=st.floats(1e-3, 1e9), most=st.integers(2, 8))
def test_marks_cover_the_range_and_are_few(low, size, most):
    found = ticks(low, low + size, most)
    step = found[1] - found[0]
    assert found[0] <= low + step * 1e-3
    assert found[-1] >= low + size - step * 1e-3
    assert 2 <= len(found) <= most + 3


@given(high=st.floats(0, 1e6), most=st.integers(2, 8))
def test_what_is_counted_has_whole_marks(high, most):
    found = whole_ticks(0, high, most)
    assert found[-1] >= high
    assert all(one == int(one) for one in found)


def test_bytes_and_durations_are_marked_in_what_they_are_written_in():
    assert unit_ticks(0, 3 * 2**20, "bytes", 3) == [0, 2**20, 2 * 2**20, 3 * 2**20]
    assert unit_ticks(0, 240, "s", 4) == [0, 60, 120, 180, 240]


@given(start=st.integers(0, 2 * 10**9), length=st.integers(5, 10**6))
def test_times_are_round_and_within(start, length):
    found = time_ticks(start, start + length)
    assert all(start <= at <= start + length for at in found)
    assert len(found) <= max(7, length / 86400 + 1)


def test_times_are_round():
    assert time_ticks(1_700_000_003, 1_700_000_183, 4) == [
        1_700_000_040,
        1_700_000_100,
        1_700_000_160,
    ]
