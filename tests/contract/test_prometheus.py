"""Prometheus accepts our files. What rules and their tests must be like is in test_alerts.py.

`./test` runs the rules' own tests (prometheus/tests) among its static checks.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "prometheus"
FOLDERS = ("rules", "collector")
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


def files(*folders):
    return sorted(path for name in folders for path in (FOLDER / name).glob("*.yml"))


def rules(*folders):
    for path in files(*(folders or FOLDERS)):
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


@needs_promtool
def test_the_configuration_and_its_rules_are_valid():
    checked = tool("promtool", "check", "config", "prometheus.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(files(*FOLDERS))} rule files found" in checked.stdout


def test_every_rule_has_a_unit_test():
    tests = "".join(path.read_text() for path in TESTS)
    names = {rule.get("record") or rule["alert"] for rule in rules()}
    # A rule that only feeds another is tested through it.
    inner = {
        "pool_domain:libvirt_domain_cpu_seconds:running",
        "job:virtscale_dispatcher_standing_by:count",
        "job:virtscale_dispatcher_standing_by:max1d",
    }
    inner |= {rule["record"] for rule in rules("collector") if "record" in rule}
    assert not {name for name in names - inner if not re.search(rf"{name}\b", tests)}


def test_scrapes_and_evaluates_every_second():
    settings = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    assert settings["global"] == {
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "evaluation_interval": "1s",
    }
    jobs = [job["job_name"] for job in settings["scrape_configs"]]
    assert jobs == ["collector", "dispatcher", "scaler", "prometheus", "alertmanager"]
