import csv
from pathlib import Path

import pytest
from virtscale.client.values import Job

from servicekit.config import ConfigError
from stack.result_file import ResultFile
from stack.submission import LineResult


def result(line: int) -> LineResult:
    return LineResult(line, Job(f"job-{line}", "done", profile="hmac-sha256", hash="h"))


def test_the_result_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with ResultFile(path) as file:
        for line in (1, 2, 3):
            file.write(result(line))
        assert not path.exists()
    check_whole(path)


def check_whole(path: Path) -> None:
    with path.open(encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["reference", "profile", "hash"]
    assert [row[0] for row in rows[1:]] == ["1", "2", "3"]
    assert [entry.name for entry in path.parent.iterdir()] == ["out.csv"]


def test_a_failed_run_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(RuntimeError), ResultFile(path):
        raise RuntimeError
    assert path.read_text(encoding="utf-8") == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_result_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--out .*nowhere"):
        ResultFile(tmp_path / "nowhere" / "out.csv")
