"""The annotations offered for Grafana show what happened, and nothing when nothing did."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ANNOTATIONS = {
    one["name"]: one
    for one in json.loads((ROOT / "docs/examples/grafana/annotations.json").read_text())[
        "annotations"
    ]["list"]
}
METRICS = (ROOT / "docs/METRICS.md").read_text(encoding="utf-8")
ACTIONS = 'virtscale_scaler_actions_total{pool="p", action="%s", result="done"}'
# What a scaler exports in a minute in which everything happens at 20 s and ends at 40 s.
SERIES = {
    "Scale-outs": (ACTIONS % "start", "0x19 1x40"),
    "Scale-ins": (ACTIONS % "drain", "0x19 1x40"),
    "Breaker open": ('virtscale_scaler_breaker_open{pool="p"}', "0x19 1x20 0x20"),
    "Paused": ('virtscale_scaler_paused{pool="p"}', "0x19 1x20 0x20"),
    "Scale-outs withheld": (
        'virtscale_scaler_withheld_total{pool="p", direction="out", reason="max"}',
        "0x19 1x40",
    ),
}


def samples(name):
    labels = {
        "Scale-outs": '{pool="p", action="start"}',
        "Scale-ins": '{pool="p", action="drain"}',
        "Breaker open": 'virtscale_scaler_breaker_open{pool="p"}',
        "Paused": 'virtscale_scaler_paused{pool="p"}',
        "Scale-outs withheld": '{pool="p", reason="max"}',
    }[name]
    return [{"labels": labels, "value": 1}]


def test_they_use_metrics_that_exist():
    for one in ANNOTATIONS.values():
        for name in re.findall(r"virtscale_\w+", one["expr"]):
            assert f"`{name}`" in METRICS
        shown = set(re.findall(r"{{(\w+)}}", one["textFormat"]))
        assert shown <= set(one["tagKeys"].split(","))


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="not installed: promtool (package prometheus)"
)
@pytest.mark.parametrize("name", sorted(SERIES))
def test_they_appear_when_it_happens_and_not_before(tmp_path, name):
    series, values = SERIES[name]
    expression = ANNOTATIONS[name]["expr"]
    tests = [
        {"expr": expression, "eval_time": "15s", "exp_samples": []},
        {"expr": expression, "eval_time": "22s", "exp_samples": samples(name)},
        {"expr": expression, "eval_time": "55s", "exp_samples": []},
    ]
    document = {
        "evaluation_interval": "1s",
        "tests": [
            {
                "interval": "1s",
                "input_series": [{"series": series, "values": values}],
                "promql_expr_test": tests,
            }
        ],
    }
    path = tmp_path / "annotations.yml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    tested = subprocess.run(
        ["promtool", "test", "rules", str(path)],
        env={"PATH": os.environ["PATH"]},
        text=True,
        capture_output=True,
        check=False,
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr
