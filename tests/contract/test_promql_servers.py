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
from tests.contract import recorded_run
from tests.contract.promql_servers import (
    STALE,
    Prometheus,
    VictoriaMetrics,
    is_close,
    parse_series,
    samples,
    snappy,
    write_request,
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
GOAL_JOBS = 100
"""The goal's alerts do not speak of fewer."""
RUN_DIFFERENCE = 0.15
"""The same where one job is many: VictoriaMetrics counts from the sample before the window on."""


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
    difference: float = DIFFERENCE

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
                        (
                            parse_series(one["series"]),
                            samples(one["series"], one["values"], begin, interval),
                        )
                        for one in test["input_series"]
                    ],
                    asked=asked,
                )
            )
    return found


def rules():
    """File and rule, in the order in which a server runs them."""
    for path in FILES:
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                yield path, rule


ALERTS = {rule["alert"]: rule["expr"] for _, rule in rules() if "alert" in rule}
SCENARIOS = scenarios()
QUERIES = signal_queries(ScalerConfig(pool="default"))
READ = {
    name
    for expression in [*(rule["expr"] for _, rule in rules()), *(one.query for one in QUERIES)]
    for name in re.findall(r"\w+", expression)
}


def run_scenario(recording):
    """A real run, looked at now and then with every rule."""
    begin = FIRST_DAY + len(SCENARIOS) * APART
    looks = range(40, recorded_run.length_seconds(recording), 50)
    return Scenario(
        name=recording.name,
        begin=begin,
        step=1,
        difference=RUN_DIFFERENCE,
        rule_files=frozenset(FILES),
        series=[one for one in recorded_run.series(recording, begin) if one[0]["__name__"] in READ],
        # Not the collector's: their windows are longer than the run, see OPERATIONS.md.
        asked=[
            (rule.get("alert", rule["expr"]), after)
            for path, rule in rules()
            for after in looks
            if path.parent.name == "rules"
        ],
    )


for RUN in (recorded_run.WELL, recorded_run.OVERLOADED):
    SCENARIOS.append(run_scenario(RUN))
WELL, OVERLOADED = SCENARIOS[-2:]


def fill(server, encoded):
    """Writes all samples, and what the recording rules make of them."""
    server.send(encoded)
    for path, rule in rules():
        if "alert" in rule:
            continue
        recorded = []
        for scenario in SCENARIOS:
            if path not in scenario.rule_files:
                continue
            found = server.evaluate_range(rule["expr"], scenario.begin, scenario.end, scenario.step)
            named = rule.get("labels", {}) | {"__name__": rule["record"]}
            recorded += [
                (dict(labels) | named, with_ends(values, scenario))
                for labels, values in found.items()
            ]
        server.write(recorded)


def with_ends(values, scenario):
    """As a server that runs rules writes them: a series that its rule gives no more is marked."""
    marked = []
    for (moment, value), (following, _) in zip(
        values, [*values[1:], (scenario.end, None)], strict=True
    ):
        marked.append((moment, value))
        if following - moment > scenario.step:
            marked.append((moment + scenario.step, STALE))
    return marked


@pytest.fixture(scope="module")
def servers():
    made = []
    samples_of_all = [one for scenario in SCENARIOS for one in scenario.series]
    encoded = snappy(write_request(samples_of_all))
    try:
        for kind in (Prometheus, VictoriaMetrics):
            made.append(kind())
            fill(made[-1], encoded)
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


def compare(servers, expression, at, difference):
    """None, or how the answers differ; and whether there was any."""
    ours, theirs = answers(servers, expression, at)
    is_same = set(ours) == set(theirs) and all(
        is_close(ours[labels], theirs[labels], difference) for labels in ours
    )
    return None if is_same else (expression, ours, theirs), bool(ours)


def test_every_rule_and_alert_has_the_same_answer(servers):
    different, had = [], {name: set() for name in ALERTS}
    for scenario in SCENARIOS:
        for what, after in scenario.asked:
            # Not at the very instant of a sample, of which one side may say that it is outside.
            at = scenario.begin + after + 0.4
            allowed = scenario.difference
            if what == "VirtscaleBootFailures":
                # VictoriaMetrics counts a counter that appears from 0 on; the alert fires in both.
                allowed = 1.0
            difference, is_any = compare(servers, ALERTS.get(what, what), at, allowed)
            if difference is not None:
                different.append((scenario.name, after, *difference))
            had.get(what, set()).add(is_any)
    assert not different
    # Or nothing was compared with nothing.
    assert not {name for name, outcomes in had.items() if True not in outcomes}
    assert sum(False in outcomes for outcomes in had.values()) > 0.8 * len(had)


def test_the_scaler_s_own_queries_have_the_same_answer(servers):
    assert len(QUERIES) >= 4
    different, had = [], set()
    for scenario in SCENARIOS:
        if not scenario.name.startswith(("cpu", "demand", "recorded")):
            continue
        for query in QUERIES:
            at = scenario.end + 0.4
            difference, is_any = compare(servers, query.query, at, scenario.difference)
            different += [] if difference is None else [(scenario.name, *difference)]
            had |= {query.signal} if is_any else set()
    assert not different
    assert len(had) >= 3, had


def test_no_alert_fires_in_a_run_without_trouble(servers):
    fired, was_true = fired_in(servers[0], WELL)
    assert not fired
    # The goal was looked at: of the jobs within an hour none was late.
    judged = servers[0].evaluate("pool:virtscale_jobs_late:ratio_rate1h", WELL.end)
    counted = servers[0].evaluate("pool:virtscale_jobs_first_leased:increase1h", WELL.end)
    assert [*judged.values()] == [0]
    assert [one > GOAL_JOBS for one in counted.values()] == [True]
    # At the begin nothing was known for a moment: it is looked at.
    assert "VirtscaleSignalUnknown" in was_true


def test_on_a_host_with_too_much_to_do_those_alerts_fire_that_fired_then(servers):
    assert fired_in(servers[0], OVERLOADED)[0] == {
        *("VirtscaleBootFailures", "VirtscaleBreakerOpen", "VirtscaleJobsWaiting"),
        *("VirtscaleJobsLateFast", "VirtscaleJobsLateSlow"),
    }


def fired_in(server, run):
    """The alerts that were true for as long as they have to be, and those that were true at all."""
    fired, was_true = set(), set()
    for _, rule in rules():
        if "alert" not in rule:
            continue
        found = server.evaluate_range(rule["expr"], run.begin, run.end, 1)
        if found:
            was_true.add(rule["alert"])
        if max(map(longest_seconds, found.values()), default=-1) >= seconds(rule.get("for", "0s")):
            fired.add(rule["alert"])
    return fired, was_true


def longest_seconds(values):
    begin = longest = 0
    for number, (moment, _) in enumerate(values):
        if number == 0 or moment - values[number - 1][0] > 1:
            begin = moment
        longest = max(longest, moment - begin)
    return longest


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


def test_vmalert_and_victoria_metrics_take_the_files(tmp_path):
    scraping = ["-promscrape.config.strictParse=false", f"-storageDataPath={tmp_path}"]
    for command in (
        ["vmalert", *(f"-rule={path}" for path in FILES)],
        ["victoria-metrics", f"-promscrape.config={FOLDER / 'prometheus.yml'}", *scraping],
    ):
        checked = subprocess.run([*command, "-dryRun"], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr
