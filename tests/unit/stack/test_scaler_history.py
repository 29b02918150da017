"""`virtscale explain` and `replay`: from the running scaler, or from what a dead one recorded."""

import json

import pytest
from typer.testing import CliRunner

from stack import http_api, scaler_api
from stack.__main__ import app
from tests.unit.stack.test_http_api import server  # noqa: F401

ANSWER = {
    "at": 1.0,
    "answer": "12:00:00  start vs-2: backlog wanted 2",
    "gap": None,
    "details": ["  pool:     current 1, desired 2"],
    "actions": ["12:00:00  start vs-2"],
    "decision": {},
}


async def test_asks_the_scaler(server):  # noqa: F811
    server.answers["/api/v1/explain"] = (200, json.dumps(ANSWER))
    answer = await scaler_api.explain(server.address, {"at": "-5m", "domain": "vs-2"})
    assert answer == ANSWER


async def test_a_refusal_is_told_apart_from_silence(server):  # noqa: F811
    server.answers["/api/v1/explain"] = (404, json.dumps({"error": "nothing is recorded"}))
    with pytest.raises(http_api.RefusedError, match=r"^nothing is recorded$"):
        await scaler_api.explain(server.address, {})


def test_an_answer_begins_with_its_one_line():
    assert scaler_api.explanation_lines(ANSWER) == [
        ANSWER["answer"],
        "  pool:     current 1, desired 2",
        "",
        "last actions:",
        "  12:00:00  start vs-2",
    ]
    noted = {**ANSWER, "gap": "no turn was recorded since 11:00:00"}
    assert scaler_api.explanation_lines(noted)[0] == "note: no turn was recorded since 11:00:00"


def test_a_quiet_period_says_so():
    assert scaler_api.explanation_lines({"lines": []}) == ["nothing was recorded in that time"]
    assert scaler_api.explanation_lines({"lines": ["a", "b"]}) == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["explain", "--at", "teatime"], 2, "HH:MM:SS"),
        (["explain"], 1, "no stack is running in"),
        (["replay", "--from", "-2h", "--to", "-3h"], 2, "must be before"),
        (["replay"], 1, "no such file"),
        (["report"], 1, "no scaler has run with this state directory yet"),
        (["report", "--price=-1"], 2, "must be a number of money"),
        (["report", "--out", "run.txt"], 2, "ends in .html"),
    ],
)
def test_without_a_stack_the_fault_is_named(tmp_path, arguments, code, text):
    result = CliRunner().invoke(app, [*arguments, "--state", str(tmp_path / "state")])
    assert result.exit_code == code
    assert text in result.output
