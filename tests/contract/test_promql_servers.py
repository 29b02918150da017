"""Every rule and alert gives the same answer on VictoriaMetrics as on Prometheus.

The samples are those of the rules' own unit tests, so each alert is asked where it fires and where
it does not. Each test has days of its own, far enough from the others for every window.
"""

import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from scaler.config import ScalerConfig, signal_queries
from scaler.ports import SignalQuery
from scaler.prometheus_source import PrometheusSource
from scaler.readings import Known
from tests.contract.promql_servers import (
    Prometheus,
    VictoriaMetrics,
    is_close,
    parse_series,
    parse_values,
)

PROGRAMS = ("prometheus", "victoria-metrics", "vmalert")
MISSING = [one for one in PROGRAMS if shutil.which(one) is None]
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.timeout(240),
]

FOLDER = Path(__file__).resolve().parents[2] / "prometheus"
FILES = [path for name in ("rules", "collector") for path in sorted((FOLDER / name).glob("*.yml"))]
FIRST_DAY = 1_704_067_200
APART = 5 * 86_400
DIFFERENCE = 0.05
"""Of values. increase() guesses in Prometheus what lies beyond the outermost samples, and does not
in VictoriaMetrics; over windows of many samples that is little."""


@dataclass(frozen=True)
class Scenario:
    """A unit test of the rules, on days of its own."""

    name: str
    begin: int
    step: int
    rule_files: frozenset[Path]
    series: list
    asked: list
    """Pairs of what is asked, an alert's name or an expression, and of seconds since the begin."""

    @property
    def end(self):
        return self.begin + max(after for _, after in self.asked)


def seconds(text):
    units = {"s": 1, "m": 60, "h": 3600}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([smh])", text))


def scenarios():
    found = []
    for path in sorted((FOLDER / "tests").glob("*.yml")):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        for test in document["tests"]:
            begin = FIRST_DAY + len(found) * APART
            interval = seconds(test["interval"])
            asked = [
                (case["alertname"], seconds(case["eval_time"]))
                for case in test.get("alert_rule_test", ())
            ]
            asked += [
                (case["expr"], seconds(case["eval_time"]))
                for case in test.get("promql_expr_test", ())
            ]
            found.append(
                Scenario(
                    name=f"{path.stem}: {test['name']}",
                    begin=begin,
                    step=seconds(document["evaluation_interval"]),
                    rule_files=frozenset(
                        (path.parent / one).resolve() for one in document["rule_files"]
                    ),
                    series=[
                        (parse_series(one["series"]), samples(begin, interval, one))
                        for one in test["input_series"]
                    ],
                    asked=asked,
                )
            )
    return found


def samples(begin, interval, series):
    values = parse_values(series["values"])
    if "_timestamp_seconds" in series["series"]:
        # What is a moment moves with the test's begin, which is 0 for promtool.
        values = [None if value is None else begin + value for value in values]
    return [
        (begin + number * interval, value)
        for number, value in enumerate(values)
        if value is not None
    ]


def rules():
    """File and rule, in the order in which a server runs them."""
    for path in FILES:
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                yield path, rule


ALERTS = {rule["alert"]: rule["expr"] for _, rule in rules() if "alert" in rule}
SCENARIOS = scenarios()


def fill(server):
    """Writes all samples, and what the recording rules make of them."""
    server.write([one for scenario in SCENARIOS for one in scenario.series])
    for path, rule in rules():
        if "alert" in rule:
            continue
        recorded = []
        for scenario in SCENARIOS:
            if path not in scenario.rule_files:
                continue
            found = server.evaluate_range(rule["expr"], scenario.begin, scenario.end, scenario.step)
            named = rule.get("labels", {}) | {"__name__": rule["record"]}
            recorded += [(dict(labels) | named, values) for labels, values in found.items()]
        server.write(recorded)


@pytest.fixture(scope="module")
def servers():
    made = []
    try:
        for kind in (Prometheus, VictoriaMetrics):
            made.append(kind())
            fill(made[-1])
        yield made
    finally:
        for server in made:
            server.close()


def answers(servers, expression, at):
    """What both say. VictoriaMetrics keeps a metric's name where Prometheus drops it."""
    for server in servers:
        yield {
            tuple(one for one in labels if one[0] != "__name__"): value
            for labels, value in server.evaluate(expression, at).items()
        }


def compare(servers, expression, at):
    """None, or how the answers differ; and whether there was any."""
    ours, theirs = answers(servers, expression, at)
    is_same = set(ours) == set(theirs) and all(
        is_close(ours[labels], theirs[labels], DIFFERENCE) for labels in ours
    )
    return None if is_same else (expression, ours, theirs), bool(ours)


def test_every_rule_and_alert_has_the_same_answer(servers):
    different, had = [], {name: set() for name in ALERTS}
    for scenario in SCENARIOS:
        for what, after in scenario.asked:
            # Not at the very instant of a sample, of which one side may say that it is outside.
            at = scenario.begin + after + 0.4
            difference, is_any = compare(servers, ALERTS.get(what, what), at)
            if difference is not None:
                different.append((scenario.name, after, *difference))
            had.get(what, set()).add(is_any)
    assert not different
    # Or nothing was compared with nothing.
    assert not {name for name, outcomes in had.items() if True not in outcomes}
    assert sum(False in outcomes for outcomes in had.values()) > 0.8 * len(had)


def test_the_scaler_s_own_queries_have_the_same_answer(servers):
    queries = signal_queries(ScalerConfig(pool="default"))
    assert len(queries) >= 4
    different, had = [], set()
    for scenario in SCENARIOS:
        if not scenario.name.startswith(("cpu", "demand")):
            continue
        for query in queries:
            difference, is_any = compare(servers, query.query, scenario.end + 0.4)
            different += [] if difference is None else [(scenario.name, *difference)]
            had |= {query.signal} if is_any else set()
    assert not different
    assert len(had) >= 3, had


async def test_the_scaler_reads_the_newest_sample_when_the_latency_offset_is_small():
    server = VictoriaMetrics("-search.latencyOffset=1s")
    source = PrometheusSource(server.url)
    try:
        # What is newer than the offset is asked for as if it were not there yet.
        now = time.time() - 2
        server.write(
            [({"__name__": "load"}, [(now - age, float(age)) for age in range(60, -1, -1)])]
        )
        reading = (await source.read([SignalQuery("load", "load")]))["load"]
    finally:
        source.close()
        server.close()
    assert isinstance(reading, Known)
    assert reading.value == 0
    assert reading.age_seconds < 10


def test_vmalert_takes_the_files():
    checked = subprocess.run(
        ["vmalert", "-dryRun", *(f"-rule={path}" for path in FILES)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
