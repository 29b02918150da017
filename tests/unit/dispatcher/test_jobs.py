import pytest

from dispatcher.jobs import (
    Busy,
    Collision,
    Counts,
    Era,
    JobKey,
    JobNames,
    Load,
    Verify,
    load_text,
    parse_load,
)


def test_names_go_there_and_back():
    names = JobNames("1a2b3c4d")
    assert names.key(names.name(JobKey(42))) == 42


@pytest.mark.parametrize(
    "name",
    [
        "",
        "42",
        "1a2b3c4d-",
        "1a2b3c4d-0",
        "1a2b3c4d-042",
        "ffffffff-42",
        "1a2b3c4d-²",
        "1a2b3c4d-" + "9" * 19,
    ],
)
def test_other_names_are_nobody_s(name: str):
    assert JobNames("1a2b3c4d").key(name) is None


@pytest.mark.parametrize(
    "load", [None, Collision(24, 0), Collision(1, 2**64 - 1), Verify(10_000_000), Busy(0.1)]
)
def test_loads_go_there_and_back(load: Load):
    assert parse_load(load_text(load)) == load


def test_an_unknown_load_is_an_error():
    with pytest.raises(ValueError, match="unknown load"):
        parse_load("dance:3")


def test_counts_know_whether_they_add_up():
    assert Counts(accepted=3, ready=1, done=2).is_balanced()
    assert not Counts(accepted=3, ready=1).is_balanced()
    assert Counts(accepted=3, ready=1, leased=2).unfinished == 3


def test_names_outlive_a_restored_backup():
    names = JobNames("cccccccc", (Era("aaaaaaaa", 5, 3), Era("bbbbbbbb", 9, 3)))
    shown = [names.name(JobKey(key)) for key in (1, 5, 6, 9, 10)]
    assert shown == ["aaaaaaaa-1", "aaaaaaaa-5", "bbbbbbbb-6", "bbbbbbbb-9", "cccccccc-10"]
    assert [names.key(name) for name in shown] == [1, 5, 6, 9, 10]


@pytest.mark.parametrize(
    "name", ["aaaaaaaa-6", "bbbbbbbb-5", "bbbbbbbb-10", "cccccccc-9", "dddddddd-1", "aaaaaaaa-0"]
)
def test_what_was_accepted_after_a_restored_backup_is_unknown(name):
    names = JobNames("cccccccc", (Era("aaaaaaaa", 5, 3), Era("bbbbbbbb", 9, 3)))
    assert names.key(name) is None


def test_a_cursor_of_a_lost_stretch_becomes_the_backup_s_end():
    names = JobNames("bbbbbbbb", (Era("aaaaaaaa", 5, 3),))
    assert names.cursor("aaaaaaaa-2r") == 2
    assert names.cursor("aaaaaaaa-4r") == 3
    assert names.cursor(names.cursor_name(7)) == 7
    assert names.cursor("dddddddd-1r") is None
    assert names.cursor("rubbish") is None
