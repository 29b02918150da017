import re
from pathlib import Path

from scaler.pool import DomainState
from scaler.reasons import Reason

SCALING = (Path(__file__).parents[3] / "docs" / "SCALING.md").read_text(encoding="utf-8")


def test_every_reason_is_explained_in_order():
    table = SCALING.split("## Reasons")[1]
    assert re.findall(r"^\| `(\w+)` \|", table, re.M) == [reason.value for reason in Reason]


def test_every_state_is_explained_in_order():
    table = SCALING.split("## States")[1].split("## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.M) == [state.value for state in DomainState]
