"""The default demand queries on the cases of the recording rules that mean the same."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from scaler.policy_config import BacklogConfig

pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="not installed: promtool (package prometheus)"
)
_PROMETHEUS = Path(__file__).resolve().parents[2] / "prometheus"
_RULES = {
    "pool:virtscale_demand_slots:current": BacklogConfig().demand.query,
    "pool:virtscale_waiting_jobs:current": BacklogConfig().waiting.query,
}


def cases(document):
    """The cases about one of the rules, asked with the query in its place."""
    for test in document["tests"]:
        kept = []
        for case in test["promql_expr_test"]:
            query = _RULES.get(case["expr"])
            if query is not None:
                samples = [{"labels": "{}", "value": one["value"]} for one in case["exp_samples"]]
                expression = query.replace("$pool", "default")
                kept.append(case | {"expr": expression, "exp_samples": samples})
        if kept:
            yield test | {"promql_expr_test": kept}


def test_the_queries_tell_what_the_rules_record(tmp_path):
    document = yaml.safe_load((_PROMETHEUS / "tests" / "demand.yml").read_text())
    tests = list(cases(document))
    asked = {case["expr"] for test in tests for case in test["promql_expr_test"]}
    assert len(asked) == len(_RULES)
    path = tmp_path / "demand.yml"
    rules = [str(_PROMETHEUS / "rules" / "virtscale.yml")]
    path.write_text(yaml.safe_dump(document | {"rule_files": rules, "tests": tests}))
    result = subprocess.run(
        ["promtool", "test", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
