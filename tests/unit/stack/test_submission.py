import csv
from pathlib import Path

import pytest

from servicekit.config import ConfigError
from stack.jobs import DispatcherError
from stack.number_file import Entry
from stack.result_file import ResultFile
from stack.submission import BATCH, LineResult, Submission


def submission(dispatcher, clock, *, patience: float = 60.0, told=None) -> Submission:
    return Submission(
        dispatcher,
        clock=clock,
        profile="hmac-sha256",
        patience_seconds=patience,
        on_trouble=(told if told is not None else []).append,
    )


async def results(work: Submission, count: int) -> list[LineResult]:
    entries = (Entry(line, f"KA-{line}") for line in range(1, count + 1))
    return [result async for result in work.run(entries)]


async def test_results_come_in_the_order_of_the_lines(dispatcher, clock) -> None:
    count = 3 * BATCH + 7
    made = await results(submission(dispatcher, clock), count)
    assert [result.line for result in made] == list(range(1, count + 1))
    numbers = [dispatcher.specs[result.job.job_id].number for result in made]
    assert numbers == [f"KA-{line}" for line in range(1, count + 1)]


async def test_a_restart_of_the_dispatcher_costs_nothing(dispatcher, clock) -> None:
    dispatcher.lose_answers = 1
    dispatcher.failures = [DispatcherError("UNAVAILABLE", "away") for _ in range(5)]
    told: list[str] = []
    made = await results(submission(dispatcher, clock, told=told), 10)
    assert len(made) == len(dispatcher.jobs) == 10
    assert told[0] == "away"


async def test_a_dispatcher_away_for_too_long_is_an_error(dispatcher, clock) -> None:
    dispatcher.failures = [DispatcherError("UNAVAILABLE", "away") for _ in range(1_000)]
    with pytest.raises(DispatcherError, match="away"):
        await results(submission(dispatcher, clock, patience=5.0), 1)


async def test_a_refusal_is_not_repeated(dispatcher, clock) -> None:
    dispatcher.failures = [DispatcherError("INVALID_ARGUMENT", "bad")]
    with pytest.raises(DispatcherError, match="bad"):
        await results(submission(dispatcher, clock), 1)
    assert dispatcher.calls == ["submit"]


async def test_the_result_file_appears_whole(tmp_path: Path, dispatcher, clock) -> None:
    path = tmp_path / "out.csv"
    made = await results(submission(dispatcher, clock), 3)
    with ResultFile(path) as file:
        for result in made:
            file.write(result)
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
