"""A pepper file that changes under a running dispatcher."""

from pathlib import Path

import pytest

from dispatcher.pepper_file import PepperFile
from servicekit.config import ConfigError

K1, K2 = "k1:" + "6b" * 32 + "\n", "k2:" + "6c" * 32 + "\n"


def key_ids(pepper: PepperFile) -> list[str]:
    return [key.key_id for key in pepper.keyring.keys]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "pepper"
    made.write_text(K1)
    return made


def test_a_new_key_is_taken_and_the_old_one_stays(path: Path):
    pepper = PepperFile(path)
    path.write_text(K2 + K1)
    pepper.reread()
    assert key_ids(pepper) == ["k2", "k1"]


def test_a_file_that_did_not_change_is_not_read(path: Path):
    pepper = PepperFile(path)
    keyring = pepper.keyring
    pepper.reread()
    assert pepper.keyring is keyring


@pytest.mark.parametrize("content", ["", "k1", "k2:zz\n", "k1:" + "7a" * 32 + "\n", None])
def test_a_wrong_file_changes_nothing_and_a_right_one_is_taken_after_it(
    path: Path, content: str | None
):
    pepper = PepperFile(path)
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    pepper.reread()
    assert key_ids(pepper) == ["k1"]
    path.write_text(K2 + K1)
    pepper.reread()
    assert key_ids(pepper) == ["k2", "k1"]


def test_a_key_can_be_removed(path: Path):
    path.write_text(K2 + K1)
    pepper = PepperFile(path)
    path.write_text(K2)
    pepper.reread()
    assert key_ids(pepper) == ["k2"]


def test_without_a_file_there_are_no_keys():
    pepper = PepperFile(None)
    pepper.reread()
    assert not pepper.keyring.keys


def test_a_missing_file_stops_the_start(tmp_path: Path):
    with pytest.raises(ConfigError, match="pepper_file"):
        PepperFile(tmp_path / "none")
