import json
import re

import pytest
from typer.testing import CliRunner

from servicekit.lifecycle import StartError
from stack import secrets_files
from stack.__main__ import app


def test_keys_are_made_once_and_for_their_owner_only(tmp_path):
    path = tmp_path / "join.key"
    key = secrets_files.ensure_join_key(path)
    assert len(key) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert secrets_files.ensure_join_key(path) == key


def test_a_pepper_is_never_replaced(tmp_path):
    path = tmp_path / "pepper"
    secrets_files.ensure_pepper(path)
    made = path.read_text(encoding="ascii")
    assert re.fullmatch(r"k1:[0-9a-f]{64}\n", made)
    assert path.stat().st_mode & 0o777 == 0o600
    secrets_files.ensure_pepper(path)
    assert path.read_text(encoding="ascii") == made
    assert [each.name for each in tmp_path.iterdir()] == ["pepper"]


def test_two_directories_have_two_keys(tmp_path):
    keys = {secrets_files.ensure_join_key(tmp_path / name) for name in ("a", "b")}
    assert len(keys) == 2


def test_a_rotation_puts_a_new_key_before_the_others(tmp_path):
    path = tmp_path / "pepper"
    secrets_files.ensure_pepper(path)
    (first,) = secrets_files.pepper_keys(path)
    second = secrets_files.rotate_pepper(path)
    third = secrets_files.rotate_pepper(path)
    assert secrets_files.pepper_keys(path) == [third, second, first]
    assert [key.key_id for key in (first, second, third)] == ["k1", "k2", "k3"]
    assert len({key.fingerprint for key in (first, second, third)}) == 3
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["pepper"]
    for line in path.read_text(encoding="ascii").split():
        assert re.fullmatch(r"k[123]:[0-9a-f]{64}", line)


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "there is none yet"), (b"", "no pepper file"), (b"k1:abcx", "no pepper file")],
)
def test_a_file_that_is_no_pepper_is_refused_without_its_content(tmp_path, content, words):
    path = tmp_path / "pepper"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StartError, match=words) as raised:
        secrets_files.rotate_pepper(path)
    assert "abcx" not in str(raised.value)
    assert (path.read_bytes() if content is not None else None) == content


def test_the_command_shows_no_secret_and_rotates(tmp_path):
    path = tmp_path / "secrets" / "pepper"
    path.parent.mkdir()
    secrets_files.ensure_pepper(path)
    runner = CliRunner()
    rotated = runner.invoke(app, ["pepper", "rotate", "--state", str(tmp_path)])
    assert rotated.exit_code == 0
    assert rotated.output.startswith("k2 (fingerprint ")
    shown = runner.invoke(app, ["pepper", "show", "--state", str(tmp_path), "--json"])
    assert shown.exit_code == 0
    document = json.loads(shown.output)
    assert document["current"] == "k2"
    assert [key["key_id"] for key in document["keys"]] == ["k2", "k1"]
    text = runner.invoke(app, ["pepper", "show", "--state", str(tmp_path)]).output
    assert "new hashes are made with it" in text
    for line in path.read_text(encoding="ascii").split():
        assert line.partition(":")[2][:12] not in rotated.output + shown.output + text


def test_the_command_says_that_there_is_no_pepper_yet(tmp_path):
    result = CliRunner().invoke(app, ["pepper", "show", "--state", str(tmp_path)])
    assert result.exit_code == 1
    assert "start the stack once" in result.output
