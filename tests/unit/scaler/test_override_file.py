import json

import pytest

from scaler.decision import Hold
from scaler.override_file import OverrideFile
from scaler.overrides import MAX_OVERRIDES, OverrideKind, TooManyError


class Wall:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def wall():
    return Wall()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "overrides.json"


def floor(store, domains=2, **fields):
    return store.add(OverrideKind.FLOOR, author="ann", reason="r", domains=domains, **fields)


def test_overrides_survive_a_restart(path, wall):
    store = OverrideFile(path, wall=wall)
    made = floor(store, seconds=60.0)
    drain = store.add(OverrideKind.DRAIN, author="bob", reason="", domain="vs-1")
    assert made.expires_at == 1060.0
    again = OverrideFile(path, wall=wall)
    assert set(again.active()) == {made, drain}
    assert again.remove(made.id) == made
    assert again.remove(made.id) is None
    assert OverrideFile(path, wall=wall).active() == (drain,)


def test_what_has_expired_is_gone_for_good(path, wall):
    store = OverrideFile(path, wall=wall)
    floor(store, seconds=10.0)
    wall.now += 10
    assert store.active() == ()
    # A clock that is set back does not bring it to life again, not even after a restart.
    wall.now -= 10
    assert store.active() == OverrideFile(path, wall=wall).active() == ()


def test_an_expiry_that_cannot_be_written_counts_all_the_same(path, wall):
    store = OverrideFile(path, wall=wall)
    floor(store, seconds=10.0)
    path.with_name("overrides.json.new").mkdir()
    wall.now += 10
    assert store.active() == ()


def test_an_old_hold_is_taken_over_as_a_pause(path, wall):
    old = path.with_name("hold.json")
    old.write_text(json.dumps({"author": "ann", "reason": "maintenance"}))
    for _ in range(2):
        store = OverrideFile(path, wall=wall)
        assert store.get() == Hold("ann", "maintenance")
        assert len(store.active()) == 1
        assert not old.exists()
    store.set(None)
    assert OverrideFile(path, wall=wall).get() is None


def test_an_old_hold_beside_overrides_is_taken_over_once(path, wall):
    old = path.with_name("hold.json")
    floor(OverrideFile(path, wall=wall))
    old.write_text("{")
    assert len(OverrideFile(path, wall=wall).active()) == 2
    # As after a crash between writing the new file and removing the old one.
    old.write_text("{")
    store = OverrideFile(path, wall=wall)
    assert len(store.active()) == 2
    assert store.get() == Hold("unknown", f"{old} cannot be read")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        '{"form": 2, "overrides": []}',
        '{"form": 1}',
        '{"form": 1, "overrides": [1]}',
        '{"form": 1, "overrides": [{"kind": "nap"}]}',
        b"\xff",
    ],
)
def test_a_file_that_cannot_be_read_pauses(path, wall, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    store = OverrideFile(path, wall=wall)
    assert store.get() == Hold("unknown", f"{path} cannot be read")
    store.set(None)
    assert OverrideFile(path, wall=wall).active() == ()


def test_an_order_that_cannot_be_kept_is_not_given(tmp_path, wall):
    store = OverrideFile(tmp_path / "missing" / "overrides.json", wall=wall)
    with pytest.raises(OSError, match="No such file"):
        store.set(Hold("ann"))
    with pytest.raises(OSError, match="No such file"):
        floor(store)
    assert store.active() == ()


def test_pause_and_resume_leave_the_others_alone(wall):
    store = OverrideFile(None, wall=wall)
    made = floor(store)
    store.set(Hold("ann", "x"))
    store.set(Hold("bob", "y"))
    assert store.get() == Hold("bob", "y")
    assert len(store.active()) == 2
    store.set(None)
    assert store.active() == (made,)


def test_there_is_an_end_to_how_many(wall):
    store = OverrideFile(None, wall=wall)
    for _ in range(MAX_OVERRIDES):
        floor(store)
    with pytest.raises(TooManyError, match="remove some first"):
        floor(store)


def test_who_only_looks_writes_nothing(path, wall):
    floor(OverrideFile(path, wall=wall), seconds=5.0)
    old = path.with_name("hold.json")
    old.write_text("{}")
    before = path.read_text()
    wall.now += 5
    store = OverrideFile(path, wall=wall, is_read_only=True)
    assert [one.kind for one in store.active()] == [OverrideKind.PAUSE]
    assert (path.read_text(), old.exists()) == (before, True)
