import csv
import json
from pathlib import Path

import pytest
from virtscale.client.values import Exported, Job

from servicekit.config import ConfigError
from stack.export_file import COLUMNS, ExportFile


def exported(number: int) -> Exported:
    job = Job(
        f"s-{number}",
        "done",
        reference=f"row, {number}",
        profile="hmac-sha256",
        hash="h",
        completed_at=1.5,
    )
    return Exported(job, f"s-{number}r")


def write(path: Path, *numbers: int, form="csv", cursor="") -> ExportFile:
    with ExportFile(path, form=form, cursor=cursor) as file:
        for number in numbers:
            file.write(exported(number))
    return file


def rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_an_export_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    write(path, 1, 2)
    assert write(path, 3).cursor == "s-3r"
    found = rows(path)
    assert found[0] == list(COLUMNS)
    assert [row[0] for row in found[1:]] == ["s-1", "s-2", "s-3"]
    assert found[1][2] == "row, 1"


def test_what_was_not_recorded_is_written_anew_after_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    write(path, 1, 2, form="jsonl")
    with path.open("ab") as file:
        file.write(b'{"job_id": "s-3", "state": "do')
    with ExportFile(path, form="jsonl", cursor="") as again:
        assert again.cursor == "s-2r"
        again.write(exported(3))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["job_id"] for line in lines] == ["s-1", "s-2", "s-3"]
    assert lines[-1]["cursor"] == "s-3r"


def test_a_run_that_fails_keeps_what_it_wrote(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    with pytest.raises(RuntimeError), ExportFile(path, form="csv", cursor="") as file:
        file.write(exported(1))
        raise RuntimeError
    assert write(path, 2).written == 1
    assert [row[0] for row in rows(path)[1:]] == ["s-1", "s-2"]


def test_a_new_file_may_begin_anywhere(tmp_path: Path) -> None:
    with ExportFile(tmp_path / "rest.csv", form="csv", cursor="s-7r") as file:
        assert file.cursor == "s-7r"


def test_a_file_that_cannot_be_continued_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="does not; choose another file"):
        ExportFile(path, form="csv", cursor="")
    assert path.read_text() == "mine"
    other = tmp_path / "all.csv"
    write(other, 1, 2)
    with pytest.raises(ConfigError, match="go on with --format csv"):
        ExportFile(other, form="jsonl", cursor="")
    with pytest.raises(ConfigError, match="leave --from-cursor out"):
        ExportFile(other, form="csv", cursor="s-1r")
    other.write_text("")
    with pytest.raises(ConfigError, match="is shorter than"):
        ExportFile(other, form="csv", cursor="")
    (tmp_path / "all.csv.cursor").write_text("rubbish")
    with pytest.raises(ConfigError, match="is no cursor file"):
        ExportFile(other, form="csv", cursor="")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.* cannot be written"):
        ExportFile(tmp_path / "nowhere" / "all.csv", form="csv", cursor="")
