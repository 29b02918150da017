import json

from scaler.decision_log import JsonLinesLog, read


def test_the_log_survives_a_restart_and_a_line_cut_short(tmp_path):
    path = tmp_path / "decisions.jsonl"
    log = JsonLinesLog(path)
    log.append({"time": 1.0, "reason": "steady"})
    log.append({"time": 2.0, "reason": "demand"})
    with path.open("a") as file:
        file.write('{"time": 3.0, "rea')
    again = JsonLinesLog(path)
    assert [one["time"] for one in again.recent(10)] == [1.0, 2.0]
    assert again.recent(1) == [{"time": 2.0, "reason": "demand"}]
    assert again.recent(10, since=1.5) == [{"time": 2.0, "reason": "demand"}]
    assert again.recent(0) == []


def test_a_line_after_a_cut_one_is_not_lost_with_it(tmp_path):
    path = tmp_path / "decisions.jsonl"
    path.write_text('{"time": 3.0, "rea')
    JsonLinesLog(path).append({"time": 4.0})
    assert [one["time"] for one in read(path)] == [4.0]


def test_full_files_are_rotated_and_the_oldest_dropped(tmp_path):
    path = tmp_path / "decisions.jsonl"
    log = JsonLinesLog(path, max_bytes=100, keep=2)
    for number in range(40):
        log.append({"time": float(number)})
    names = sorted(one.name for one in tmp_path.iterdir())
    assert names == ["decisions.jsonl", "decisions.jsonl.1", "decisions.jsonl.2"]
    assert all(one.stat().st_size < 130 for one in tmp_path.iterdir())
    assert json.loads(path.read_text().splitlines()[-1]) == {"time": 39.0}


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path):
    log = JsonLinesLog(tmp_path / "missing" / "decisions.jsonl")
    log.append({"time": 1.0})
    log.append({"time": 2.0})
    assert len(log.recent(10)) == 2
