import pytest

from scaler.breaker import Breaker
from scaler.lessons import Failures, Lessons
from scaler.lessons_file import LessonsFile
from scaler.rollout import Trials

LEARNED = Lessons(
    Breaker(2, 130.0, 1, 100.0), Breaker(), Trials({"new": 2}), {"a": Failures(1, True)}
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lessons.json"


def recalled(path):
    return LessonsFile(path).recall(-5.0, 100.0, 1800.0)


def test_keeps_what_was_learned(path):
    assert recalled(path) == Lessons()
    LessonsFile(path).remember(LEARNED, -5.0)
    assert recalled(path) == LEARNED
    assert [one.name for one in path.parent.iterdir()] == ["lessons.json"]


def test_nothing_learned_writes_nothing(path):
    file = LessonsFile(path)
    file.remember(Lessons(), -5.0)
    assert not path.exists()
    file.remember(LEARNED, -5.0)
    before = path.stat().st_mtime_ns
    file.remember(LEARNED, -5.1)
    again = LessonsFile(path)
    again.remember(again.recall(-5.0, 100.0, 1800.0), -5.0)
    assert path.stat().st_mtime_ns == before
    file.remember(Lessons(), -5.0)
    assert recalled(path) == Lessons()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b'{"form": 9}', b"[" * 100_000])
def test_a_file_that_cannot_be_read_teaches_nothing(path, content):
    path.write_bytes(content)
    assert recalled(path) == Lessons()


def test_a_disk_that_refuses_stops_nothing_and_is_tried_again(tmp_path):
    file = LessonsFile(tmp_path / "missing" / "lessons.json")
    file.remember(LEARNED, -5.0)
    (tmp_path / "missing").mkdir()
    file.remember(LEARNED, -5.0)
    assert recalled(tmp_path / "missing" / "lessons.json") == LEARNED
