"""Variables are replaced as Grafana replaces them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grafana.filling import UnfilledError, Window, filled


def test_grafanas_own_variables_are_those_of_the_window():
    window = Window(1000.0, 4600.0, 15, scrape_seconds=1)
    expr = "rate(a[$__rate_interval]) + b[$__range:$__interval] * $__interval_ms / ${__range_s}"
    assert filled(expr, window, {}) == "rate(a[16s]) + b[3600s:15s] * 15000 / 3600"


def test_the_window_of_a_rate_is_four_scrapes_at_least():
    assert Window(0, 60, 1, scrape_seconds=1).values["__rate_interval"] == "4s"
    assert Window(0, 60, 15, scrape_seconds=15).values["__rate_interval"] == "60s"


def test_chosen_values_are_put_in_and_a_name_is_not_a_part_of_a_longer_one():
    assert filled('{a=~"$pool", b="${pools}"}', Window(0, 1, 1), {"pool": "x", "pools": "y"}) == (
        '{a=~"x", b="y"}'
    )


def test_a_variable_without_a_value_is_told():
    with pytest.raises(UnfilledError, match=r"\$pool has no value in up\{pool=\"\$pool\"\}"):
        filled('up{pool="$pool"}', Window(0, 1, 1), {})


@given(length=st.floats(1, 10**8), points=st.integers(1, 5000), scrape=st.integers(1, 60))
def test_a_step_is_never_finer_than_the_points_or_the_scrapes(length, points, scrape):
    window = Window.fitting(0, length, points, scrape)
    assert window.step >= scrape
    assert length / window.step <= points * 1.000001
