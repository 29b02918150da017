import re
from pathlib import Path

import pytest
import yaml

from scaler.config import ScalerConfig
from scaler.policies.backlog import BacklogPolicy
from scaler.policies.proposal import PolicyContext
from scaler.policy_file import PolicyFile
from scaler.pool import (
    DomainState,
    DomainView,
    Lifecycle,
    PoolView,
    WorkerRecord,
    WorkerState,
)
from scaler.readings import Known
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


def wish(domains, demand, average):
    """What `backlog` says with its defaults, of domains with a slot each."""
    serving = [
        DomainView(
            f"vs-{number}",
            DomainState.READY,
            Lifecycle.RUNNING,
            worker=WorkerRecord(f"vs-{number}", WorkerState.READY, slots=1),
        )
        for number in range(domains)
    ]
    policy = BacklogPolicy()
    values = (Known(demand, 1.0), Known(average, 1.0))
    readings = dict(zip(policy.signals, values, strict=True))
    return policy.propose(readings, PolicyContext(PoolView.of(serving), None, 0.0), None)[0]


EXPLAINED = SCALING.split("## How a decision is made")[1].split("## ")[0]
ROW = re.compile(
    r"^\| \d[^|]*\| ([\d.]+) \| (?:falls to )?([\d.]+) \| (?:[^|]* = )?(\d) \| (\d) ", re.M
)


def test_the_decision_that_is_explained_is_the_one_that_the_policy_makes():
    assert "demand          2.00" in EXPLAINED
    assert "demand_average  0.13" in EXPLAINED
    proposal = wish(1, 2.0, 0.13)
    assert (proposal.desired, proposal.reason) == (2, Reason.DEMAND)


@pytest.mark.parametrize(("demand", "average", "wanted", "desired"), ROW.findall(EXPLAINED))
def test_the_way_down_that_is_explained_is_the_policys(demand, average, wanted, desired):
    proposal = wish(2, float(demand), float(average))
    assert proposal.desired == int(wanted)
    assert proposal.high <= int(desired) or int(wanted) == int(desired)


def test_the_way_down_has_four_rows_with_the_reasons_of_holding():
    assert len(ROW.findall(EXPLAINED)) == 4
    assert wish(2, 0.0, 0.77).high == 2, "within the tolerance"
    assert wish(2, 0.0, 0.75).high == 1
