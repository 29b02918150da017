import re
from pathlib import Path

import yaml

from scaler.config import ScalerConfig
from scaler.policy_file import PolicyFile
from scaler.pool import DomainState
from scaler.reasons import Reason
from servicekit.config import check

SCALING = (Path(__file__).parents[3] / "docs" / "SCALING.md").read_text(encoding="utf-8")


def test_every_reason_is_explained_in_order():
    table = SCALING.split("## Reasons")[1]
    assert re.findall(r"^\| `(\w+)` \|", table, re.M) == [reason.value for reason in Reason]


def test_every_state_is_explained_in_order():
    table = SCALING.split("## States")[1].split("## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.M) == [state.value for state in DomainState]


def test_every_example_of_a_configuration_is_one(tmp_path):
    blocks = re.findall(r"^```yaml\n(.*?)^```", SCALING, re.M | re.S)
    assert len(blocks) >= 4
    for block in blocks:
        # Only the example of a policies file has a goal.
        model = PolicyFile if "goal_seconds" in block else ScalerConfig
        check(model, yaml.safe_load(block), source="docs/SCALING.md")
