import json

import pytest

from bench.__main__ import command_line
from bench.courses import mean
from bench.fidelity import SHAPES, compressed, demand_window, simulated
from bench.recording import Recording, Seen, Served
from bench.times import measured_times
from scaler.config import ScalerConfig
from scaler.policy_config import ReferenceConfig
from scaler.simulator.traces import Trace
from tests.unit.bench.recordings import LENGTH, recording

BURST = tuple(
    Served(20.0 + place / 10, 20.0 + place / 10 + 15.0, f"job-{place}", 15.0, 0)
    for place in range(8)
)


def judged(found: Recording, path, *flags: str) -> int:
    path.write_text(json.dumps({"recording": found.as_dict()}))
    words = ["fidelity", "--recording", str(path), "--seeds", "3", *flags]
    arguments = command_line().parse_args(words)
    return int(arguments.run(arguments))


def as_simulated(seed=9) -> Recording:
    """What a real run would be if the simulator were right."""
    base = recording(jobs=BURST)
    supply = simulated(base, measured_times(base), seed).supply
    assert mean(supply, LENGTH) > 1.2
    return recording(jobs=BURST, course=tuple(Seen(at, ready, ready, 1) for at, ready in supply))


def test_a_run_as_simulated_holds_the_limit(tmp_path, capsys):
    figures, drawn = tmp_path / "figures.json", tmp_path / "both.html"
    flags = ("--json", str(figures), "--plot", str(drawn))
    assert judged(as_simulated(), tmp_path / "run.json", *flags) == 0
    assert "supply, simulated against real" in capsys.readouterr().out
    assert "simulated" in drawn.read_text()
    written = json.loads(figures.read_text())
    assert len(written["simulated"]["errors"]) == 3
    assert Recording.read(figures) == Recording.read(tmp_path / "run.json")


def test_a_run_that_went_otherwise_misses_it(tmp_path):
    idle = recording(jobs=BURST, course=(Seen(0.0, 1, 1, 1),))
    assert judged(idle, tmp_path / "run.json") == 1


def test_a_file_without_a_recording_is_told(tmp_path):
    path = tmp_path / "other.json"
    path.write_text("{}")
    with pytest.raises(SystemExit, match="holds no recording"):
        Recording.read(path)


def test_nothing_started_is_told(tmp_path):
    with pytest.raises(SystemExit, match="no domain was started"):
        judged(recording(entries=()), tmp_path / "run.json")


def test_the_trace_is_three_in_one_and_the_same_for_the_same_seed():
    workload = compressed(600.0, 4, 1)
    assert workload == compressed(600.0, 4, 1) != compressed(600.0, 4, 2)
    assert workload.trace.length_seconds == 600.0
    assert len(workload.trace.moments) == len(SHAPES) * len(set(workload.trace.moments)) / 3
    assert isinstance(workload.trace, Trace)


def test_the_window_of_the_average_demand_is_that_of_its_query():
    config = ScalerConfig()
    text = config.policies[1].demand_average.query
    assert f"avg{demand_window(config):g}s" in text


def test_policies_without_an_average_demand_cannot_be_simulated():
    with pytest.raises(SystemExit, match="average demand"):
        demand_window(ScalerConfig(policies=(ReferenceConfig(),)))
