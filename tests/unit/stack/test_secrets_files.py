import re

from stack import secrets_files


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
