"""Every alert of every rule file: tested both ways, explained, and about metrics that exist."""

import re
import shutil
import subprocess
from itertools import chain
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry

from dispatcher.telemetry import Telemetry

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "prometheus"
METRICS = (ROOT / "docs/METRICS.md").read_text(encoding="utf-8")
RUNBOOK = "docs/OPERATIONS.md"
RULES = {
    path: [
        rule
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]
    for folder in ("rules", "collector")
    for path in sorted((FOLDER / folder).glob("*.yml"))
}
ALL = [*chain.from_iterable(RULES.values())]
ALERTS = {rule["alert"]: rule for rule in ALL if "alert" in rule}
RECORDED = {rule["record"] for rule in ALL if "record" in rule}
TESTS = [
    test
    for path in sorted((FOLDER / "tests").glob("*.yml"))
    for test in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]
]
GOAL = (FOLDER / "rules" / "goal.yml").read_text(encoding="utf-8")


def test_no_two_alerts_have_one_name():
    assert len(ALERTS) == sum("alert" in rule for rule in ALL)


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not(name):
    outcomes = [
        [
            case["exp_alerts"]
            for case in test.get("alert_rule_test", ())
            if case["alertname"] == name
        ]
        for test in TESTS
    ]
    asked = [outcome for outcome in outcomes if outcome]
    assert any(any(outcome) for outcome in asked), "no test in which it fires"
    assert any(not any(outcome) for outcome in asked), "no test in which it stays silent"


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_every_alert_has_a_severity_and_leads_to_its_part_of_the_runbook(name):
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in ("warning", "critical")
    assert set(alert["annotations"]) == {"summary", "action", "runbook_url"}
    document, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert (document, anchor) == (RUNBOOK, name.lower())


def test_the_runbook_has_a_part_for_every_alert_and_for_no_other():
    text = (ROOT / RUNBOOK).read_text(encoding="utf-8")
    parts = re.findall(r"^### ((?:Libvirt|Virtscale)\w+)$\n\n(\S.*)", text, re.M)
    assert sorted(name for name, _ in parts) == sorted(ALERTS)
    assert all(len(said) > 80 for _, said in parts)


def test_one_command_of_the_documents_makes_whole_addresses_of_all_links(tmp_path):
    (command,) = re.findall(r"^sed .*runbook_url.*$", (ROOT / RUNBOOK).read_text("utf-8"), re.M)
    shutil.copytree(FOLDER, tmp_path / "prometheus")
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    for path in RULES:
        before = path.read_text(encoding="utf-8")
        after = (tmp_path / "prometheus" / path.relative_to(FOLDER)).read_text(encoding="utf-8")
        link = 'runbook_url: "https://git.example.org/virtscale/blob/main/docs/'
        assert after == before.replace('runbook_url: "docs/', link), path
        assert after.count(link) == before.count("runbook_url"), path


def exists(metric):
    base = re.sub(r"_(bucket|count|sum)$", "", metric)
    return f"| `{metric}` |" in METRICS or f"| `{base}` | histogram |" in METRICS


@pytest.mark.parametrize("path", RULES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_metric_exists(path):
    used = set()
    for rule in RULES[path]:
        used |= set(re.findall(r"(?<![\w:])(?:libvirt|virtscale)_\w+(?!\w|:)", rule["expr"]))
        used |= set(re.findall(r"\b\w+:[\w:]+", rule["expr"]))
    assert used
    assert not {one for one in used - RECORDED if not exists(one)}


def test_no_two_alerts_ask_the_same():
    said = [re.sub(r"\s+", " ", alert["expr"]) for alert in ALERTS.values()]
    assert len(set(said)) == len(said)


# --- What differs between Prometheus 2, 3 and others ---------------------------------------------

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def test_a_histogram_s_bound_is_matched_in_both_spellings():
    """Prometheus 3 makes 30.0 of a scraped 30; others keep what they get."""
    for rule in ALL:
        for kind, value in re.findall(r"\ble\s*(=~|=|!~|!=)\s*\"([^\"]*)\"", rule["expr"]):
            assert kind == "=~", rule
            assert re.fullmatch(r"\d+\(\[\.\]0\)\?", value), rule
    assert GOAL.count("le=~") == 7


def test_no_pattern_of_a_matcher_depends_on_what_a_dot_matches():
    """From Prometheus 3 on a dot matches a line break, too."""
    for rule in ALL:
        for pattern in re.findall(r"[=!]~\s*\"([^\"]*)\"", rule["expr"]):
            assert "." not in pattern.replace("[.]", ""), rule


def test_no_window_needs_samples_at_its_very_ends():
    """Prometheus 3 leaves out the sample at a window's left end: a window of one interval would
    hold one sample where it held two. Five intervals are enough for all.
    """
    interval_of = {}
    for path in RULES:
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                if "record" in rule:
                    interval_of[rule["record"]] = seconds(group.get("interval", "1s"))
    for path, rules in RULES.items():
        # The collector's rules are for scrape intervals of up to a minute, the others for a second.
        scraped = 60 if path.parent.name == "collector" else 1
        for rule in rules:
            for name, window in re.findall(
                r"([\w:]+)(?:\{[^}]*\})?\[(\w+)\]", rule["expr"].replace("\n", " ")
            ):
                assert seconds(window) >= 5 * interval_of.get(name, scraped), (rule, name)


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)([smhd])", text).groups()
    return int(number) * SECONDS[unit]


def test_names_need_no_quotes():
    for rule in ALL:
        assert re.fullmatch(r"[a-zA-Z_:][\w:]*", rule.get("record") or rule["alert"])


# --- The goal ----------------------------------------------------------------------------------


def test_the_goal_stands_in_one_file_and_is_the_same_everywhere_in_it():
    (bound,) = set(re.findall(r'le=~"([^"]+)"', GOAL))
    (share,) = set(re.findall(r"\* (0\.\d+)", GOAL))
    others = [path.read_text() for path in RULES if path.name != "goal.yml"]
    assert not [text for text in others if "job_wait_seconds" in text]
    (goal,) = re.findall(r"goal: (\d+) of 100 jobs .* within (\d+) s", GOAL)
    assert goal == (str(round(100 - 100 * float(share))), bound.partition("(")[0])
    assert int(goal[1]) in dispatcher_bounds()


def dispatcher_bounds():
    registry = CollectorRegistry()
    Telemetry(registry)
    return {
        float(sample.labels["le"])
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "virtscale_dispatcher_job_wait_seconds_bucket"
    }
