"""Colours, dashes and times: small things that a picture rests on."""

import argparse
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grafana.arguments import clock, day, moment, variable
from grafana.canvas import dashed
from grafana.palette import few, heat, named, unnamed


def test_every_picture_makes_do_with_a_palette_of_png():
    assert len(few()) <= 256
    assert (255, 255, 255) in few()


@given(st.floats(-1, 2))
def test_heat_is_a_colour_at_any_share(share):
    assert len(heat(share)) == 7
    int(heat(share)[1:], 16)


def test_series_without_a_colour_get_different_ones():
    assert len({unnamed(place) for place in range(14)}) == 14
    assert named("green") != named("red")
    assert named("no such colour") == named("text")


@given(
    st.lists(st.tuples(st.floats(0, 200), st.floats(0, 200)), min_size=2, max_size=6, unique=True)
)
def test_dashes_begin_with_the_line_and_are_no_longer_than_asked_for(points):
    parts = list(dashed(points, 5, 4))
    assert parts[0][0] == points[0]
    for part in parts:
        steps = itertools.pairwise(part)
        length = sum(((x - u) ** 2 + (y - v) ** 2) ** 0.5 for (x, y), (u, v) in steps)
        assert length <= 5.001


def test_times_are_unix_seconds_or_iso_and_utc_unless_they_say_otherwise():
    assert moment("1795705100.5") == 1795705100.5
    assert moment("2026-11-26T14:58:20") == 1795705100
    assert moment("2026-11-26T15:58:20+01:00") == 1795705100
    assert (day(1795705100), clock(1795705100)) == ("2026-11-26", "14:58:20")
    with pytest.raises(argparse.ArgumentTypeError, match="'yesterday' is no time; write Unix"):
        moment("yesterday")


def test_a_variable_has_a_name_and_a_value():
    assert variable("pool=blue=1") == ("pool", "blue=1")
    for wrong in ("pool", "=blue", "pool=", "a b=c"):
        with pytest.raises(argparse.ArgumentTypeError, match="write NAME=VALUE"):
            variable(wrong)
