"""Prometheus and Alertmanager accept our files, and every rule does what its tests say."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "prometheus"
RULES = sorted((FOLDER / "rules").glob("*.yml"))
TESTS = sorted((FOLDER / "tests").glob("*.yml"))

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="not installed: promtool (package prometheus)"
)


def tool(*command):
    return subprocess.run(
        command,
        cwd=FOLDER,
        env={"PATH": os.environ["PATH"]},
        text=True,
        capture_output=True,
        check=False,
    )


def rules():
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


@needs_promtool
def test_the_configuration_and_its_rules_are_valid():
    checked = tool("promtool", "check", "config", "prometheus.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(RULES)} rule files found" in checked.stdout


@needs_promtool
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_the_rules_pass_their_unit_tests(path):
    tested = tool("promtool", "test", "rules", str(path))
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_rule_has_a_unit_test():
    tests = "".join(path.read_text() for path in TESTS)
    names = {rule.get("record") or rule["alert"] for rule in rules()}
    # A rule that only feeds another is tested through it.
    inner = {"pool_domain:libvirt_domain_cpu_seconds:running"}
    assert not {name for name in names - inner if not re.search(rf"{name}\b", tests)}


def test_every_alert_says_what_to_do():
    alerts = [rule for rule in rules() if "alert" in rule]
    assert alerts
    for alert in alerts:
        assert alert["labels"]["severity"] in ("warning", "critical")
        assert set(alert["annotations"]) == {"summary", "action"}


def test_scrapes_and_evaluates_every_second():
    settings = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    assert settings["global"] == {
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "evaluation_interval": "1s",
    }
    jobs = [job["job_name"] for job in settings["scrape_configs"]]
    assert jobs == ["collector", "dispatcher", "scaler", "prometheus", "alertmanager"]


@pytest.mark.skipif(
    shutil.which("amtool") is None, reason="not installed: amtool (package prometheus-alertmanager)"
)
def test_alertmanager_accepts_its_configuration():
    checked = tool("amtool", "check-config", "alertmanager.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
