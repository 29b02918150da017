import pytest

from scaler.identity import known_identity, own_identity
from servicekit.lifecycle import StartError


def test_is_made_once_and_kept(tmp_path):
    assert known_identity(tmp_path) is None
    name = own_identity(tmp_path)
    assert own_identity(tmp_path) == known_identity(tmp_path) == name
    assert [one.name for one in tmp_path.iterdir()] == ["identity"]


def test_two_directories_are_two_scalers(tmp_path):
    names = set()
    for directory in (tmp_path / "a", tmp_path / "b"):
        directory.mkdir()
        names.add(own_identity(directory))
    assert len(names) == 2


@pytest.mark.parametrize("content", [b"", b"two words", b"\xff\xfe", b"x" * 100])
def test_one_that_cannot_be_used_is_not_replaced(tmp_path, content):
    (tmp_path / "identity").write_bytes(content)
    with pytest.raises(StartError, match="identity"):
        own_identity(tmp_path)
    assert (tmp_path / "identity").read_bytes() == content


def test_one_that_cannot_be_written_stops_the_start(tmp_path):
    with pytest.raises(StartError, match="writable"):
        own_identity(tmp_path / "missing")
