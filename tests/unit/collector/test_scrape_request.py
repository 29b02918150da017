import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.exposition import Format
from collector.records import DEFAULT_GROUPS, Group
from collector.scrape_request import (
    RequestError,
    accepts_gzip,
    format_for,
    scrape_request,
    selected,
    timeout,
)

OM, TEXT = Format.OPENMETRICS, Format.TEXT
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/*", TEXT),
        ("text/html, */*;q=0.1", TEXT),
        (PROMETHEUS_2, OM),
        (PROMETHEUS_3, OM),
        ("application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5", TEXT),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", OM),
        ("application/openmetrics-text;version=2.0.0", TEXT),
        ('Application/OpenMetrics-Text; VERSION="1.0.0"', OM),
        ("application/openmetrics-text;q=0.4, text/plain;q=0.6", TEXT),
        ("application/openmetrics-text;q=0, text/plain;q=0.1", TEXT),
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;q=high, text/plain;q=0.1", TEXT),
        ("application/openmetrics-text;q=7, text/plain;q=0.1", TEXT),
        ("application/openmetrics-text;q=nan, text/plain;q=0.1", TEXT),
        ("application/openmetrics-text, text/plain", OM),
        ("text/plain, application/openmetrics-text", TEXT),
        ("text/plain;version=0.0.3, application/openmetrics-text;q=0.1", OM),
        ('application/json;profile="a,b;c=d", application/openmetrics-text;q=0.2', OM),
        ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily", TEXT),
        (";;;,,,", TEXT),
        ('"', TEXT),
        ("a" * 100_000, TEXT),
    ],
)
def test_the_format_with_the_best_quality_wins(accept, expected):
    assert format_for(accept) is expected


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("", False),
        ("gzip", True),
        ("x-gzip", True),
        ("GZIP", True),
        ("deflate, gzip;q=0.8", True),
        ("gzip;q=0", False),
        ("*", True),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("identity", False),
        ("gzip;q=0.2, identity;q=0.9", False),
        ("gzip;q=0.9, identity;q=0.2", True),
        ("br", False),
    ],
)
def test_gzip_is_used_when_it_is_accepted_and_not_liked_less(accepted, expected):
    assert accepts_gzip(accepted) is expected


@given(st.text(max_size=300))
def test_no_header_is_too_odd(text):
    assert format_for(text) in Format
    assert accepts_gzip(text) in (True, False)
    assert 0.1 <= timeout(text, 5.0) <= 5.0


@given(st.floats(0.3, 60), st.floats(allow_nan=True, allow_infinity=True))
def test_the_shorter_of_both_timeouts_holds(longest, header):
    seconds = timeout(str(header), longest)
    assert 0.1 <= seconds <= longest
    if not math.isnan(header) and header > 0.3:
        assert seconds < header


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, 5.0),
        ("1", 0.85),
        ("10", 5.0),
        ("0.01", 0.1),
        ("soon", 5.0),
        ("nan", 5.0),
        ("-3", 0.1),
        ("inf", 5.0),
    ],
)
def test_the_timeout_of_the_scraper_is_kept_with_a_margin(header, expected):
    assert timeout(header, 5.0) == pytest.approx(expected)


def test_without_parameters_everything_that_is_on_is_read():
    assert selected({}, DEFAULT_GROUPS) == DEFAULT_GROUPS
    assert selected({"other": ["x"]}, DEFAULT_GROUPS) == DEFAULT_GROUPS


def test_collect_names_what_is_read_and_exclude_what_is_not():
    assert selected({"collect[]": ["cpu", "state", "cpu"]}, DEFAULT_GROUPS) == {
        Group.CPU,
        Group.STATE,
    }
    assert selected({"exclude[]": ["block"]}, DEFAULT_GROUPS) == DEFAULT_GROUPS - {Group.BLOCK}
    # What is off anyway may be left out by a scraper that does not know.
    assert selected({"exclude[]": ["perf"]}, DEFAULT_GROUPS) == DEFAULT_GROUPS


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"collect[]": ["cpu"], "exclude[]": ["block"]}, ["cannot be combined"]),
        ({"collect": ["cpu"]}, ["write collect[] with the brackets"]),
        ({"collect[]": ["disk"]}, ["collect[]", "'disk'", "known: balloon, blkiotune"]),
        ({"exclude[]": [""]}, ["exclude[]", "''"]),
        ({"collect[]": ["perf", "cpu"]}, ["switched off: perf", "--collector.perf"]),
        ({"exclude[]": [group.value for group in Group]}, ["leaves no collector"]),
        ({"collect[]": ["x" * 10_000]}, ["'" + "x" * 40 + "'"]),
    ],
)
def test_what_cannot_be_answered_says_why(query, words):
    with pytest.raises(RequestError) as caught:
        selected(query, DEFAULT_GROUPS)
    assert all(word in str(caught.value) for word in words)
    assert len(str(caught.value)) < 400


def test_a_request_is_read_as_a_whole():
    found = scrape_request(
        {
            "accept": PROMETHEUS_2,
            "accept-encoding": "gzip",
            "x-prometheus-scrape-timeout-seconds": "3",
        },
        {"collect[]": ["cpu"]},
        DEFAULT_GROUPS,
        5.0,
    )
    assert (found.groups, found.form, found.is_compressed) == ({Group.CPU}, OM, True)
    assert found.timeout_seconds == pytest.approx(2.85)
