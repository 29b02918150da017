"""The seasonal policy's PromQL, evaluated by Prometheus itself on days of samples."""

import shutil
import subprocess

import pytest
import yaml

from scaler.policies.seasonal import history_queries

pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="not installed: promtool (package prometheus)"
)
_MINUTES = 1440


def load_of(count):
    """A sample a minute: on the first day 1, from 08:00 to 08:59 10; every day as much more."""
    days = range(1, count + 1)
    return " ".join(f"{day}x479 {10 * day}x59 {day}x899" for day in days)


def evaluated(tmp_path, history, at_minute, expected, **arguments):
    options = {
        "quantile": 1.0,
        "seasons": 7,
        "season_seconds": 86_400,
        "lead_seconds": 300,
        "spread_seconds": 600,
    }
    queries = history_queries("load", **(options | arguments))
    cases = [
        {
            "expr": query,
            "eval_time": f"{at_minute}m",
            "exp_samples": [] if value is None else [{"labels": "{}", "value": value}],
        }
        for query, value in zip(queries, expected, strict=True)
    ]
    test = {
        "interval": "1m",
        "input_series": [{"series": "load", "values": history}],
        "promql_expr_test": cases,
    }
    path = tmp_path / "history.yml"
    path.write_text(yaml.safe_dump({"evaluation_interval": "1m", "tests": [test]}))
    result = subprocess.run(
        ["promtool", "test", "rules", str(path)], capture_output=True, text=True, check=False
    )
    return result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("hour", "minute", "level"),
    [
        # The highest of four days, from five minutes before the peak to ten minutes after it.
        (7, 54, 4),
        (7, 55, 40),
        (8, 30, 40),
        (9, 9, 40),
        (9, 15, 4),
        (23, 0, 4),
    ],
)
def test_the_peak_of_this_time_is_seen_ahead_and_for_a_while_after(tmp_path, hour, minute, level):
    at = 4 * _MINUTES + hour * 60 + minute
    is_good, told = evaluated(tmp_path, load_of(4), at, (level, 4))
    assert is_good, told


@pytest.mark.parametrize(
    ("quantile", "seasons", "level", "known"), [(0.5, 7, 25, 4), (0.0, 7, 10, 4), (1.0, 2, 40, 2)]
)
def test_quantile_and_number_of_seasons(tmp_path, quantile, seasons, level, known):
    at = 4 * _MINUTES + 8 * 60
    expected = (level, known)
    options = {"quantile": quantile, "seasons": seasons}
    is_good, told = evaluated(tmp_path, load_of(4), at, expected, **options)
    assert is_good, told


def test_without_history_the_number_is_zero_and_known(tmp_path):
    is_good, told = evaluated(tmp_path, load_of(1), 60, (None, 0))
    assert is_good, told


def test_weeks(tmp_path):
    at = 9 * _MINUTES + 8 * 60
    options = {"season_seconds": 7 * 86_400}
    is_good, told = evaluated(tmp_path, load_of(9), at, (30, 1), **options)
    assert is_good, told
