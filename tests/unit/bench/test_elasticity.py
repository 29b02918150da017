import argparse
import json

import pytest

from bench import elasticity
from bench.elasticity import totals
from bench.elasticity_cell import Cell, measure
from bench.equal_hours import Figures, Knobs
from scaler.simulator.simulation import NAMES

GRID = {
    Knobs(2.0, 0.0, None, 12): Figures(0.1, 20.0, 100.0),
    Knobs(2.0, 300.0, None, 12): Figures(0.4, 1.0, 10.0),
}


@pytest.fixture(scope="module")
def cell():
    return measure(Cell("step", "boot5", 60.0, 2), GRID)


def arguments(*given):
    parser = argparse.ArgumentParser()
    elasticity.add_arguments(parser)
    return parser.parse_args(given)


def test_a_cell_holds_every_baseline_and_ours_cuts_no_job(cell):
    assert [row["baseline"] for row in cell["rows"]] == list(NAMES)
    for row in cell["rows"]:
        assert row["is_equal"] == (abs(row["hours_ratio"] - 1) <= 0.02)
        is_lost = "loss" in row["verdict"].values()
        assert row["is_cheaper"] == (row["hours_ratio"] < 0.98 and not is_lost)
        assert row["ours"]["jobs_cut_by_scale_in"] == 0
        assert row["ours"]["unfinished"] == 0
        assert set(row["verdict"].values()) <= {"win", "tie", "loss"}
    assert cell["default"]["jobs_cut_by_scale_in"] == 0


def test_the_tally_counts_pairs_that_can_be_judged_and_names_the_cells_with_a_loss(cell):
    row = {"baseline": "hpa_v2", "is_equal": True, "is_cheaper": False}
    won = {**row, "verdict": {"jobs_cut": "tie", "wait_p95": "win", "starts": "tie"}}
    lost = {**row, "verdict": {"jobs_cut": "tie", "wait_p95": "win", "starts": "loss"}}
    unequal = {**lost, "is_equal": False}
    cheaper = {**won, "is_equal": False, "is_cheaper": True}
    found = [{**cell, "rows": [one]} for one in (won, lost, unequal, cheaper)]
    counted = totals(found)["hpa_v2"]
    assert (counted["cells"], counted["judged"], counted["cheaper"]) == (4, 3, 1)
    assert (counted["no_loss"], counted["won"]) == (2, 2)
    assert counted["lost_cells"] == ["step/boot5"]


def test_a_run_that_was_cut_goes_on_where_it_was(tmp_path, cell, capsys):
    file = tmp_path / "cells.json"
    file.write_text(json.dumps({"cells": [cell]}))
    given = arguments(
        *("--json", str(file), "--resume", "--length", "60", "--seeds", "2", "--processes", "1"),
        *("--traces", "step", "--scenarios", "boot5"),
    )
    assert elasticity.run(given) == 0
    assert "0 cells run" in capsys.readouterr().out


def test_cells_of_another_length_are_not_kept_nor_those_asked_for_again(tmp_path, cell):
    file = tmp_path / "cells.json"
    file.write_text(json.dumps({"cells": [cell]}))
    here = ("--json", str(file), "--resume")
    asked = Cell("step", "boot5", 60.0, 2)
    assert elasticity._kept(arguments(*here), [asked]) == [cell]
    assert elasticity._kept(arguments(*here), [Cell("step", "boot5", 30.0, 2)]) == []
    assert elasticity._kept(arguments(*here, "--cells", "step/boot5"), [asked]) == []


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (("--cells", "sine"), "--cells sine: must be TRACE/SCENARIO"),
        (("--resume",), "--resume needs --json FILE"),
    ],
)
def test_wrong_flags_are_told_before_anything_runs(given, text, capsys):
    assert elasticity.run(arguments(*given)) == 2
    assert text in capsys.readouterr().err
