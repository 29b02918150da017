from bench.elasticity import Cell, crossing, measure
from scaler.simulator.simulation import NAMES


def test_finds_where_hours_reach_the_goal():
    line = [(1.0, 0.0), (2.0, 100.0), (4.0, 300.0)]
    assert [crossing(line, goal) for goal in (0.5, 1.5, 3.0, 9.0)] == [0.0, 50.0, 200.0, 300.0]


def test_a_cell_holds_every_baseline_and_ours_cuts_no_job():
    result = measure(Cell("step", "boot5", 120.0, 2))
    assert [row["baseline"] for row in result["rows"]] == list(NAMES)
    for row in result["rows"]:
        assert row["is_equal"] == (abs(row["hours_ratio"] - 1) <= 0.02)
        assert row["ours"]["jobs_cut_by_scale_in"] == 0
        assert row["ours"]["unfinished"] == 0
        assert set(row["verdict"].values()) <= {"win", "tie", "loss"}
